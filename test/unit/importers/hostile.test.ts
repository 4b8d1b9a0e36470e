// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../../runtime/importers/app-mesh/tree.ts'
import { asked, importText, problemsOf } from './imported.ts'

const ROOT = join(import.meta.dirname, '..', '..', 'corpus', 'app-mesh')

const mesh = (name: string) => `{ Type: AWS::AppMesh::Mesh, Properties: { MeshName: ${name} } }`

describe('input that is made to hurt', () => {
  it('is refused when it is too long', () => {
    expect(problemsOf(importText('a'.repeat(LIMITS.characters + 1)))[0]).toMatch(/at most 5000000 are read/)
  })

  it.each([
    ['lists', '['.repeat(50_000)],
    ['more lists', '['.repeat(200_000)],
    ['closed lists', '['.repeat(5_000) + ']'.repeat(5_000)],
    ['maps', `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`],
    ['a little too deep', '['.repeat(200) + ']'.repeat(200)],
    ['block maps', Array.from({ length: 500 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
  ])('is refused when it nests deeply: %s', (_, text) => {
    expect(problemsOf(importText(text)).join('\n')).toMatch(/nests deeper than 100/)
    expect(problemsOf(importText(text)).join('\n')).not.toMatch(/Stack overflow|Invalid regular/)
  })

  it('is refused when aliases multiply it, or lead round in a circle', () => {
    const bomb = Array.from(
      { length: 9 },
      (_, n) =>
        `a${n}: &a${n} [${Array(10)
          .fill(n === 0 ? 'x' : `*a${n - 1}`)
          .join(', ')}]`,
    ).join('\n')
    expect(problemsOf(importText(`Resources: { M: ${mesh('m')} }\n${bomb}`)).join()).toMatch(/more than 500000 values/)
    expect(problemsOf(importText('a: &a [*a]')).join()).toMatch(/alias inside itself/)
    expect(problemsOf(importText('a: *nobody')).join()).toMatch(/nobody/)
  })

  it('is refused when its expressions double in every step', () => {
    const nodes = Array.from({ length: 60 }, (_, n) => {
      const name = n === 0 ? 'x' : `!Sub '\${N${n - 1}.VirtualNodeName}\${N${n - 1}.VirtualNodeName}'`
      return `  N${n}: { Type: AWS::AppMesh::VirtualNode, Properties: { MeshName: m, VirtualNodeName: ${name}, Spec: {} } }`
    })
    const text = `Resources:\n${nodes.toReversed().join('\n')}`
    expect(problemsOf(importText(text)).join('\n')).toMatch(/more than 100000 characters|more than 50 others/)
  })

  it('is refused when references go on and on, and when they list much', () => {
    const chain = Array.from({ length: 3000 }, (_, n) => `C${n}: !Not [!Condition C${n + 1}]`).join(', ')
    const text = `Conditions: { ${chain}, C3000: !Equals [a, a] }\nResources: { M: { Type: AWS::AppMesh::Mesh, Condition: C0 } }`
    expect(problemsOf(importText(text)).join()).toMatch(/more than 50 others/)
    const long = Array.from({ length: 5000 }, () => '!Ref L').join(', ')
    const wide = `Parameters: { L: { Type: CommaDelimitedList, Default: '${'a,'.repeat(5000)}' } }
Resources: { M: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: m, Tags: [${long}] } } }`
    expect(problemsOf(importText(wide)).join()).toMatch(/more values than are read/)
  })

  it('is refused when references of Terraform double in every step, of texts, lists and questions', () => {
    const doubling = (first: unknown, next: (name: string) => unknown) => {
      const locals = Object.fromEntries(
        Array.from({ length: 45 }, (_, n) => [`l${n}`, n === 0 ? first : next(`\${local.l${n - 1}}`)]),
      )
      const names = { aws_appmesh_mesh: { m: { name: '${local.l44}', spec: { x: '${local.l44}' } } } }
      return importText(JSON.stringify({ locals, resource: names }))
    }
    const twice = (name: string) => name + name
    expect(problemsOf(doubling('x', twice)).join()).toMatch(/more than 100000 characters/)
    expect(problemsOf(doubling(['x'], (name) => [name, name])).join()).toMatch(/more values than are read/)
    expect(asked(doubling('${var.x}', (name) => `${name}-${name}`.slice(0, 40)))).toEqual(['x'])
    expect(problemsOf(doubling('${local.l44}', twice)).join()).toMatch(/to itself/)
  })

  it('is read in linear time, however many quotes it has', () => {
    const started = performance.now()
    importText(`{"a": "${'\\"'.repeat(200_000)}`)
    importText(`{${'\\"'.repeat(200_000)}`)
    importText(`{"meshName": "${'x'.repeat(4_000_000)}"}`)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it('is refused when it has too many resources', () => {
    const resources = Array.from({ length: 10_001 }, (_, n) => `{"meshName":"m${n}"}`)
    expect(problemsOf(importText(`[${resources.join(',')}]`))[0]).toMatch(/more than the 10000 resources/)
  })

  it('may use names that objects have by themselves', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
    for (const name of names) {
      expect(
        problemsOf(
          importText(`Resources: { M: { Type: AWS::AppMesh::Mesh, Properties: { MeshName: !Ref ${name} } } }`),
        ),
      ).toEqual([expect.stringMatching(/there is no parameter or resource/)])
      const spec = importText(`{"meshName": "m", "spec": {"${name}": 1}}`)
      expect(problemsOf(spec).join()).toMatch(name === '__proto__' ? /./ : new RegExp(`no field "${name}"`))
      importText(`{"resource": {"${name}": {"x": {"name": "y"}}}}`)
      importText(`Resources: { M: { Type: ${name}, Properties: { 'Fn::${name}': 1 } } }`)
    }
  })

  it('never throws, whatever is changed in a real template', () => {
    const template = readFileSync(join(ROOT, 'howto-grpc__mesh.yaml'), 'utf8')
    const tokens = fc.constantFrom(
      '!Ref',
      '!Sub',
      '!GetAtt',
      '{',
      '}',
      '[',
      ']',
      ':',
      '- ',
      '&a ',
      '*a',
      '\n',
      '"',
      "'",
      '\t',
      '$',
      '|',
      '? ',
    )
    fc.assert(
      fc.property(fc.nat(template.length), fc.nat(40), tokens, (start, length, token) => {
        const imported = importText(template.slice(0, start) + token + template.slice(start + length), {
          ProjectName: 'p',
        })
        for (const { line, message } of imported.problems) {
          expect(line).toBeGreaterThan(0)
          expect(message.length).toBeGreaterThan(5)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('is told three errors of syntax, since one makes others', () => {
    expect(importText('a: b: c\n'.repeat(50)).problems).toHaveLength(3)
    expect(importText('a: b: c\n---\n'.repeat(50)).problems).toHaveLength(3)
    const twice = importText(`${'a: 1\n'.repeat(9)}---\na: b: c\n`)
    expect(problemsOf(twice).join()).not.toContain('neither YAML nor JSON')
  })

  it('gives no resource where something is missing or wrong in it', () => {
    const text = `Resources: { M: ${mesh('!Ref Open')}, N: ${mesh('good')} }\nParameters: { Open: { Type: String } }`
    const imported = importText(text)
    expect(asked(imported)).toEqual(['Open'])
    expect(imported.resources.map(({ ref }) => ref.name)).toEqual(['good'])
  })
})

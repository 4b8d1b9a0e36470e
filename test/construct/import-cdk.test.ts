import { execFile } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type StackResource, writeCdkStacks } from '../../runtime/importers/app-mesh/cdk.ts'
import { literal } from '../../runtime/importers/app-mesh/cdk-literal.ts'
import { importAppMesh } from '../../runtime/importers/app-mesh/import.ts'
import { refKey } from '../../runtime/model/reference.ts'
import { PARAMETERS } from '../support/corpus.ts'
import { weft as runWeft } from '../unit/bin/cli-process.ts'
import { randomMesh } from '../unit/compiler/random-mesh.ts'
import { importedFrom } from './imported-from.ts'
import { lookedAtApp } from './mesh-stack.ts'
import { meshOf, synthError } from './shop.ts'

process.env.CDK_VALIDATION = 'false'

const ROOT = dirname(dirname(import.meta.dirname))
const CORPUS = join(ROOT, 'test/corpus/app-mesh')
const LIB = join(ROOT, 'lib/index.ts')
const run = promisify(execFile)

/** Names and values that would be code where they are not escaped. */
const HOSTILE = `'); process.exit(1) // \`\${process.exit(1)}\` */ \\u0027 \\ \u2028\n</script>`
const action = { weightedTargets: [{ virtualNode: '__proto__', weight: 1 }] }
const headers = [{ name: 'x', match: { exact: HOSTILE } }]
const MESHES: Readonly<Record<string, readonly StackResource[]>> = {
  ...Object.fromEntries(
    globSync('*.{yaml,json}', { cwd: CORPUS }).map((file) => {
      const text = readFileSync(join(CORPUS, file), 'utf8')
      const { resources } = importAppMesh([{ file, text }], { parameters: PARAMETERS })
      return [file, resources.map(({ ref, spec }) => ({ ref, spec }))]
    }),
  ),
  ...Object.fromEntries(fc.sample(randomMesh, { numRuns: 6, seed: 7 }).map((mesh, n) => [`random-${n}`, mesh])),
  hostile: [
    { ref: { kind: 'mesh', mesh: '1-2', name: '1-2' }, spec: {} },
    { ref: { kind: 'virtual-node', mesh: '1-2', name: '__proto__' }, spec: {} },
    {
      ref: { kind: 'virtual-node', mesh: '1-2', name: 'a-b' },
      spec: {},
      tags: { [HOSTILE.slice(0, 99)]: HOSTILE, b: '' },
    },
    { ref: { kind: 'virtual-node', mesh: '1-2', name: 'a_B' }, spec: {} },
    { ref: { kind: 'virtual-router', mesh: '1-2', name: 'class' }, spec: { listeners: [] } },
    {
      ref: { kind: 'route', mesh: '1-2', parent: 'class', name: '-' },
      spec: { httpRoute: { match: { prefix: '/', headers }, action } },
    },
  ],
}

const project = mkdtempSync(join(tmpdir(), 'weft-import-cdk-'))
afterAll(() => rmSync(project, { recursive: true, force: true }))

/** As `weft import app-mesh -o` writes them, in a project as users have theirs. */
const written = Object.entries(MESHES).map(([name, resources], index) => {
  const stacks = writeCdkStacks(resources)
  const [stack] = stacks
  const path = join(project, `stack-${index}.ts`)
  writeFileSync(path, stack!.text)
  return { name, resources, path, stacks, ...stack! }
})

/** The stack that the written code makes. */
async function stackOf({ path, mesh, className, text }: (typeof written)[number]) {
  mkdirSync(join(project, 'run'), { recursive: true })
  const runnable = join(project, 'run', path.slice(path.lastIndexOf('/') + 1))
  writeFileSync(runnable, text.replace("from 'weft-mesh'", `from ${JSON.stringify(LIB)}`))
  const module = await import(runnable)
  const app = lookedAtApp()
  return { app, stack: new module[className](app, 'Imported', { mesh: meshOf(app, mesh) }) as Stack }
}

const plain = (resources: readonly StackResource[]) =>
  resources
    .filter(({ ref }) => ref.kind !== 'mesh')
    // A router without listeners is one with none: the L1 asks for a list.
    .map(({ ref, spec, tags }) => ({
      ref,
      tags,
      spec: ref.kind === 'virtual-router' ? { listeners: [], ...(spec as object) } : spec,
    }))
    .toSorted((a, b) => (refKey(a.ref) < refKey(b.ref) ? -1 : 1))

describe('an import written as a CDK stack', { timeout: 120_000 }, () => {
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'), 'dir')

  it('compiles', async () => {
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
    const compilerOptions = {
      strict: true,
      module: 'nodenext',
      target: 'es2024',
      noEmit: true,
      noUnusedLocals: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      types: ['node'],
      paths: { 'weft-mesh': [LIB] },
    }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['stack-*.ts'] }))
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch((error) => error)
    expect(stdout.split('\n').filter((line: string) => line.startsWith('stack-'))).toEqual([])
  })

  it.each(written.map((one) => [one.name, one] as const))('makes the same resources: %s', async (_, one) => {
    expect(one.stacks).toHaveLength(1)
    const { stack, app } = await stackOf(one)
    expect(plain(importedFrom(stack, one.mesh))).toEqual(plain(one.resources))
    // What the API would refuse of random meshes is no business of the format.
    if (!one.name.startsWith('random')) expect(synthError(app)).toBe('')
  })

  it('orders what depends on one another', async () => {
    const { stack } = await stackOf(written.find(({ name }) => name === 'hostile')!)
    const [route] = Object.values(Template.fromStack(stack).findResources('Custom::WeftRoute'))
    expect(route?.DependsOn).toEqual([expect.stringContaining('VirtualNode'), expect.stringContaining('VirtualRouter')])
  })

  it('holds any text as text', () => {
    const anything = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(HOSTILE, '*/', "\\'", '\ud800', '__proto__'),
    )
    fc.assert(
      fc.property(fc.oneof(anything, fc.dictionary(anything, fc.array(anything))), (value) => {
        const text = literal(value)
        expect(new Function(`return ${text}`)()).toEqual(value)
        expect(text).toMatch(/^[\x20-\x7e\n]*$/)
        expect(text).not.toContain('*/')
      }),
      { numRuns: 60 },
    )
  })
})

describe('weft import app-mesh --format cdk', { timeout: 60_000 }, () => {
  const weft = (...args: string[]) => runWeft(['import', 'app-mesh', ...args, '--format', 'cdk'], {})
  const template = join(CORPUS, 'howto-ecs-basics__deploy__2-meshify.yaml')
  const given = [...PARAMETERS].flatMap(([name, value]) => ['--parameter', `${name}=${value}`])

  it('writes the code, into a file that is named as its class, and never over one', async () => {
    const out = join(project, 'out')
    const shown = await weft(template, ...given)
    expect(shown.stdout).toContain('export class ')
    const first = await weft(template, ...given, '-o', out)
    const [file] = globSync('*.ts', { cwd: out })
    expect(first.stderr).toContain(`wrote ${join(out, file!)}; give it the mesh with \`new ${file!.slice(0, -3)}(app,`)
    expect(readFileSync(join(out, file!), 'utf8').trimEnd()).toBe(shown.stdout.trimEnd())
    expect((await weft(template, ...given, '-o', out)).stderr).toContain('is there already')
  })

  it('applies nothing, and wants a directory for several meshes', async () => {
    expect(await weft(template, '--apply')).toMatchObject({ code: 2, stderr: expect.stringContaining('cdk deploy') })
    const two = join(project, 'two.json')
    writeFileSync(two, '[{"meshName":"a","spec":{}},{"meshName":"b","spec":{}}]')
    expect(await weft(two)).toMatchObject({ code: 2, stderr: expect.stringContaining('say where by --output') })
  })
})

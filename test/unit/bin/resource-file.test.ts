import { describe, expect, it } from 'vitest'
import { byDependency, duplicates, parseResources, toDocument } from '../../../bin/resource-file.ts'

const NODE =
  'kind: VirtualNode\nmesh: shop\nname: web\nspec:\n  listeners:\n    - portMapping:\n        port: 8080\n        protocol: http\n'

const TARGET = '{ virtualService: { virtualServiceName: s } }'
const ROUTE_SPEC = '{ tcpRoute: { action: { weightedTargets: [{ virtualNode: n, weight: 1 }] } } }'
const SPECS: Record<string, string> = {
  Route: ROUTE_SPEC,
  GatewayRoute: `{ httpRoute: { match: { prefix: / }, action: { target: ${TARGET} } } }`,
  VirtualGateway: '{ listeners: [{ portMapping: { port: 1, protocol: http } }] }',
}

/** The problems of a text as `line: message`. */
function problemsOf(text: string): string[] {
  return parseResources('f.yaml', text).problems.map(({ line, message }) => `${line}: ${message}`)
}

describe('a resource file', () => {
  it('holds several documents, in YAML or JSON, with kinds spelled either way', () => {
    const json = JSON.stringify({ kind: 'virtual-router', mesh: 'shop', name: 'catalog', spec: {} }, null, '\t')
    const { documents, problems } = parseResources('f.yaml', `# shop\n${NODE}---\n${json}\n---\n`)
    expect(problems).toEqual([])
    expect(documents.map(({ ref, line }) => ({ ...ref, line }))).toEqual([
      { kind: 'virtual-node', mesh: 'shop', name: 'web', line: 2 },
      { kind: 'virtual-router', mesh: 'shop', name: 'catalog', line: 11 },
    ])
    expect(documents[0]!.spec).toEqual({ listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] })
  })

  it('leads from a path in the spec to its line, or to the nearest line above', () => {
    const { lineOf } = parseResources('f.yaml', `# first\n${NODE}`).documents[0]!
    expect(lineOf('spec')).toBe(5)
    expect(lineOf('spec.listeners[0].portMapping.port')).toBe(8)
    expect(lineOf('spec.listeners[0].portMapping.other')).toBe(7)
    expect(lineOf('spec.backends[3]')).toBe(5)
    expect(lineOf('')).toBe(2)
  })

  it('holds policies: the kind beside the name, the target beside the spec', () => {
    const text =
      'kind: Policy\nmesh: shop\npolicy: authorization\nname: callers\ntargetRef: { kind: mesh, name: shop }\n' +
      'spec: { allow: [{ virtualNode: web }] }\n'
    const { documents, problems } = parseResources('f.yaml', text)
    expect(problems).toEqual([])
    const { ref, spec } = documents[0]!
    expect(ref).toEqual({ kind: 'policy', mesh: 'shop', parent: 'authorization', name: 'callers' })
    expect(parseResources('f.yaml', JSON.stringify(toDocument(ref, spec))).documents[0]).toMatchObject({ ref, spec })
    expect(problemsOf(text.replace('web', 'web, virtualGateway: edge'))).toEqual([
      '6: spec.allow[0]: Exactly one of virtualNode, virtualGateway must be set, but virtualNode and virtualGateway are; keep one of them.',
    ])
    expect(problemsOf(text.replace('authorization', 'magic'))).toEqual([
      '3: there is no policy "magic"; there are authorization, certificates, retry, sni, timeout, tls-passthrough',
    ])
    expect(problemsOf(text.replace('policy: authorization\n', ''))).toEqual(['1: Policy needs `policy`, a text'])
  })

  it('may say tags, of resources that have some', () => {
    const { documents, problems } = parseResources('f.yaml', `${NODE}tags: { team: orders, on-call: '1' }\n`)
    expect(problems).toEqual([])
    const { ref, spec, tags } = documents[0]!
    expect(tags).toEqual({ team: 'orders', 'on-call': '1' })
    expect(parseResources('f.yaml', JSON.stringify(toDocument(ref, spec, tags))).documents[0]).toMatchObject({ tags })
    expect(problemsOf(`${NODE}tags: [a]\n`)).toEqual(['9: `tags` are keys with values, such as { team: orders }'])
    expect(problemsOf(`${NODE}tags:\n  a: 1\n  'aws:b': x\n`)).toEqual([
      '10: the tag "a" is no text; put it in quotes',
      expect.stringMatching(/^9: the tag key "aws:b" begins with "aws:"/),
    ])
  })

  it('gives the mesh of a Mesh by its name, and an empty spec', () => {
    const { documents } = parseResources('f.yaml', 'kind: Mesh\nname: shop\n')
    expect(documents[0]).toMatchObject({ ref: { kind: 'mesh', mesh: 'shop', name: 'shop' }, spec: {} })
  })

  it('names line and cause of broken YAML', () => {
    expect(problemsOf('kind: Mesh\nname: "shop\n')).toEqual([expect.stringMatching(/^3: .*Missing closing "quote/)])
    expect(problemsOf('kind: Mesh\nname: shop\nname: other\n')).toEqual(['3: name: is there twice; keep one of them'])
  })

  it('refuses an unknown kind and lists those there are', () => {
    expect(problemsOf('name: x\nkind: Deployment\n')[0]).toMatch(
      /^2: has the unknown kind "Deployment"; there are Mesh, .*GatewayRoute, Policy$/,
    )
    expect(problemsOf('name: x\n')[0]).toMatch(/has no `kind`/)
  })

  it('reports all that is missing or unknown, at once', () => {
    expect(problemsOf('kind: Route\nname: 7\nmetadata: {}\nspec: []\n')).toEqual([
      '2: Route needs `name`, a text',
      '1: Route needs `mesh`, a text',
      '1: Route needs `virtualRouter`, a text',
      '3: `metadata` means nothing here; allowed are kind, mesh, name, spec, virtualRouter, tags',
      '4: Route needs `spec`: an object as App Mesh has it',
    ])
  })

  it('judges names and specs as the control plane will, with the line of each problem', () => {
    const text = `${NODE.replace('8080', '808000').replace('name: web', 'name: a b')}  extra: 1\n`
    expect(problemsOf(text)).toEqual([
      expect.stringMatching(/^3: name is "a b"/),
      expect.stringMatching(/^7: spec\.listeners\[0\]\.portMapping\.port: .*808000/),
      expect.stringMatching(/^9: spec\.extra: /),
    ])
    expect(problemsOf('kind: Mesh\nmesh: one\nname: other\n')[0]).toMatch(/^3: .*same/)
  })

  it('refuses a document that is no object', () => {
    expect(problemsOf('- a\n')[0]).toMatch(/is no resource/)
    expect(problemsOf('text')[0]).toMatch(/is no resource/)
  })

  it('refuses aliases that multiply into something huge', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]']
    for (let i = 0; i < 8; i++) {
      const [now, next] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)]
      bomb.push(`${next}: &${next} [${Array(10).fill(`*${now}`).join(',')}]`)
    }
    expect(problemsOf(bomb.join('\n'))[0]).toMatch(/alias/i)
  })

  it('reads many keys in linear time, and refuses what nests too deep', () => {
    const keys = Array.from({ length: 100_000 }, (_, n) => `  k${n}: 1`).join('\n')
    const started = performance.now()
    expect(problemsOf(`kind: Mesh\nname: m\nspec:\n${keys}\n`)[0]).toMatch(/k0/)
    expect(performance.now() - started).toBeLessThan(10_000)
    expect(problemsOf('['.repeat(200_000)).join('\n')).toMatch(/nests deeper than 100/)
    expect(problemsOf('['.repeat(200) + ']'.repeat(200))).toEqual([expect.stringMatching(/nests deeper than 100/)])
  })
})

describe('several resource files', () => {
  it('may not define a resource twice, but one name in two routers', () => {
    const route = (router: string) => `kind: Route\nmesh: m\nvirtualRouter: ${router}\nname: r\nspec: ${ROUTE_SPEC}\n`
    const { documents } = parseResources('f.yaml', [route('a'), route('b'), route('a')].join('---\n'))
    expect(duplicates(documents)).toEqual([
      { file: 'f.yaml', line: 13, message: 'Route "r" stands at f.yaml:1 already; keep one of them' },
    ])
  })

  it('are sorted so that what others depend on comes first', () => {
    const kinds = ['GatewayRoute', 'VirtualGateway', 'VirtualService', 'Route', 'VirtualRouter', 'VirtualNode', 'Mesh']
    const parents = { GatewayRoute: 'virtualGateway: g\n', Route: 'virtualRouter: r\n' } as Record<string, string>
    const texts = kinds.map(
      (kind) => `kind: ${kind}\nmesh: m\nname: m\nspec: ${SPECS[kind] ?? '{}'}\n${parents[kind] ?? ''}`,
    )
    const { documents } = parseResources('f.yaml', texts.join('---\n'))
    expect(byDependency(documents).map(({ ref }) => ref.kind)).toEqual([
      'mesh',
      'virtual-node',
      'virtual-router',
      'route',
      'virtual-service',
      'virtual-gateway',
      'gateway-route',
    ])
  })

  it('read back what `get` prints', () => {
    const ref = { kind: 'route', mesh: 'm', parent: 'g', name: 'r' } as const
    const spec = { tcpRoute: { action: { weightedTargets: [{ virtualNode: 'n', weight: 1 }] } } }
    const { documents } = parseResources('f.json', JSON.stringify(toDocument(ref, spec)))
    expect(documents[0]).toMatchObject({ ref, spec })
  })
})

import { randomUUID } from 'node:crypto'
import type { Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import {
  HostnameMatch,
  MeshGateway,
  MeshProtocol,
  MeshService,
  PathRewrite,
  RouteMatch,
  VirtualNode,
  VirtualService,
} from '../../lib/index.ts'
import { MemoryStore } from '../../runtime/adapters/memory-store.ts'
import { Changes } from '../../runtime/app/changes.ts'
import { createResource } from '../../runtime/app/create-resource.ts'
import { MeshStates } from '../../runtime/app/mesh-states.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { compile } from '../../runtime/compiler/compile.ts'
import { buildGraph } from '../../runtime/compiler/graph.ts'
import { POLICY_TYPE, policyReader } from '../../runtime/lambda/policy-properties.ts'
import { appMeshReader } from '../../runtime/lambda/resource-properties.ts'
import { compileRoutes } from '../../runtime/model/match.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import type { StoredResource } from '../../runtime/ports.ts'
import { IMAGE, shop } from './shop.ts'

/** What the constructs render is taken by the control plane and compiled: nothing between template and proxy is made up here. */

interface Rendered {
  readonly Type: string
  readonly Properties: Record<string, unknown>
  readonly DependsOn?: string[]
}

/** CloudFormation hands every number and boolean over as text. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asText)
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, asText(member)]))
}

/** Makes the mesh resources of a template as CloudFormation may: what is declared last first, if nothing forbids it. */
async function deploy(stack: Stack): Promise<readonly StoredResource[]> {
  const store = new MemoryStore()
  const clock = { now: Date.now }
  const [states, changes, quotas] = [new MeshStates(store), new Changes(), quotasOf({})]
  const create = createResource({ store, states, changes, clock, newUid: randomUUID, quotas })
  const mesh = { kind: 'mesh', mesh: 'shop', name: 'shop' } as const
  const made = [await create({ ref: mesh, spec: {}, tags: {}, actor: 'test' })]
  const resources: Record<string, Rendered> = Template.fromStack(stack).toJSON().Resources
  const readerOf = (type: string) => (type === POLICY_TYPE ? policyReader : appMeshReader(type))
  const waiting = new Map(Object.entries(resources).filter(([, { Type }]) => readerOf(Type) !== undefined))
  while (waiting.size > 0) {
    const ready = [...waiting].findLast(([, { DependsOn = [] }]) => !DependsOn.some((id) => waiting.has(id)))
    if (ready === undefined) throw new Error('resources that wait for one another')
    const [LogicalResourceId, { Type, Properties }] = ready
    const properties = asText(Properties) as Record<string, unknown>
    const requester = { StackId: 'stack', LogicalResourceId }
    const { ref, spec } = readerOf(Type)!.read(properties, requester, '111111111111')
    made.push(await create({ ref, spec, tags: {}, actor: 'test' }))
    waiting.delete(LogicalResourceId)
  }
  return made
}

function snapshotOf(resources: readonly StoredResource[], kind: Subject['kind'], name: string) {
  const compiled = compile(buildGraph(resources), { kind, mesh: 'shop', name }, { trustDomain: 'shop.internal' })
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  return compiled
}

function ask(path: string, host = 'any') {
  const rest = { query: '', scheme: 'http', port: 80, header: () => undefined } as const
  return { method: 'GET', path, host, ...rest }
}

describe('a deployed shop', async () => {
  const { mesh, stack } = shop()
  const service = (id: string) => new MeshService(stack, id, { mesh, image: IMAGE, port: 8080 })
  const [web, catalog, canary] = [service('Web'), service('Catalog'), service('CatalogCanary')]
  const db = new MeshService(stack, 'Db', { mesh, image: IMAGE, port: 5432, protocol: MeshProtocol.TCP })
  for (const backend of [catalog, db]) web.addBackend(backend)
  catalog.split([
    { target: catalog, weight: 90 },
    { target: canary, weight: 10 },
  ])
  catalog.route('Beta', { match: RouteMatch.prefix('/beta'), target: canary })
  const hostname = 'payments.example'
  const outside = new VirtualNode(stack, 'Outside', { mesh, port: 8443, hostname })
  web.addBackend(new VirtualService(stack, 'Payments', { mesh, defaultTarget: outside }))
  const edge = new MeshGateway(stack, 'Edge', { mesh })
  edge.route('Web', { target: web })
  const rewrite = PathRewrite.prefix('/')
  edge.route('Api', { target: catalog, hostname: HostnameMatch.below('shop.example'), rewrite })
  catalog.allowFrom(web, edge)
  catalog.policy('retry', { maxRetries: 7, on: ['503'] })
  db.policy('authorization', { allow: [{ virtualNode: 'web' }] }, { shadow: true })
  const resources = await deploy(stack)

  it('leaves nothing that the compiler warns of', () => {
    for (const name of ['web', 'catalog', 'catalog-canary', 'db']) {
      expect(snapshotOf(resources, 'virtual-node', name).warnings).toEqual([])
    }
    expect(snapshotOf(resources, 'virtual-gateway', 'edge').warnings).toEqual([])
  })

  it('gives the caller an address on port 80 for each HTTP backend, and on the own port of TCP', () => {
    const { listeners } = snapshotOf(resources, 'virtual-node', 'web').value
    const vips = listeners.filter((listener) => listener.kind === 'vip').map(({ table, port }) => `${table}:${port}`)
    expect(vips.sort()).toEqual(['catalog.shop.internal:80', 'db.shop.internal:5432', 'payments.shop.internal:80'])
  })

  it('routes as was said', () => {
    const { tables } = snapshotOf(resources, 'virtual-node', 'web').value
    const { routes } = tables.find(({ name }) => name === 'catalog.shop.internal')!
    const matcher = compileRoutes(routes)
    const targets = (path: string) => {
      const action = matcher.match(ask(path))?.action
      return action?.kind === 'forward' ? action.targets : undefined
    }
    expect(targets('/beta/1')).toEqual([{ cluster: 'catalog-canary:8080', weight: 100 }])
    expect(targets('/')).toEqual([
      { cluster: 'catalog:8080', weight: 90 },
      { cluster: 'catalog-canary:8080', weight: 10 },
    ])
  })

  it('calls peers by mTLS only, and hosts outside without', () => {
    const { clusters } = snapshotOf(resources, 'virtual-node', 'web').value
    const plain = (wanted: string) => clusters.find(({ name }) => name === wanted)?.tls.plain.kind
    expect(plain('catalog:8080')).toBe('refuse')
    expect(plain('outside:8443')).toBe('plaintext')
    expect(clusters.find(({ name }) => name === 'outside:8443')?.discovery).toMatchObject({ kind: 'dns', hostname })
  })

  it('publishes no port but the one for mTLS', () => {
    const [inbound] = snapshotOf(resources, 'virtual-node', 'catalog').value.listeners
    expect(inbound).toMatchObject({ kind: 'inbound', port: 15000, ports: [{ port: 8080, published: null }] })
  })

  it('lets in whom it was told to, and tries policies in the shadow', () => {
    const authorizationOf = (name: string) => {
      const inbound = snapshotOf(resources, 'virtual-node', name).value.listeners.find(({ kind }) => kind === 'inbound')
      return inbound?.kind === 'inbound' ? inbound.authorization : undefined
    }
    const { allow, mode } = authorizationOf('catalog')!
    expect(mode).toBe('enforce')
    expect(allow).toHaveLength(2)
    expect(allow).toContain('spiffe://shop.internal/shop/web')
    expect(authorizationOf('db')).toMatchObject({ mode: 'shadow' })
    expect(authorizationOf('web')).toBeNull()
  })

  it('retries as a policy says', () => {
    const { tables } = snapshotOf(resources, 'virtual-node', 'web').value
    const [route] = tables.find(({ name }) => name === 'catalog.shop.internal')!.routes
    expect(route!.action).toMatchObject({ retry: { maxRetries: 7, on: ['503'] } })
  })

  it('lets the gateway choose by host', () => {
    const { tables } = snapshotOf(resources, 'virtual-gateway', 'edge').value
    const matcher = compileRoutes(tables.find(({ name }) => name === 'gateway:8080')!.routes)
    expect(matcher.match(ask('/', 'api.shop.example'))?.action).toMatchObject({ table: 'catalog.shop.internal' })
    expect(matcher.match(ask('/', 'elsewhere'))?.action).toMatchObject({ table: 'web.shop.internal' })
  })
})

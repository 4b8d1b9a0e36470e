import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseResources } from '../../../bin/resource-file.ts'
import { compile } from '../../../runtime/compiler/compile.ts'
import { effective } from '../../../runtime/compiler/effective.ts'
import type { EffectiveValue, ValueOrigin } from '../../../runtime/compiler/effective-values.ts'
import { buildGraph, type CompilerResource, type Graph } from '../../../runtime/compiler/graph.ts'
import { APP_MESH_KINDS, type ResourceKind, type ResourceRef, type Subject } from '../../../runtime/model/reference.ts'
import type { Cluster, Listener, Route, RouteTable, Snapshot } from '../../../runtime/model/snapshot.ts'
import { MESH, randomMesh, SUBJECTS } from './random-mesh.ts'

// biome-ignore lint/suspicious/noExplicitAny: the tests walk trees of seven kinds by their members.
type Tree = any

function viewOf(graph: Graph, kind: ResourceKind, name: string, parent?: string): Tree {
  return effective(graph, { kind, mesh: MESH, name, ...(parent === undefined ? {} : { parent }) })!.spec
}

/** The plain values of a tree of values with origins; durations in milliseconds. */
function plain(tree: Tree): Tree {
  if (isLeaf(tree)) {
    const { value } = tree
    if (value === null || typeof value !== 'object' || !('unit' in value)) return value
    return value.value * (value.unit === 's' ? 1000 : 1)
  }
  if (Array.isArray(tree)) return tree.map(plain)
  return Object.fromEntries(Object.entries(tree).map(([member, inner]) => [member, plain(inner)]))
}

function leaves(tree: Tree, path = 'spec'): [string, EffectiveValue][] {
  if (isLeaf(tree)) return [[path, tree]]
  if (Array.isArray(tree)) return tree.flatMap((item, index) => leaves(item, `${path}[${index}]`))
  return Object.entries(tree).flatMap(([member, inner]) => leaves(inner, `${path}.${member}`))
}

function isLeaf(tree: Tree): tree is EffectiveValue {
  return tree !== null && typeof tree === 'object' && 'origin' in tree && 'value' in tree
}

function memberOf(spec: Tree): Tree {
  return spec.httpRoute ?? spec.http2Route ?? spec.grpcRoute ?? spec.tcpRoute
}

/** Everything that a snapshot says beside what the effective views of its resources say. */
function compareSnapshot(graph: Graph, snapshot: Snapshot): void {
  for (const table of snapshot.tables) {
    for (const [index, route] of table.routes.entries()) compareRoute(graph, table, route, index)
  }
  for (const cluster of snapshot.clusters) compareCluster(graph, cluster)
  for (const listener of snapshot.listeners) compareListener(graph, snapshot.subject, listener)
  const { kind, name } = snapshot.subject
  const spec = viewOf(graph, kind, name)
  const [log] = snapshot.accessLogs
  if (log === undefined) expect(plain(spec.logging)).toBeNull()
  else {
    const { file } = plain(spec.logging).accessLog
    expect(file.path).toBe(log.path)
    if (log.format.kind === 'text') expect(file.format.text).toBe(log.format.template)
  }
  if (kind === 'virtual-node') comparePolicies(snapshot, spec)
}

function compareRoute(graph: Graph, table: RouteTable, { name, origin, match, action }: Route, index: number): void {
  const parent = origin.name.split('/')[0]!
  if (action.kind === 'delegate') {
    const found = plain(memberOf(viewOf(graph, 'gateway-route', name, parent)))
    const { rewrite, target } = found.action
    expect(rewrite.hostname.defaultTargetHostname).toBe(action.host === null ? 'DISABLED' : 'ENABLED')
    if (action.path?.kind === 'prefix') expect(rewrite.prefix.value).toBe(action.path.to)
    if (action.path?.kind === 'exact') expect(rewrite.path.exact).toBe(action.path.value)
    // Rewritten to itself, or not at all.
    if (action.path === null) expect([undefined, match.path.value]).toContain(rewrite.prefix?.value)
    expect(target.port).toBe(action.port)
    if (match.path.kind === 'prefix' && 'prefix' in found.match) expect(found.match.prefix).toBe(match.path.value)
    expect(found.match.port).toBe(match.port)
    return
  }
  const isRoute = origin.kind === 'route'
  const tree = isRoute
    ? memberOf(viewOf(graph, 'route', name, parent))
    : viewOf(graph, 'virtual-service', table.name).routes[index]
  const found = plain(tree)
  expect(found.timeout.perRequest ?? 0).toBe(action.timeouts.requestMs)
  expect(found.timeout.idle).toBe(action.timeouts.idleMs)
  const set = leaves(tree.timeout).some(([, { origin }]) => origin.kind !== 'default')
  expect(set).toBe(action.timeouts.origin.kind !== 'default')
  expect(found.match?.port ?? null).toBe(match.port)
  if (action.retry === null) expect(found.retryPolicy).toBeUndefined()
  else {
    const { maxRetries, perRetryTimeout, retryOn, methods } = found.retryPolicy
    expect({ maxRetries, perTryTimeoutMs: perRetryTimeout, on: retryOn, methods }).toEqual({
      ...action.retry,
      origin: undefined,
    })
    expect(tree.retryPolicy.methods.origin.kind === 'default').toBe(action.retry.origin.kind === 'default')
  }
  if (!isRoute) return
  const targets = found.action.weightedTargets.map((target: Tree) => [
    `${target.virtualNode}:${target.port}`,
    target.weight,
  ])
  expect(action.targets.map(({ cluster, weight }) => [cluster.split('@')[0], weight])).toEqual(targets)
  expect([null, found.match.method]).toContain(match.method)
  if (match.path.kind === 'prefix' && found.match.prefix !== undefined)
    expect(found.match.prefix).toBe(match.path.value)
}

function compareCluster(graph: Graph, cluster: Cluster): void {
  if (cluster.discovery.kind === 'passthrough') return
  const spec = plain(viewOf(graph, 'virtual-node', cluster.origin.name))
  const listener = spec.listeners.find((one: Tree) => one.portMapping.port === cluster.port)
  if (listener === undefined) return
  expect(listener.connectTimeout).toBe(cluster.connectTimeoutMs)
  expect(listener.retryBudget).toEqual(cluster.retryBudget)
  if (cluster.discovery.kind === 'local') {
    const limits = listener.connectionPool[cluster.protocol]
    for (const [limit, value] of Object.entries(cluster.limits)) expect(limits[limit] ?? null).toBe(value)
    return
  }
  const { outlierDetection, healthCheck } = listener
  expect(
    outlierDetection && {
      maxServerErrors: outlierDetection.maxServerErrors,
      intervalMs: outlierDetection.interval,
      baseEjectionMs: outlierDetection.baseEjectionDuration,
      maxEjectionPercent: outlierDetection.maxEjectionPercent,
    },
  ).toEqual(cluster.outlierDetection && { ...cluster.outlierDetection, origin: undefined })
  if (cluster.healthCheck === null) expect(healthCheck).toBeNull()
  else expect(healthCheck).toMatchObject({ intervalMillis: cluster.healthCheck.intervalMs, port: cluster.port })
  if (cluster.healthCheck?.path) expect(healthCheck.path).toBe(cluster.healthCheck.path)
  if (cluster.discovery.kind === 'dns') {
    const response = cluster.discovery.response === 'all' ? 'ENDPOINTS' : 'LOADBALANCER'
    expect(spec.serviceDiscovery.dns.responseType).toBe(response)
  }
}

function compareListener(graph: Graph, { kind, name }: Snapshot['subject'], listener: Listener): void {
  const spec = plain(viewOf(graph, kind, name))
  if (listener.kind === 'inbound') {
    listener.ports.forEach(({ timeouts, published, port, protocol }, index) => {
      const found = spec.listeners[index]
      expect(found.portMapping).toEqual({ port, protocol })
      expect(found.timeout[protocol].perRequest ?? 0).toBe(timeouts.requestMs)
      expect(found.timeout[protocol].idle).toBe(timeouts.idleMs)
      expect(found.tls.mode.toLowerCase()).toBe(published?.tls ?? 'strict')
      expect(found.tls.publishedPort).toBe(published?.port)
    })
  } else if (listener.kind === 'outbound') {
    const { type, exceptions } = spec.egressFilter
    expect(type).toBe(listener.egress.kind === 'all' ? 'ALLOW_ALL' : 'DROP_ALL')
    expect(exceptions).toEqual(listener.egress.suffixes.map((suffix) => `*${suffix}`))
  } else if (listener.kind === 'vip') {
    const service = plain(viewOf(graph, 'virtual-service', listener.table))
    expect(service.address).toBe(listener.address)
    expect(service.listeners).toContainEqual({ portMapping: { port: listener.port, protocol: listener.protocol } })
  } else {
    const found = spec.listeners.find((one: Tree) => one.portMapping.port === listener.port)
    expect(found.tls.mode.toLowerCase()).toBe(listener.tls.mode)
    expect(found.timeout).toEqual({ perRequest: listener.timeouts.requestMs, idle: listener.timeouts.idleMs })
  }
}

/** How instances without sidecar are called. */
function comparePolicies(snapshot: Snapshot, spec: Tree): void {
  const seen = new Set<string>()
  for (const { virtualService } of (isLeaf(spec.backends) ? [] : plain(spec.backends)) as Tree[]) {
    const table = snapshot.tables.find((one) => one.name === virtualService.virtualServiceName)
    if (table === undefined || seen.has(table.name)) continue
    seen.add(table.name)
    const { tls } = virtualService.clientPolicy
    const targets = table.routes.flatMap(({ action }) => (action.kind === 'forward' ? action.targets : []))
    for (const { cluster: name } of targets) {
      const cluster = snapshot.clusters.find((one) => one.name === name)!
      const wanted = tls?.enforce === true && (tls.ports.length === 0 || tls.ports.includes(cluster.port))
      expect(cluster.tls.plain.kind === 'tls').toBe(wanted)
    }
  }
}

function compareAll(resources: readonly CompilerResource[], subjects: readonly Subject[]): void {
  const graph = buildGraph(resources)
  for (const subject of subjects) {
    const compiled = compile(graph, subject, { trustDomain: 'weft.test' })
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
    compareSnapshot(graph, compiled.value)
  }
}

/** The fields that a user set, as the walk of the effective view names and cuts them. */
function givenFields(value: Tree, path = 'spec'): [string, unknown][] {
  const isList = Array.isArray(value)
  if (typeof value !== 'object' || value === null || (isList && value.every((item) => typeof item !== 'object'))) {
    return [[path, value]]
  }
  if ('unit' in value) return [[path, value]]
  if (isList) return value.flatMap((item, index) => givenFields(item, `${path}[${index}]`))
  return Object.entries(value).flatMap(([member, inner]) => givenFields(inner, `${path}.${member}`))
}

function isFieldOf(origin: ValueOrigin, resource: string, path: string): boolean {
  return origin.kind === 'field' && origin.resource === resource && origin.path === path
}

const GOLDEN = globSync(join(import.meta.dirname, '../../golden/*/resources.yaml')).sort()

describe('the effective view', () => {
  it('says what the snapshots of random meshes say', () => {
    fc.assert(
      fc.property(randomMesh, (resources) => compareAll(resources, SUBJECTS)),
      { numRuns: 80 },
    )
  })

  it('shows every field that was set, with its value and its path, and takes everything else for no field of it', () => {
    fc.assert(
      fc.property(randomMesh, (resources) => {
        const graph = buildGraph(resources)
        for (const { ref, spec } of resources) {
          const resource = [ref.kind, ref.parent, ref.name].filter(Boolean).join('/')
          const shown = leaves(effective(graph, ref)!.spec)
          const given = givenFields(spec)
          const own = new Map(shown.filter(([path, { origin }]) => isFieldOf(origin, resource, path)))
          expect(own).toEqual(
            new Map(given.map(([path, value]) => [path, { value, origin: { kind: 'field', resource, path } }])),
          )
          expect(new Set(shown.map(([path]) => path)).size).toBe(shown.length)
        }
      }),
      { numRuns: 100 },
    )
  })

  it.each(GOLDEN.map((file) => [basename(dirname(file)), file]))(
    'says what the snapshots of golden case %s say',
    (_, file) => {
      let last = 0
      const resources = parseResources(file, readFileSync(file, 'utf8')).documents.map(({ ref, spec }) => ({
        ref: { ...ref, mesh: MESH, ...(ref.kind === 'mesh' ? { name: MESH } : {}) },
        spec,
        ...(ref.kind === 'virtual-service' ? { vip: `127.64.0.${++last}` } : {}),
      }))
      const subjects = resources.flatMap(({ ref: { kind, mesh, name } }) =>
        kind === 'virtual-node' || kind === 'virtual-gateway' ? [{ kind, mesh, name }] : [],
      )
      compareAll(resources, subjects)
    },
  )
})

describe('the effective view of what nobody set', () => {
  const ref = (kind: ResourceKind, name: string, parent?: string): ResourceRef => {
    return { kind, mesh: MESH, name, ...(parent === undefined ? {} : { parent }) }
  }
  const http = { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] }
  const graph = buildGraph([
    { ref: ref('mesh', MESH), spec: {} },
    {
      ref: ref('virtual-node', 'orders'),
      spec: { ...http, backendDefaults: { clientPolicy: { tls: { validation: {} } } } },
    },
    { ref: ref('virtual-router', 'orders'), spec: http },
    {
      ref: ref('route', 'all', 'orders'),
      spec: {
        httpRoute: {
          match: { prefix: '/' },
          action: { weightedTargets: [{ virtualNode: 'orders', weight: 1 }] },
          timeout: { idle: { unit: 's', value: 7 } },
        },
      },
    },
    { ref: ref('virtual-gateway', 'edge'), spec: http },
    {
      ref: ref('gateway-route', 'orders', 'edge'),
      spec: {
        httpRoute: {
          match: { prefix: '/orders' },
          action: { target: { virtualService: { virtualServiceName: 'orders' } } },
        },
      },
    },
  ])
  const byDefault = (value: unknown, name: string) => ({ value, origin: { kind: 'default', name } })

  it('shows the hidden retry policy of App Mesh, and completes a timeout that was set in part', () => {
    const { retryPolicy, timeout, action } = viewOf(graph, 'route', 'all', 'orders').httpRoute
    expect(retryPolicy.maxRetries).toEqual(byDefault(2, 'retry'))
    expect(retryPolicy.retryOn).toEqual(byDefault(['connect-failure', 'refused-stream', 'reset', '503'], 'retry'))
    expect(timeout.perRequest).toEqual(byDefault({ unit: 'ms', value: 15_000 }, 'timeout'))
    expect(timeout.idle.origin).toMatchObject({ kind: 'field', path: 'spec.httpRoute.timeout.idle' })
    // The port comes from somewhere, too.
    const port = { kind: 'field', resource: 'virtual-node/orders', path: 'spec.listeners[0].portMapping.port' }
    expect(action.weightedTargets[0].port).toEqual({ value: 8080, origin: port })
  })

  it('shows what guards a node, and the egress filter that the mesh gives it', () => {
    const { listeners, egressFilter } = viewOf(graph, 'virtual-node', 'orders')
    expect(listeners[0].tls.mode).toEqual(byDefault('STRICT', 'tls'))
    expect(listeners[0].timeout.http.idle).toEqual(byDefault({ unit: 'ms', value: 300_000 }, 'timeout'))
    expect(listeners[0].outlierDetection.maxServerErrors).toEqual(byDefault(5, 'outlier-detection'))
    expect(egressFilter.type).toEqual(byDefault('DROP_ALL', 'egress-filter'))
    expect(egressFilter.exceptions).toEqual(byDefault(['*.amazonaws.com'], 'egress-filter'))
  })

  it('shows what a gateway route rewrites', () => {
    const { rewrite } = viewOf(graph, 'gateway-route', 'orders', 'edge').httpRoute.action
    expect(rewrite.hostname.defaultTargetHostname).toEqual(byDefault('ENABLED', 'rewrite'))
    expect(rewrite.prefix.value).toEqual(byDefault('/', 'rewrite'))
  })

  it('shows nothing of a resource that is not there, and every kind that is', () => {
    expect(effective(graph, ref('virtual-node', 'nobody'))).toBeUndefined()
    const shown = [...graph.resources.values()].filter(({ ref }) => effective(graph, ref) !== undefined)
    expect(new Set(shown.map(({ ref }) => ref.kind)).size).toBe(APP_MESH_KINDS.length - 1)
  })
})

import type { Problem } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { ClientPolicy } from '../model/resource/tls.ts'
import type { VirtualGatewaySpec } from '../model/resource/virtual-gateway.ts'
import type { VirtualNodeSpec } from '../model/resource/virtual-node.ts'
import { type Cluster, SNAPSHOT_SCHEMA, type Snapshot } from '../model/snapshot.ts'
import { accessLogs } from './access-logs.ts'
import { egressCluster, localCluster, upstreamCluster } from './clusters.ts'
import { gatewayTable, targetService } from './gateway-routes.ts'
import { gatewayTlsPolicies, passthroughServices } from './gateway-tls.ts'
import { type Graph, gatewayRoutesOf, meshSpec, specOf } from './graph.ts'
import { gatewayListeners, inboundListener, outboundListener, vipListeners } from './listeners.ts'
import { notAppliedOfGateway, notAppliedOfNode } from './not-applied.ts'
import { authorizationOf } from './policies.ts'
import { revisionOf } from './revision.ts'
import { type ServiceTable, serviceTable } from './routes.ts'

/** A snapshot and what the user should know of it, or why there is none. */
export type Compiled =
  | { readonly ok: true; readonly value: Snapshot; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

interface CompileOptions {
  /** Of the SPIFFE IDs to expect. */
  readonly trustDomain: string
}

/**
 * Compiles what one proxy runs. Pure: the same resources give the same snapshot with the same revision, whatever their
 * order. A subject sees only what it calls, so that a change elsewhere leaves its revision alone.
 * Fails with `unknown-subject` only: whatever the API let in compiles.
 */
export function compile(graph: Graph, subject: Subject, options: CompileOptions): Compiled {
  if (subject.kind === 'virtual-node') {
    const spec = specOf(graph, 'virtual-node', subject.name)
    if (spec !== undefined) return finish(subject, options, compileNode(graph, subject, spec, options))
  } else {
    const spec = specOf(graph, 'virtual-gateway', subject.name)
    if (spec !== undefined) return finish(subject, options, compileGateway(graph, subject, spec, options))
  }
  const message = `There is no ${subject.kind} ${subject.name} in mesh ${subject.mesh}; create it, or correct the name.`
  return { ok: false, problems: [{ path: '', code: 'unknown-subject', message }] }
}

/** The parts of a snapshot that the two kinds of subject fill in their own ways. */
interface Parts extends Pick<Snapshot, 'listeners' | 'tables' | 'clusters' | 'accessLogs'> {
  readonly warnings: readonly Problem[]
}

function compileNode(graph: Graph, subject: Subject, spec: VirtualNodeSpec, options: CompileOptions): Parts {
  const listeners = spec.listeners ?? []
  const appPorts = new Set(listeners.map(({ portMapping }) => portMapping.port))
  const services = compileServices(graph, subject, options, backendsOf(graph, spec))
  const vips = services.map(({ table, ports }) => {
    const vip = graph.resources.get(`virtual-service/${table.name}`)?.vip
    return vip === undefined ? NO_VIP : vipListeners(table.name, vip, ports, appPorts)
  })
  const mesh = meshSpec(graph, subject)
  const names = services.map(({ table }) => table.name)
  return {
    listeners: [
      inboundListener(subject, listeners, authorizationOf(graph, subject, options.trustDomain)),
      outboundListener(subject, names, mesh),
      ...vips.flatMap((vip) => vip.listeners),
    ],
    tables: services.map(({ table }) => table),
    clusters: [
      ...listeners.map((listener) => localCluster(subject.name, listener)),
      egressCluster(subject.name),
      ...distinctClusters(services),
    ],
    accessLogs: accessLogs(spec.logging, { kind: 'virtual-node', name: subject.name }),
    warnings: [...notAppliedOfNode(spec, mesh), ...vips.flatMap((vip) => vip.warnings)],
  }
}

const NO_VIP = { listeners: [], warnings: [] } as const

function compileGateway(graph: Graph, subject: Subject, spec: VirtualGatewaySpec, options: CompileOptions): Parts {
  const services = compileServices(graph, subject, options, gatewayBackends(graph, subject, spec))
  return {
    listeners: gatewayListeners(subject.name, spec.listeners, gatewayTlsPolicies(graph, subject.name)),
    tables: [
      ...spec.listeners.map(({ portMapping }) => gatewayTable(graph, subject.name, portMapping.port)),
      ...services.map(({ table }) => table),
    ],
    clusters: distinctClusters(services),
    accessLogs: accessLogs(spec.logging, { kind: 'virtual-gateway', name: subject.name }),
    warnings: notAppliedOfGateway(graph, subject.name, spec),
  }
}

/** A virtual service that the subject calls. */
interface Backend {
  readonly service: string
  readonly policy: ClientPolicy | undefined
  /** Set when the policy is this backend's own: its clusters must not be shared with other backends'. */
  readonly variant: string
}

/** Backends need not exist: those that do not are left out until they do. The first of several with one name counts. */
function backendsOf(graph: Graph, { backends, backendDefaults }: VirtualNodeSpec): readonly Backend[] {
  const found = new Map<string, Backend>()
  for (const { virtualService } of backends ?? []) {
    const { virtualServiceName: service, clientPolicy } = virtualService!
    if (found.has(service) || specOf(graph, 'virtual-service', service) === undefined) continue
    found.set(service, {
      service,
      policy: clientPolicy ?? backendDefaults?.clientPolicy,
      variant: clientPolicy === undefined ? '' : `@${service}`,
    })
  }
  return [...found.values()]
}

function gatewayBackends(graph: Graph, { name }: Subject, { backendDefaults }: VirtualGatewaySpec): readonly Backend[] {
  const services = new Set([
    ...gatewayRoutesOf(graph, name).map(({ spec }) => targetService(spec)),
    ...passthroughServices(graph, name),
  ])
  return [...services].map((service) => ({ service, policy: backendDefaults?.clientPolicy, variant: '' }))
}

interface CompiledService extends ServiceTable {
  readonly clusters: readonly Cluster[]
}

function compileServices(
  graph: Graph,
  { mesh }: Subject,
  { trustDomain }: CompileOptions,
  backends: readonly Backend[],
): readonly CompiledService[] {
  return backends
    .toSorted((a, b) => (a.service < b.service ? -1 : 1))
    .map(({ service, policy, variant }) => {
      const compiled = serviceTable(graph, service, variant)
      const clusters = compiled.targets.map((target) => upstreamCluster(graph, { mesh, trustDomain }, target, policy))
      return { ...compiled, clusters }
    })
}

/** One cluster per name, in order of names. */
function distinctClusters(services: readonly CompiledService[]): readonly Cluster[] {
  const byName = new Map(services.flatMap(({ clusters }) => clusters).map((cluster) => [cluster.name, cluster]))
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function finish(subject: Subject, { trustDomain }: CompileOptions, { warnings, ...parts }: Parts): Compiled {
  const { kind, mesh, name } = subject
  const content = { schema: SNAPSHOT_SCHEMA, subject: { kind, mesh, name }, trustDomain, ...parts } as const
  return { ok: true, value: { ...content, revision: revisionOf(content) }, warnings }
}

import { spiffeId } from '../model/identity.ts'
import type { Subject } from '../model/reference.ts'
import type { ConnectionPool } from '../model/resource/connection-pool.ts'
import { durationMs } from '../model/resource/duration.ts'
import type { ClientPolicy, ClientTls as ClientTlsSpec, ListenerTls } from '../model/resource/tls.ts'
import type { NodeListener, VirtualNodeSpec } from '../model/resource/virtual-node.ts'
import type { ClientTls, Cluster, HealthCheck, Origin, OutlierDetection, UpstreamTls } from '../model/snapshot.ts'
import { CONNECT_TIMEOUT_MS, NO_LIMITS, OUTLIER_DETECTION, RETRY_BUDGET } from './defaults.ts'
import { type Graph, specOf } from './graph.ts'
import type { Target } from './routes.ts'
import { sniFor } from './sni.ts'

/** Name of the cluster of the app's own port behind an inbound listener. */
export function localClusterName(port: number): string {
  return `local:${port}`
}

/** The app beside this proxy. Its limits are those of the listener's connection pool: App Mesh enforces them where they are. */
export function localCluster(node: string, { portMapping, connectionPool }: NodeListener): Cluster {
  return {
    name: localClusterName(portMapping.port),
    origin: { kind: 'virtual-node', name: node },
    port: portMapping.port,
    protocol: portMapping.protocol,
    discovery: { kind: 'local' },
    tls: { mesh: null, plain: { kind: 'plaintext' } },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    limits: limitsOf(connectionPool),
    healthCheck: null,
    outlierDetection: null,
    retryBudget: RETRY_BUDGET,
  }
}

/** Hosts outside of the mesh that the egress filter lets through: each request names its own address. */
export function egressCluster(node: string): Cluster {
  return {
    name: 'egress',
    origin: { kind: 'virtual-node', name: node },
    // For a Host without port.
    port: 80,
    protocol: 'http',
    discovery: { kind: 'passthrough' },
    tls: { mesh: null, plain: { kind: 'plaintext' } },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    limits: NO_LIMITS,
    healthCheck: null,
    outlierDetection: null,
    retryBudget: RETRY_BUDGET,
  }
}

/** A peer's port, as the subject calls it. Health check and outlier detection are those that the peer's listener declares. */
export function upstreamCluster(
  graph: Graph,
  { mesh, trustDomain }: { readonly mesh: string; readonly trustDomain: string },
  target: Target,
  policy: ClientPolicy | undefined,
): Cluster {
  const { cluster, node, port, protocol } = target
  const spec = specOf(graph, 'virtual-node', node) ?? {}
  const listener = spec.listeners?.find(({ portMapping }) => portMapping.port === port)
  const origin: Origin = { kind: 'virtual-node', name: node }
  const subject: Subject = { kind: 'virtual-node', mesh, name: node }
  return {
    name: cluster,
    origin,
    port,
    protocol,
    discovery: discoveryOf(node, spec),
    tls: {
      mesh: { sni: sniFor(mesh, node, port), spiffeId: spiffeId(trustDomain, subject) },
      plain: plainTls(listener, port, policy, spec.serviceDiscovery?.dns?.hostname),
    },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    limits: NO_LIMITS,
    healthCheck: healthCheckOf(listener, origin),
    outlierDetection: outlierDetectionOf(listener, protocol, origin),
    retryBudget: RETRY_BUDGET,
  }
}

/** App Mesh's default for DNS is LOADBALANCER. Cloud Map and no discovery at all mean that the control plane knows the endpoints. */
function discoveryOf(node: string, { serviceDiscovery }: VirtualNodeSpec): Cluster['discovery'] {
  const dns = serviceDiscovery?.dns
  if (dns === undefined) return { kind: 'endpoints', node }
  return { kind: 'dns', node, hostname: dns.hostname, response: dns.responseType === 'ENDPOINTS' ? 'all' : 'logical' }
}

/** How to call an endpoint without sidecar: as the client policy wants; else never if its listener is STRICT; else in the clear. */
function plainTls(
  listener: NodeListener | undefined,
  port: number,
  policy: ClientPolicy | undefined,
  hostname: string | undefined,
): UpstreamTls['plain'] {
  const tls = policy?.tls
  const isForPort = tls?.ports === undefined || tls.ports.length === 0 || tls.ports.includes(port)
  if (tls !== undefined && tls.enforce !== false && isForPort) return { kind: 'tls', tls: clientTls(tls, hostname) }
  return listener?.tls?.mode === 'STRICT' ? { kind: 'refuse' } : { kind: 'plaintext' }
}

/**
 * A policy for several hosts lists the names of all of them (a gateway has but one policy). A host that is listed itself
 * must show its own name: the certificate of another one of the list proves nothing here.
 */
function clientTls({ certificate, validation }: ClientTlsSpec, hostname: string | undefined): ClientTls {
  const { trust, sans } = validationOf(validation)
  return {
    trust,
    sans: hostname !== undefined && sans.includes(hostname) ? [hostname] : sans,
    certificate: certificate === undefined ? null : certificateOf(certificate),
  }
}

/** ACM authorities and SDS secrets stood for the mesh's own CA in App Mesh; here that is the mesh trust bundle. */
export function validationOf({
  trust: { file },
  subjectAlternativeNames,
}: ClientTlsSpec['validation'] | NonNullable<ListenerTls['validation']>) {
  const trust =
    file === undefined ? ({ kind: 'mesh' } as const) : ({ kind: 'file', chain: file.certificateChain } as const)
  return { trust, sans: subjectAlternativeNames?.match.exact ?? [] }
}

/** A certificate from a file stays one; ACM and SDS are replaced by the workload certificate that the mesh CA issues. */
export function certificateOf(certificate: {
  readonly file?: { readonly certificateChain: string; readonly privateKey: string } | undefined
}) {
  const { file } = certificate
  return file === undefined
    ? ({ kind: 'mesh' } as const)
    : ({ kind: 'file', chain: file.certificateChain, key: file.privateKey } as const)
}

function limitsOf(pool: ConnectionPool | undefined): Cluster['limits'] {
  const connections = pool?.http ?? pool?.tcp
  return {
    maxConnections: connections?.maxConnections ?? null,
    maxPendingRequests: pool?.http?.maxPendingRequests ?? null,
    maxRequests: (pool?.http2 ?? pool?.grpc)?.maxRequests ?? null,
  }
}

function healthCheckOf(listener: NodeListener | undefined, origin: Origin): HealthCheck | null {
  const check = listener?.healthCheck
  if (check === undefined) return null
  const hasPath = check.protocol === 'http' || check.protocol === 'http2'
  return {
    protocol: check.protocol,
    path: hasPath ? check.path || '/' : null,
    // App Mesh allows the listener's own port only, which is where the endpoint is dialled anyway.
    port: null,
    intervalMs: check.intervalMillis,
    timeoutMs: check.timeoutMillis,
    healthyThreshold: check.healthyThreshold,
    unhealthyThreshold: check.unhealthyThreshold,
    origin,
  }
}

function outlierDetectionOf(
  listener: NodeListener | undefined,
  protocol: Cluster['protocol'],
  origin: Origin,
): OutlierDetection | null {
  const given = listener?.outlierDetection
  if (given === undefined) return protocol === 'tcp' ? null : OUTLIER_DETECTION
  return {
    maxServerErrors: given.maxServerErrors,
    intervalMs: durationMs(given.interval),
    baseEjectionMs: durationMs(given.baseEjectionDuration),
    maxEjectionPercent: given.maxEjectionPercent,
    origin,
  }
}

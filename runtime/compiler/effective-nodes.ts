import { parseSpiffeId } from '../model/identity.ts'
import type { ResourceRef, Subject } from '../model/reference.ts'
import type { Logging } from '../model/resource/access-log.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { ClientPolicy } from '../model/resource/tls.ts'
import type { NodeListener } from '../model/resource/virtual-node.ts'
import type { Certificate, Cluster, InboundPort } from '../model/snapshot.ts'
import { accessLogs } from './access-logs.ts'
import { localCluster, upstreamCluster } from './clusters.ts'
import { openTimeout } from './effective-routes.ts'
import {
  asGiven,
  byDefault,
  byOrigin,
  complete,
  type Effective,
  type EffectiveObject,
  items,
  milliseconds,
} from './effective-values.ts'
import { gatewayTlsPolicies } from './gateway-tls.ts'
import { type Graph, meshSpec } from './graph.ts'
import { gatewayListeners, inboundListener, outboundListener } from './listeners.ts'
import { authorizationOf, certificatesPolicy } from './policies.ts'

/** Effective views of what proxies are made from. Whatever the user left open is asked of the compiler itself, so that both agree. */

export function effectiveMesh(ref: ResourceRef, spec: SpecOf<'mesh'>): EffectiveObject {
  const { egress } = outboundListener({ kind: 'virtual-node', mesh: ref.mesh, name: ref.name }, [], spec)
  const type = egress.kind === 'all' ? 'ALLOW_ALL' : 'DROP_ALL'
  const exceptions = egress.suffixes.map((suffix) => `*${suffix}`)
  const rest = {
    egressFilter: { type: byDefault(type, 'egress-filter'), exceptions: byDefault(exceptions, 'egress-filter') },
  }
  return complete(asGiven(spec, ref, 'spec'), rest) as EffectiveObject
}

export function effectiveNode(graph: Graph, ref: ResourceRef & Subject, spec: SpecOf<'virtual-node'>): Effective {
  const listeners = spec.listeners ?? []
  const inbound = inboundListener(ref, listeners, null).ports
  const given = asGiven(spec, ref, 'spec')
  const mesh: ResourceRef = { kind: 'mesh', mesh: ref.mesh, name: ref.mesh }
  const { discovery } = clusterOf(graph, ref, listeners[0])
  const response = discovery.kind === 'dns' && discovery.response === 'all' ? 'ENDPOINTS' : 'LOADBALANCER'
  const rest = {
    listeners: items(
      listeners.map((listener, index) => openListener(graph, ref, listener, inbound[index]!)),
      'listeners',
    ),
    backendDefaults: { clientPolicy: openPolicy(spec.backendDefaults?.clientPolicy) },
    backends: items(
      (spec.backends ?? []).map(({ virtualService }) => ({
        virtualService: {
          clientPolicy: policyOf(ref, virtualService?.clientPolicy, spec.backendDefaults?.clientPolicy),
        },
      })),
      'backends',
    ),
    serviceDiscovery:
      spec.serviceDiscovery?.dns === undefined
        ? byDefault(null, 'service-discovery')
        : { dns: { responseType: byDefault(response, 'service-discovery') } },
    logging: openLogging(spec.logging, ref),
    callers: callersOf(graph, ref),
    // The mesh's, which is applied where the node is.
    egressFilter: effectiveMesh(mesh, meshSpec(graph, ref)).egressFilter,
  }
  return complete(given, rest)
}

export function effectiveGateway(graph: Graph, ref: ResourceRef & Subject, spec: SpecOf<'virtual-gateway'>): Effective {
  const policies = gatewayTlsPolicies(graph, ref.name)
  const compiled = gatewayListeners(ref.name, spec.listeners, policies)
  const rest = {
    listeners: compiled.map(({ tls, timeouts }) => ({
      tls: { mode: byDefault(tls.mode.toUpperCase(), 'tls'), certificate: certificateSource(tls.certificate) },
      timeout: openTimeout(timeouts, false),
    })),
    backendDefaults: { clientPolicy: openPolicy(spec.backendDefaults?.clientPolicy) },
    logging: openLogging(spec.logging, ref),
    certificates: openCertificates(graph, ref.name),
    tlsPassthrough: items(
      policies.passthrough.map(({ serverNames, table, port, origin }) => ({
        hosts: byOrigin(serverNames, origin),
        virtualService: byOrigin(table, origin),
        port: byOrigin(port, origin),
      })),
      'tls-passthrough',
    ),
  }
  return complete(asGiven(spec, ref, 'spec'), rest)
}

/** Those that TLS listeners have beside their own. */
function openCertificates(graph: Graph, gateway: string): Effective {
  const policy = certificatesPolicy(graph, gateway)
  const certificates = (policy?.certificates ?? []).map(({ file }) => ({
    file: {
      certificateChain: byOrigin(file.certificateChain, policy!.origin),
      privateKey: byOrigin(file.privateKey, policy!.origin),
    },
  }))
  return items(certificates, 'certificates')
}

/** Whom an authorization policy lets in; null: whoever the listeners let in. */
function callersOf(graph: Graph, ref: Subject): Effective {
  const authorization = authorizationOf(graph, ref, ANY_TRUST_DOMAIN)
  if (authorization === null) return byDefault(null, 'authorization')
  const { allow, mode, origin } = authorization
  const names = allow.map((id) => {
    const { kind, name } = parseSpiffeId(id)!.subject
    return `${kind}/${name}`
  })
  return { allow: byOrigin(names, origin), mode: byOrigin(mode, origin) }
}

/** Names of resources are shown, not SPIFFE IDs. */
const ANY_TRUST_DOMAIN = 'any'

/** A peer's view of a listener of this node: it is the callers that check its health and eject its instances. */
function clusterOf(graph: Graph, { mesh, name }: Subject, listener: NodeListener | undefined): Cluster {
  const { port, protocol } = listener?.portMapping ?? { port: 80, protocol: 'http' }
  return upstreamCluster(graph, { mesh, trustDomain: '' }, { cluster: name, node: name, port, protocol }, undefined)
}

function openListener(graph: Graph, ref: Subject, listener: NodeListener, inbound: InboundPort): EffectiveObject {
  const { port, protocol } = listener.portMapping
  const { limits } = localCluster(ref.name, listener)
  const { healthCheck, outlierDetection, connectTimeoutMs, retryBudget } = clusterOf(graph, ref, listener)
  const { published } = inbound
  return {
    timeout: { [protocol]: openTimeout(inbound.timeouts, protocol === 'tcp') },
    tls: {
      mode: byDefault(published === null ? 'STRICT' : published.tls.toUpperCase(), 'tls'),
      certificate: certificateSource(published?.certificate ?? { kind: 'mesh' }),
      ...(published === null ? {} : { publishedPort: byDefault(published.port, 'published-port') }),
    },
    connectionPool: { [protocol]: openPool(limits, protocol) },
    healthCheck:
      healthCheck === null
        ? byDefault(null, 'health-check')
        : { path: byDefault(healthCheck.path, 'health-check'), port: byDefault(port, 'health-check') },
    outlierDetection: openOutlierDetection(outlierDetection),
    connectTimeout: byDefault(milliseconds(connectTimeoutMs), 'connect-timeout'),
    retryBudget: {
      percent: byDefault(retryBudget.percent, 'retry-budget'),
      minRetriesPerSecond: byDefault(retryBudget.minRetriesPerSecond, 'retry-budget'),
    },
  }
}

/** Null: no limit. */
function openPool(limits: Cluster['limits'], protocol: NodeListener['portMapping']['protocol']): EffectiveObject {
  const limit = (value: number | null) => byDefault(value, 'connection-pool')
  if (protocol === 'http2' || protocol === 'grpc') return { maxRequests: limit(limits.maxRequests) }
  const maxConnections = limit(limits.maxConnections)
  return protocol === 'tcp'
    ? { maxConnections }
    : { maxConnections, maxPendingRequests: limit(limits.maxPendingRequests) }
}

function openOutlierDetection(detection: Cluster['outlierDetection']): Effective {
  if (detection === null) return byDefault(null, 'outlier-detection')
  const { name } = detection.origin
  return {
    maxServerErrors: byDefault(detection.maxServerErrors, name),
    interval: byDefault(milliseconds(detection.intervalMs), name),
    baseEjectionDuration: byDefault(milliseconds(detection.baseEjectionMs), name),
    maxEjectionPercent: byDefault(detection.maxEjectionPercent, name),
  }
}

/** The mesh issues a certificate of its own in the place of ACM's and SDS's, and for the mTLS of peers always. */
function certificateSource({ kind }: Certificate): EffectiveObject {
  return kind === 'file' ? {} : { source: byDefault(kind, 'certificate') }
}

/** The client policy of one backend: its own, or that of all backends. */
function policyOf(ref: ResourceRef, own: ClientPolicy | undefined, ofAll: ClientPolicy | undefined): Effective {
  if (own !== undefined || ofAll === undefined) return openPolicy(own)
  return complete(asGiven(ofAll, ref, 'spec.backendDefaults.clientPolicy'), openPolicy(ofAll))
}

/** Without TLS of its own, a call goes by the mesh's mTLS where there is a sidecar, and in the clear where there is none. */
function openPolicy(policy: ClientPolicy | undefined): EffectiveObject {
  if (policy?.tls === undefined) return { tls: byDefault(null, 'client-policy') }
  return { tls: { enforce: byDefault(true, 'client-policy'), ports: byDefault([], 'client-policy') } }
}

function openLogging(logging: Logging | undefined, ref: ResourceRef & Subject): Effective {
  const [log] = accessLogs(logging, ref)
  if (log === undefined) return byDefault(null, 'access-log')
  if (log.format.kind === 'json' || logging?.accessLog?.file?.format !== undefined) return {}
  return { accessLog: { file: { format: { text: byDefault(log.format.template, 'access-log') } } } }
}

export function effectiveRouter(ref: ResourceRef, spec: SpecOf<'virtual-router'>): Effective {
  const rest = { listeners: byDefault([], 'listeners') }
  return complete(asGiven(spec, ref, 'spec'), rest)
}

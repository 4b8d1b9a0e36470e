import { X509Certificate } from 'node:crypto'
import type { RunningProxy } from '../proxy.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import { VERSION } from '../version.ts'
import type { AdminView, CertificateView, ClusterView, EndpointView } from './view.ts'

/** What the admin pages show of a running proxy. */
export function createAdminView(proxy: RunningProxy): AdminView {
  const { serving, log } = proxy
  return {
    version: VERSION,
    subject: proxy.environment.subject,
    startedAtMs: performance.timeOrigin,
    state: () => (serving.draining ? 'DRAINING' : serving.snapshot === null ? 'INITIALIZING' : 'LIVE'),
    notReady: () => proxy.notReady(),
    metrics: () => proxy.metrics.render(),
    snapshot: () => serving.snapshot,
    endpoints: () => serving.endpointSets,
    clusters: () => [...serving.clusters.values()].map(clusterView),
    certificates: () => (proxy.identity.ready ? [certificateView(proxy.identity.credentials.chainPem)] : []),
    drainListeners: () => {
      serving.drain()
      serving.closeIdle()
    },
    failHealthcheck: (fail) => {
      proxy.failing = fail
    },
    logLevel: () => log.level,
    setLogLevel: (level) => {
      log.level = level
    },
  }
}

function clusterView(cluster: UpstreamCluster): ClusterView {
  return {
    name: cluster.spec.name,
    activeRequests: cluster.active,
    pendingRequests: cluster.pending,
    endpoints: cluster.endpoints.map((endpoint) => endpointView(endpoint)),
  }
}

function endpointView(endpoint: PooledEndpoint): EndpointView {
  const ejected = endpoint.ejectedUntilMs > Date.now()
  return {
    address: endpoint.pool?.address ?? endpoint.address,
    health: endpoint.draining ? 'draining' : ejected ? 'ejected' : endpoint.healthy ? 'healthy' : 'unhealthy',
    activeRequests: endpoint.active,
    activeConnections: endpoint.pool?.activeCount ?? 0,
    requests: endpoint.requests,
    failures: endpoint.failures,
  }
}

function certificateView(pem: string): CertificateView {
  const leaf = new X509Certificate(pem)
  return {
    source: 'mesh',
    subject: leaf.subject,
    uris: (leaf.subjectAltName ?? '').split(', ').flatMap((name) => (name.startsWith('URI:') ? [name.slice(4)] : [])),
    serialNumber: leaf.serialNumber,
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
  }
}

import type { Origin } from '../../../runtime/model/snapshot.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { UpstreamCluster } from '../upstream/cluster.ts'
import type { Egress } from './outbound.ts'

/** App Mesh's defaults for routes hold for what leaves the mesh, too. */
const REQUEST_MS = 15_000
const IDLE_MS = 300_000

/** Requests to hosts outside of the mesh go where their Host says, each address with its own connections. */
export function egressTo(cluster: UpstreamCluster, origin: Origin, listener: string, metrics: Metrics): Egress {
  const target = {
    cluster,
    weight: 1,
    metrics: new RequestMetrics(metrics, { listener, route: '', cluster: cluster.spec.name }),
  }
  const plan = {
    route: 'egress',
    targets: [target],
    totalWeight: 1,
    timeouts: { requestMs: REQUEST_MS, idleMs: IDLE_MS, origin },
    retry: null,
  }
  return (_exchange, host, port) => {
    // An IPv6 literal stands in brackets in Host, and without them where it is dialled.
    const address = host.startsWith('[') ? host.slice(1, -1) : host
    return { plan, endpoint: cluster.passthrough(address, port) }
  }
}

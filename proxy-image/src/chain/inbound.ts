import type { InboundPort, RetryPolicy } from '../../../runtime/model/snapshot.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { UpstreamCluster } from '../upstream/cluster.ts'
import type { Authorizer } from './authorize.ts'
import type { Chooser } from './chain.ts'

/**
 * Towards the app: an app may close an idle connection, or say GOAWAY, in the moment in which a request takes it. A fresh
 * connection gets the request then, if it may be sent twice or was not taken up; everything else is the caller's to retry,
 * who can choose another instance.
 */
const STALE_CONNECTION: RetryPolicy = {
  maxRetries: 1,
  perTryTimeoutMs: 0,
  on: ['reset', 'refused-stream'],
  methods: 'idempotent',
  origin: { kind: 'default', name: 'default' },
}

/** From peers to the app beside this sidecar: one way for every request that `authorize` lets in (null: for all). */
export function inboundChooser(
  port: InboundPort,
  cluster: UpstreamCluster,
  listener: string,
  metrics: Metrics,
  authorize: Authorizer | null,
): Chooser {
  const target = {
    cluster,
    weight: 1,
    metrics: new RequestMetrics(metrics, { listener, route: '', cluster: cluster.spec.name }),
  }
  const plan = {
    route: port.origin.name,
    targets: [target],
    totalWeight: 1,
    timeouts: port.timeouts,
    retry: STALE_CONNECTION,
  }
  const choice = { plan, endpoint: null }
  if (authorize === null) return () => choice
  return (exchange) => authorize(exchange.stream.peer) ?? choice
}

import type { OutlierDetection } from '../../../runtime/model/snapshot.ts'
import type { UpstreamEndpoint } from './endpoint.ts'

/** No ejection lasts longer, unless the policy's base does (Envoy's `max_ejection_time`). */
const MAX_EJECTION_MS = 300_000

/**
 * Passive health of one cluster: an endpoint that fails `maxServerErrors` times in a row is left alone for a while,
 * longer each time it happens again. Follows Envoy's consecutive_5xx detector, as App Mesh ran it:
 * - one counter for 5xx answers and failed connections, reset by anything better;
 * - an ejection lasts base x (ejections so far + 1), at most five minutes; the count fades by one for each interval
 *   that the endpoint was not ejected;
 * - at most `maxEjectionPercent` of the endpoints are out at once, yet one may always be, since small clusters could
 *   not be protected at all otherwise (App Mesh: "will eject at least one host regardless of the value"). Here 0 %
 *   ejects none, and neither does a cluster of one, where nothing would be left to choose.
 *
 * Time is passed in, and there is no timer: an ejection ends by itself (`UpstreamEndpoint.available`).
 * https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
 */
export class OutlierDetector {
  /** For metrics: ejections made, and those that the percentage forbade. */
  readonly stats = { ejections: 0, overflows: 0 }
  readonly #policy: OutlierDetection
  readonly #endpoints: () => readonly UpstreamEndpoint[]

  /** @param endpoints the cluster's endpoints as they are now */
  constructor(policy: OutlierDetection, endpoints: () => readonly UpstreamEndpoint[]) {
    this.#policy = policy
    this.#endpoints = endpoints
  }

  /** An answer below 500. */
  onSuccess(endpoint: UpstreamEndpoint): void {
    endpoint.consecutiveErrors = 0
  }

  /** A 5xx answer, or a connection that broke or stayed silent before the answer. */
  onServerError(endpoint: UpstreamEndpoint, nowMs: number): void {
    this.#onError(endpoint, nowMs)
  }

  /** No connection within the connect timeout. Counts like a server error (Envoy without `split_external_local_origin_errors`). */
  onConnectFailure(endpoint: UpstreamEndpoint, nowMs: number): void {
    this.#onError(endpoint, nowMs)
  }

  /** Endpoints that are ejected now; for metrics. */
  ejected(nowMs: number): number {
    let count = 0
    for (const endpoint of this.#endpoints()) if (endpoint.ejectedUntilMs > nowMs) count++
    return count
  }

  #onError(endpoint: UpstreamEndpoint, nowMs: number): void {
    // Requests that were in flight when it was ejected say nothing new.
    if (endpoint.ejectedUntilMs > nowMs) return
    endpoint.consecutiveErrors++
    if (endpoint.consecutiveErrors < this.#policy.maxServerErrors) return
    endpoint.consecutiveErrors = 0
    if (this.#mayEject(endpoint, nowMs)) this.#eject(endpoint, nowMs)
  }

  #mayEject(endpoint: UpstreamEndpoint, nowMs: number): boolean {
    const endpoints = this.#endpoints()
    const percent = this.#policy.maxEjectionPercent
    // It may have left the cluster while its last request was in flight.
    if (!endpoints.includes(endpoint) || endpoints.length < 2 || percent === 0) return false
    const ejected = this.ejected(nowMs)
    if (ejected === 0 || (100 * (ejected + 1)) / endpoints.length <= percent) return true
    this.stats.overflows++
    return false
  }

  #eject(endpoint: UpstreamEndpoint, nowMs: number): void {
    const { baseEjectionMs, intervalMs } = this.#policy
    const calmIntervals = Math.floor((nowMs - endpoint.ejectedUntilMs) / Math.max(1, intervalMs))
    endpoint.ejections = Math.max(0, endpoint.ejections - calmIntervals) + 1
    const lasting = Math.min(baseEjectionMs * endpoint.ejections, Math.max(MAX_EJECTION_MS, baseEjectionMs))
    endpoint.ejectedUntilMs = nowMs + lasting
    this.stats.ejections++
  }
}

import type { Cluster } from '../../../runtime/model/snapshot.ts'

/** Retries are weighed against the requests of this many seconds. */
const WINDOW_S = 10

/**
 * Keeps retries from multiplying load: within any ten seconds at most `percent` of the requests may be sent again, but
 * always `minRetriesPerSecond`, so that a quiet cluster can retry at all. One per cluster.
 *
 * It counts over time, as Finagle and linkerd do (their defaults are ours), and not what is in flight, as Envoy does: when
 * an instance dies, all its requests in flight fail in one moment, and a share of what is in flight then would let most
 * of them go.
 */
export class RetryBudget {
  readonly #percent: number
  readonly #reserve: number
  /** Counts of the last seconds, in a ring; `#second` is the one that is being filled. */
  readonly #requests = new Float64Array(WINDOW_S)
  readonly #retries = new Float64Array(WINDOW_S)
  #second = 0

  constructor({ percent, minRetriesPerSecond }: Cluster['retryBudget']) {
    this.#percent = percent
    this.#reserve = minRetriesPerSecond * WINDOW_S
  }

  /** A request enters. `nowMs` is any clock that does not go back. */
  begin(nowMs: number): void {
    this.#requests[this.#slot(nowMs)]!++
  }

  /** Spends one retry, or says no. */
  tryRetry(nowMs: number): boolean {
    const slot = this.#slot(nowMs)
    let requests = 0
    let retries = 0
    for (let i = 0; i < WINDOW_S; i++) {
      requests += this.#requests[i]!
      retries += this.#retries[i]!
    }
    if (retries + 1 > (this.#percent * requests) / 100 + this.#reserve) return false
    this.#retries[slot]!++
    return true
  }

  /** Place of this second, cleared of what stood there ten seconds ago. */
  #slot(nowMs: number): number {
    const second = Math.floor(nowMs / 1000)
    const passed = Math.min(WINDOW_S, second - this.#second)
    for (let i = 0; i < passed; i++) {
      const stale = (second - i) % WINDOW_S
      this.#requests[stale] = 0
      this.#retries[stale] = 0
    }
    if (passed > 0) this.#second = second
    return this.#second % WINDOW_S
  }
}

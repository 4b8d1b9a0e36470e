import type { Cluster } from '../../../runtime/model/snapshot.ts'

/**
 * Keeps retries from multiplying load: at most `percent` of the active requests may be retries at the same time, but
 * always `minRetries`, so that a quiet cluster can retry at all (Envoy's `retry_budget`, which is where the two names
 * come from). One per cluster.
 */
export class RetryBudget {
  readonly #percent: number
  readonly #minRetries: number
  #active = 0
  #retrying = 0

  constructor(limits: Cluster['retryBudget']) {
    this.#percent = limits.percent
    this.#minRetries = limits.minRetries
  }

  /** Requests in flight. */
  get active(): number {
    return this.#active
  }

  /** Retries in flight. */
  get retrying(): number {
    return this.#retrying
  }

  /** A request enters. Call {@link end} exactly once when it is over, retries included. */
  begin(): void {
    this.#active++
  }

  end(): void {
    this.#active--
  }

  /** Takes a place for one retry, or says no. After a yes, call {@link endRetry} exactly once. */
  tryRetry(): boolean {
    if (this.#retrying + 1 > Math.max(this.#minRetries, (this.#percent * this.#active) / 100)) return false
    this.#retrying++
    return true
  }

  endRetry(): void {
    this.#retrying--
  }
}

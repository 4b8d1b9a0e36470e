import type { Reason } from '../errors.ts'
import { http } from '../node-http.ts'
import type { Rejection } from '../tls/server.ts'
import type { Histogram } from './histogram.ts'
import type { Counter, Metrics } from './metrics.ts'

/** Methods and statuses that one route counts apart. */
const MAX_GRPC_SERIES = 500

/** What became of the wish to try a request again. */
export type RetryOutcome = 'performed' | 'budget_exhausted' | 'limit_reached' | 'not_replayable'

/** Counters by HTTP status, each resolved when its status is first seen. */
class StatusCounters {
  readonly #byStatus: (Counter | undefined)[] = new Array(600).fill(undefined)
  readonly #resolve: (status: string) => Counter

  constructor(resolve: (status: string) => Counter) {
    this.#resolve = resolve
  }

  inc(status: number): void {
    const index = status >= 100 && status < 600 ? status : 0
    const counter = this.#byStatus[index]
    if (counter === undefined) this.#first(index).inc()
    else counter.inc()
  }

  #first(status: number): Counter {
    const counter = this.#resolve(statusLabel(status))
    this.#byStatus[status] = counter
    return counter
  }
}

/** Registered statuses by number, others by class: what an app may invent must not multiply series. 499 is our own. */
function statusLabel(status: number): string {
  if (status === 0) return 'none'
  return http.STATUS_CODES[status] !== undefined || status === 499 ? String(status) : `${Math.floor(status / 100)}xx`
}

/** Counters by a word of a closed union, each resolved when its word is first seen. */
export class WordCounters<W extends string> {
  readonly #byWord = new Map<W, Counter>()
  readonly #resolve: (word: W) => Counter

  constructor(resolve: (word: W) => Counter) {
    this.#resolve = resolve
  }

  inc(word: W): void {
    let counter = this.#byWord.get(word)
    if (counter === undefined) {
      counter = this.#resolve(word)
      this.#byWord.set(word, counter)
    }
    counter.inc()
  }
}

/**
 * Golden signals of one way through the proxy: a listener, a route (empty: none, or inbound) and the cluster chosen
 * (empty: none). Make one for each target of a route when the snapshot is built.
 */
export class RequestMetrics {
  readonly #statuses: StatusCounters
  readonly #durations: Histogram
  readonly #retries: WordCounters<RetryOutcome>
  readonly #grpcCounter: (method: string, status: string) => Counter
  #grpc: Map<string, Counter> | null = null

  constructor(metrics: Metrics, { listener, route, cluster }: { listener: string; route: string; cluster: string }) {
    this.#statuses = new StatusCounters((status) =>
      metrics.counter('weft_requests_total', { listener, route, cluster, status }),
    )
    this.#durations = metrics.histogram('weft_request_duration_seconds', { listener, route })
    this.#retries = new WordCounters((outcome) => metrics.counter('weft_retries_total', { route, outcome }))
    this.#grpcCounter = (method, status) =>
      metrics.counter('weft_grpc_requests_total', { listener, route, method, grpc_status: status })
  }

  /** One finished exchange; status 0 when no response head went out. */
  record(status: number, durationMs: number): void {
    this.#statuses.inc(status)
    this.#durations.observe(durationMs)
  }

  retry(outcome: RetryOutcome): void {
    this.#retries.inc(outcome)
  }

  /** One finished gRPC call; status null when none came. `path` is `/package.Service/Method`. */
  grpc(path: string, status: string | null): void {
    this.#grpc ??= new Map()
    const key = `${path} ${status}`
    let counter = this.#grpc.get(key)
    if (counter === undefined) {
      // Paths that callers make up, and statuses that servers do, must not multiply series.
      const known = this.#grpc.size < MAX_GRPC_SERIES && /^\d{1,2}$/.test(status ?? '0')
      counter = known ? this.#grpcCounter(path.slice(1), status ?? 'none') : this.#grpcCounter('other', 'other')
      if (known) this.#grpc.set(key, counter)
    }
    counter.inc()
  }
}

/** What upstream did for one cluster. */
export class ClusterMetrics {
  readonly #statuses: StatusCounters
  readonly #attempts: WordCounters<'answered' | 'connected' | Reason>

  constructor(metrics: Metrics, cluster: string) {
    this.#statuses = new StatusCounters((status) =>
      metrics.counter('weft_upstream_requests_total', { cluster, status }),
    )
    this.#attempts = new WordCounters((outcome) =>
      metrics.counter('weft_upstream_attempts_total', { cluster, outcome }),
    )
  }

  /** One attempt that brought a response head. */
  answered(status: number): void {
    this.#statuses.inc(status)
    this.#attempts.inc('answered')
  }

  /** One connection of TCP. */
  connected(): void {
    this.#attempts.inc('connected')
  }

  /** One attempt that brought none. */
  failed(reason: Reason): void {
    this.#attempts.inc(reason)
  }
}

/** What went wrong at one listener. */
export class ListenerMetrics {
  readonly #errors: WordCounters<Reason>
  readonly #tls: WordCounters<Rejection>

  constructor(metrics: Metrics, listener: string) {
    this.#errors = new WordCounters((reason) => metrics.counter('weft_request_errors_total', { listener, reason }))
    this.#tls = new WordCounters((reason) => metrics.counter('weft_tls_handshake_failures_total', { listener, reason }))
  }

  error(reason: Reason): void {
    this.#errors.inc(reason)
  }

  tlsFailed(reason: Rejection): void {
    this.#tls.inc(reason)
  }
}

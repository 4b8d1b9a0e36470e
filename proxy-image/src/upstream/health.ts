import type { Duplex } from 'node:stream'
import type { HealthCheck } from '../../../runtime/model/snapshot.ts'
import { http } from '../node-http.ts'
import type { UpstreamEndpoint } from './endpoint.ts'
import { answersOkByHttp2, isServingGrpc } from './http2-check.ts'

/** First checks are spread over this long, so that proxies that learn of an endpoint together do not all ask at once. */
const FIRST_CHECK_SPREAD_MS = 1000

/** Bytes of an answer's head; its body is not read. */
const MAX_HEAD_BYTES = 16_384

export interface HealthCheckerOptions<E extends UpstreamEndpoint> {
  readonly policy: HealthCheck
  /** Host of http, http2 and grpc checks: the cluster's name, as Envoy sends it. */
  readonly host: string
  /**
   * Opens a connection that is ready to use (for TLS: after the handshake), to `port`, or when that is null to where
   * requests to this endpoint go. Must reject once `signal` aborts.
   */
  readonly connect: (endpoint: E, port: number | null, signal: AbortSignal) => Promise<Duplex>
  /** Told after `endpoint.healthy` changed. */
  readonly onChange?: (endpoint: E) => void
  /** Uniform in [0, 1); spreads the first checks. */
  readonly random?: () => number
}

/** The checking of one endpoint. */
interface Watch<E> {
  readonly endpoint: E
  timer: NodeJS.Timeout | undefined
  /** The check under way. */
  check: AbortController | undefined
  /** Results in a row that contradict `endpoint.healthy`. */
  contrary: number
  checkedBefore: boolean
}

/**
 * Active health of one cluster's endpoints: the one writer of `endpoint.healthy`.
 * An http or http2 check passes with status 200 and nothing else (Envoy's default `expected_statuses`,
 * https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/health_checking); a grpc check when the server
 * calls itself SERVING; a tcp check when the connection opens.
 *
 * A new endpoint counts as healthy, so that no request waits, and its first check decides at once, as a first success
 * does in Envoy. Later it takes `unhealthyThreshold` failures or `healthyThreshold` successes in a row (as App Mesh words
 * it; Envoy ignores the former when the answer is an unexpected status).
 */
export class HealthChecker<E extends UpstreamEndpoint = UpstreamEndpoint> {
  readonly #options: HealthCheckerOptions<E>
  readonly #watches = new Map<E, Watch<E>>()
  #stopped = false

  constructor(options: HealthCheckerOptions<E>) {
    this.#options = options
  }

  start(endpoints: readonly E[]): void {
    this.update(endpoints)
  }

  /** Checks exactly these endpoints from now on; those known already keep their rhythm and their counts. */
  update(endpoints: readonly E[]): void {
    if (this.#stopped) return
    const wanted = new Set(endpoints)
    for (const watch of this.#watches.values()) if (!wanted.has(watch.endpoint)) this.#end(watch)
    const { policy, random = Math.random } = this.#options
    for (const endpoint of wanted) {
      if (this.#watches.has(endpoint)) continue
      const watch: Watch<E> = { endpoint, timer: undefined, check: undefined, contrary: 0, checkedBefore: false }
      this.#watches.set(endpoint, watch)
      this.#schedule(watch, random() * Math.min(policy.intervalMs, FIRST_CHECK_SPREAD_MS))
    }
  }

  /** Ends all checks for good; leaves no timer and no connection behind. */
  stop(): void {
    this.#stopped = true
    for (const watch of this.#watches.values()) this.#end(watch)
  }

  #end(watch: Watch<E>): void {
    this.#watches.delete(watch.endpoint)
    clearTimeout(watch.timer)
    watch.check?.abort()
  }

  #schedule(watch: Watch<E>, delayMs: number): void {
    watch.timer = setTimeout(() => void this.#run(watch), delayMs)
    watch.timer.unref()
  }

  async #run(watch: Watch<E>): Promise<void> {
    const { policy } = this.#options
    const check = new AbortController()
    watch.check = check
    // A check without an end would be no check: a timeout that is off means the interval.
    const timeout = setTimeout(() => check.abort(), policy.timeoutMs || policy.intervalMs)
    timeout.unref()
    const passed = await this.#passes(watch.endpoint, check.signal)
    clearTimeout(timeout)
    watch.check = undefined
    if (this.#watches.get(watch.endpoint) !== watch) return
    this.#count(watch, passed)
    this.#schedule(watch, policy.intervalMs)
  }

  async #passes(endpoint: E, signal: AbortSignal): Promise<boolean> {
    const { policy, connect } = this.#options
    let socket: Duplex | undefined
    try {
      socket = await connect(endpoint, policy.port, signal)
      // Its end is no news here: the check has its result by then, or a listener of its own.
      socket.on('error', () => {})
      if (signal.aborted) return false
      return await this.#answers(socket, signal)
    } catch {
      return false
    } finally {
      socket?.destroy()
    }
  }

  #answers(socket: Duplex, signal: AbortSignal): boolean | Promise<boolean> {
    const { policy, host } = this.#options
    const path = policy.path ?? '/'
    switch (policy.protocol) {
      case 'http':
        return answersOk(socket, host, path, signal)
      case 'http2':
        return answersOkByHttp2(socket, host, path, signal)
      case 'grpc':
        return isServingGrpc(socket, host, signal)
      case 'tcp':
        return true
    }
  }

  #count(watch: Watch<E>, passed: boolean): void {
    const { policy, onChange } = this.#options
    const { endpoint } = watch
    const needed = watch.checkedBefore ? (passed ? policy.healthyThreshold : policy.unhealthyThreshold) : 1
    watch.checkedBefore = true
    watch.contrary = passed === endpoint.healthy ? 0 : watch.contrary + 1
    if (watch.contrary === 0 || watch.contrary < needed) return
    watch.contrary = 0
    endpoint.healthy = passed
    onChange?.(endpoint)
  }
}

/** Whether GET on a fresh connection is answered with 200. Rejects when it is not answered at all, or on `signal`. */
function answersOk(socket: Duplex, host: string, path: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const check = http.request({
      createConnection: () => socket,
      path,
      headers: { host, 'user-agent': 'weft-health-check', connection: 'close' },
      maxHeaderSize: MAX_HEAD_BYTES,
      signal,
    })
    check.on('response', (response) => resolve(response.statusCode === 200))
    check.on('error', reject)
    // Also when it ends without either, as on an unasked-for upgrade.
    check.on('close', () => resolve(false))
    check.end()
  })
}

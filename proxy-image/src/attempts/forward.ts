import type { RetryPolicy, Timeouts } from '../../../runtime/model/snapshot.ts'
import type { OutgoingRequest, ResponseHead } from '../codec/message.ts'
import { ProxyError } from '../errors.ts'
import type { Exchange, Forwarder } from '../exchange.ts'
import type { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import { Attempt, type AttemptOwner } from './attempt.ts'
import { Deadline, type DeadlineOwner } from './deadline.ts'
import type { RequestBody } from './request-body.ts'
import { requestId } from './request-id.ts'
import { backOffMs, peerDidNotSend, REASON_FIELD, retriesError, retriesStatus } from './retry.ts'

/** One weighted target of a route. `metrics` counts what goes through it. */
export interface ForwardTarget {
  readonly cluster: UpstreamCluster
  readonly weight: number
  readonly metrics: RequestMetrics
}

/** Where a route sends requests, resolved once per snapshot. */
export interface ForwardPlan {
  /** The user's name of the route. */
  readonly route: string
  readonly targets: readonly ForwardTarget[]
  readonly totalWeight: number
  readonly timeouts: Timeouts
  readonly retry: RetryPolicy | null
}

/** How one request is forwarded: choose a target, try, and try again where the policy and the budget allow it. */
export class Forwarding implements Forwarder, AttemptOwner, DeadlineOwner {
  readonly exchange: Exchange
  readonly plan: ForwardPlan
  readonly cluster: UpstreamCluster
  private readonly body: RequestBody | null
  private attempt: Attempt | null = null
  private tried: PooledEndpoint[] | null = null
  private retries = 0
  private readonly requestDeadline: Deadline | null
  private idleDeadline: Deadline | null = null
  private backOff: NodeJS.Timeout | null = null
  /** For the idle timeout: when a byte last moved. */
  private movedAtMs: number
  private readonly fixed: PooledEndpoint | null

  /** `fixed`: the only endpoint to use (egress); null lets the balancer choose. */
  constructor(exchange: Exchange, plan: ForwardPlan, target: ForwardTarget, fixed: PooledEndpoint | null) {
    this.exchange = exchange
    this.plan = plan
    this.cluster = target.cluster
    this.fixed = fixed
    this.movedAtMs = exchange.startedAtMs
    this.body = exchange.body
    if (plan.retry === null) this.body?.sendOnce()
    this.requestDeadline = plan.timeouts.requestMs === 0 ? null : new Deadline(this)
    exchange.metrics = target.metrics
    exchange.upstreamCluster = this.cluster.spec.name
    this.cluster.active++
    this.cluster.budget.begin(exchange.startedAtMs)
  }

  start(): void {
    const { requestMs, idleMs } = this.plan.timeouts
    // As in Envoy: the request timeout begins when the request is complete, so that uploads are not cut by it.
    if (this.body === null || this.body.ended) this.requestDeadline?.set(requestMs, this.exchange.startedAtMs)
    if (idleMs !== 0 && (requestMs === 0 || idleMs < requestMs || this.body !== null)) {
      this.idleDeadline = new Deadline(this)
      this.idleDeadline.set(idleMs, this.exchange.startedAtMs)
    }
    this.tryOnce()
  }

  private tryOnce(): void {
    const endpoint = this.fixed ?? this.cluster.pick(this.tried)
    if (endpoint === undefined) {
      const message = `no endpoint of ${this.cluster.spec.name} is known`
      return this.exchange.fail(new ProxyError('no_endpoint', 'mesh', { message }))
    }
    this.exchange.attempts++
    this.exchange.upstreamAddress = endpoint.pool!.address
    this.attempt = new Attempt(this, endpoint, this.plan.retry?.perTryTimeoutMs ?? 0)
    this.attempt.start(this.body)
  }

  // ---- the request ------------------------------------------------------------------------------------------------

  onRequestData(): void {
    this.movedAtMs = performance.now()
  }

  onRequestEnd(): void {
    this.requestDeadline?.set(this.plan.timeouts.requestMs, performance.now())
  }

  onRequestFlush(): void {
    if (this.attempt?.flush() === false) this.exchange.stream.pauseRequest()
  }

  onRequestDrain(): void {
    this.exchange.stream.resumeRequest()
  }

  onResponseDrain(): void {
    this.attempt?.resumeResponse()
  }

  // ---- the answer -------------------------------------------------------------------------------------------------

  /** True: the answer is passed on. False: it was put aside, and another attempt comes. */
  onHead(attempt: Attempt, head: ResponseHead): boolean {
    const now = performance.now()
    this.movedAtMs = now
    const meshReason = attempt.endpoint.sidecar === null ? undefined : head.fields.get(REASON_FIELD)
    head.fields.dropNamed(REASON_FIELD)
    const retry = this.retriesHead(head.status, meshReason)
    if (retry && this.tryAgain(attempt, peerDidNotSend(meshReason), meshReason ?? `${head.status}`)) return false
    this.body?.forget()
    this.exchange.responseHeadMs = now - this.exchange.startedAtMs
    this.exchange.upstreamServiceTimeMs = now - attempt.sentAtMs
    this.exchange.respond(head)
    return true
  }

  private retriesHead(status: number, meshReason: string | undefined): boolean {
    const { retry } = this.plan
    if (retry === null || status < 400) return false
    if (peerDidNotSend(meshReason)) return retry.on.includes('connect-failure')
    return retriesStatus(retry, status, this.exchange.head.method)
  }

  onData(chunk: Buffer, start: number, end: number): void {
    this.exchange.bytesSent += end - start
    this.exchange.stream.write(chunk, start, end)
  }

  /** False: the downstream reads too slowly. */
  onFlush(): boolean {
    if (this.idleDeadline !== null) this.movedAtMs = performance.now()
    return this.exchange.stream.flush()
  }

  onAttemptFailed(attempt: Attempt, error: ProxyError): void {
    const { retry } = this.plan
    if (!this.exchange.headSent && retry !== null && retriesError(retry, error, this.exchange.head.method)) {
      if (this.tryAgain(attempt, error.retry === 'unsent', error.reason)) return
    }
    this.exchange.fail(error)
  }

  /** Starts over with another endpoint if the policy, the body and the budget allow it. */
  private tryAgain(attempt: Attempt, unsent: boolean, why: string): boolean {
    const { metrics } = this.exchange
    if (this.retries >= this.plan.retry!.maxRetries) {
      if (this.retries > 0) metrics.retry('limit_reached')
      return false
    }
    if (this.body !== null && !this.body.replayable) {
      metrics.retry('not_replayable')
      return false
    }
    if (!this.cluster.budget.tryRetry(performance.now())) {
      metrics.retry('budget_exhausted')
      return false
    }
    this.retries++
    metrics.retry('performed')
    this.exchange.retried(why, attempt.endpoint.pool!.address)
    this.body?.detach()
    this.attempt = null
    this.tried = this.tried === null ? [attempt.endpoint] : [...this.tried, attempt.endpoint]
    // Nothing was processed and somebody else may be well: no reason to wait.
    const waitMs = unsent && this.tried.length < this.cluster.endpoints.length ? 0 : backOffMs(this.retries)
    this.backOff = setTimeout(() => {
      this.backOff = null
      this.tryOnce()
    }, waitMs)
    return true
  }

  onDeadline(deadline: Deadline): void {
    const { requestMs, idleMs } = this.plan.timeouts
    if (deadline === this.requestDeadline) {
      const message = `no complete answer in ${requestMs} ms (request timeout)`
      return this.exchange.fail(new ProxyError('upstream_timeout', 'upstream', { message }))
    }
    const now = performance.now()
    const quietMs = now - this.movedAtMs
    if (quietMs < idleMs - 1) return this.idleDeadline!.set(Math.ceil(idleMs - quietMs), now)
    this.exchange.fail(
      new ProxyError('idle_timeout', 'upstream', { message: `no byte moved in ${idleMs} ms (idle timeout)` }),
    )
  }

  /** The exchange is over, however it went. */
  release(): void {
    this.requestDeadline?.cancel()
    this.idleDeadline?.cancel()
    if (this.backOff !== null) clearTimeout(this.backOff)
    this.attempt?.abort()
    this.attempt = null
    this.cluster.active--
  }

  /** The request as it goes upstream; the same for each attempt. */
  get request(): OutgoingRequest {
    this.outgoing ??= outgoingRequest(this.exchange)
    return this.outgoing
  }
  private outgoing: OutgoingRequest | null = null
}

function outgoingRequest(exchange: Exchange): OutgoingRequest {
  const { head, chain, target, authority, scheme } = exchange
  const { method, hostField, fields, bodyLength } = head
  if (chain.edge !== null) {
    if (!fields.forwards('x-request-id')) fields.add('x-request-id', requestId())
    if (chain.edge === 'gateway') addForwarded(exchange)
  }
  return { method, target, authority, hostField, scheme, fields, bodyLength }
}

/** A gateway says who asked, and how (the de-facto fields of every load balancer; RFC 7239 is read by few apps). */
function addForwarded(exchange: Exchange): void {
  const { fields } = exchange.head
  const client = exchange.stream.remoteHost
  const former = fields.forwards('x-forwarded-for') ? fields.get('x-forwarded-for') : undefined
  fields.dropNamed('x-forwarded-for')
  fields.add('x-forwarded-for', former === undefined ? client : `${former}, ${client}`)
  if (!fields.forwards('x-forwarded-proto')) fields.add('x-forwarded-proto', exchange.scheme)
}

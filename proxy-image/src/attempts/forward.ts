import type { RetryPolicy, Timeouts } from '../../../runtime/model/snapshot.ts'
import type { FieldSection } from '../codec/field-section.ts'
import type { OutgoingRequest, ResponseHead } from '../codec/message.ts'
import { ProxyError } from '../errors.ts'
import type { Exchange, Forwarder } from '../exchange.ts'
import { grpcTimeout, grpcTimeoutMs } from '../grpc.ts'
import type { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import { Attempt, type AttemptOwner } from './attempt.ts'
import { Deadline, type DeadlineOwner } from './deadline.ts'
import type { RequestBody } from './request-body.ts'
import { requestId } from './request-id.ts'
import {
  backOffMs,
  looksAtGrpcStatus,
  peerDidNotSend,
  REASON_FIELD,
  retriesError,
  retriesGrpcStatus,
  retriesPeerReason,
  retriesStatus,
} from './retry.ts'

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
  /** 0: none. */
  private readonly requestMs: number
  private readonly requestDeadline: Deadline | null
  /** The head of a gRPC answer that waits for its status, since that decides whether it is passed on. */
  private heldHead: ResponseHead | null = null
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
    this.requestMs = exchange.isGrpc ? grpcRequestMs(exchange, plan) : plan.timeouts.requestMs
    this.requestDeadline = this.requestMs === 0 ? null : new Deadline(this)
    exchange.metrics = target.metrics
    exchange.upstreamCluster = this.cluster.spec.name
    this.cluster.active++
    this.cluster.budget.begin(exchange.startedAtMs)
  }

  start(): void {
    const { requestMs } = this
    const { idleMs } = this.plan.timeouts
    // As in Envoy: the request timeout begins when the request is complete, so that uploads are not cut by it. That of gRPC
    // is a deadline of the whole call.
    const { body, exchange } = this
    if (body === null || body.ended || exchange.isGrpc || exchange.head.upgrade !== null) {
      this.requestDeadline?.set(requestMs, exchange.startedAtMs)
    }
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
    if (!this.exchange.isGrpc && this.exchange.head.upgrade === null)
      this.requestDeadline?.set(this.requestMs, performance.now())
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
    const retry = this.retriesHead(head, meshReason)
    if (retry && this.tryAgain(attempt, peerDidNotSend(meshReason), meshReason ?? `${head.status}`)) return false
    if (this.waitsForStatus(head)) this.heldHead = head
    else this.passOn(attempt, head, now)
    return true
  }

  private passOn(attempt: Attempt, head: ResponseHead, now: number): void {
    this.heldHead = null
    if (head.status === 101) {
      // From here on silence alone ends it.
      this.requestDeadline?.cancel()
      attempt.openTunnel()
    }
    this.body?.forget()
    this.exchange.responseHeadMs = now - this.exchange.startedAtMs
    this.exchange.upstreamServiceTimeMs = now - attempt.sentAtMs
    this.exchange.respond(head)
  }

  private retriesHead({ status, fields }: ResponseHead, meshReason: string | undefined): boolean {
    const { exchange } = this
    const { retry } = this.plan
    if (retry === null) return false
    if (retriesPeerReason(retry, meshReason, exchange.head.method)) return true
    if (peerDidNotSend(meshReason)) return false
    // A status beside the head: there is nothing but trailers.
    const grpcStatus = exchange.isGrpc ? fields.get('grpc-status') : undefined
    if (grpcStatus !== undefined) return retriesGrpcStatus(retry, grpcStatus, exchange.head.method)
    return retriesStatus(retry, status, exchange.head.method)
  }

  /** A gRPC answer whose status comes with the trailers: until there is a message, it may still be put aside. */
  private waitsForStatus(head: ResponseHead): boolean {
    const { retry } = this.plan
    if (retry === null || head.bodyLength === 0 || !this.exchange.isGrpc || !looksAtGrpcStatus(retry)) return false
    return this.retries < retry.maxRetries && head.fields.get('grpc-status') === undefined
  }

  onEnd(attempt: Attempt, trailers: FieldSection | null): void {
    const { heldHead, exchange } = this
    if (heldHead !== null) {
      const status = trailers?.get('grpc-status')
      const retry = status !== undefined && retriesGrpcStatus(this.plan.retry!, status, exchange.head.method)
      if (retry && this.tryAgain(attempt, false, `grpc-status ${status}`)) return
      this.passOn(attempt, heldHead, performance.now())
    }
    exchange.complete(trailers)
  }

  onData(chunk: Buffer, start: number, end: number): void {
    if (this.heldHead !== null) this.passOn(this.attempt!, this.heldHead, performance.now())
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
    this.heldHead = null
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
    const { idleMs } = this.plan.timeouts
    if (deadline === this.requestDeadline) {
      const message = `no complete answer in ${this.requestMs} ms (request timeout)`
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

/** Deadlines of so many steps a second are kept apart, so that few timers serve many calls. */
const GRPC_STEP_MS = 10

/** The time a gRPC call has: what its client gives it, and no more than the route. It is told to whoever serves it. */
function grpcRequestMs({ head }: Exchange, { timeouts }: ForwardPlan): number {
  const given = grpcTimeoutMs(head.fields.get('grpc-timeout'))
  const { requestMs } = timeouts
  if (given !== undefined && (requestMs === 0 || given <= requestMs)) {
    return Math.ceil(given / GRPC_STEP_MS) * GRPC_STEP_MS
  }
  if (requestMs > 0) {
    head.fields.dropNamed('grpc-timeout')
    head.fields.add('grpc-timeout', grpcTimeout(requestMs))
  }
  return requestMs
}

function outgoingRequest(exchange: Exchange): OutgoingRequest {
  const { head, chain, target, authority, scheme } = exchange
  const { method, hostField, fields, bodyLength, upgrade } = head
  if (chain.edge !== null) {
    if (!fields.forwards('x-request-id')) fields.add('x-request-id', requestId())
    if (chain.edge === 'gateway') addForwarded(exchange)
  }
  return { method, target, authority, hostField, scheme, fields, bodyLength, upgrade }
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

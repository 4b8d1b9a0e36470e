import type { FieldSection } from '../codec/field-section.ts'
import type { OutgoingRequest, ResponseHead } from '../codec/message.ts'
import type { ResponseReceiver, UpstreamStream } from '../codec/stream.ts'
import { ProxyError } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { GRPC_CODES } from '../grpc.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import type { StreamWaiter } from '../upstream/pool.ts'
import { Deadline, type DeadlineOwner } from './deadline.ts'
import type { RequestBody } from './request-body.ts'

/** An answer that is put aside for a retry is read to its end up to here, so that its connection can be used again. */
const DISCARD_BYTES = 64 * 1024
/** And not longer than this, or an answer that never ends would hold its connection for ever. */
const DISCARD_MS = 1_000

/** What a gRPC server answers that can't serve; outlier detection takes it for a 503, as Envoy does. */
const UNAVAILABLE = String(GRPC_CODES.unavailable)

/** Whom an attempt reports to. */
export interface AttemptOwner {
  readonly exchange: Exchange
  readonly cluster: UpstreamCluster
  /** The request as it goes upstream. */
  readonly request: OutgoingRequest
  /** True: the answer is passed on. False: it was put aside, and another attempt comes. */
  onHead(attempt: Attempt, head: ResponseHead): boolean
  onData(chunk: Buffer, start: number, end: number): void
  onEnd(attempt: Attempt, trailers: FieldSection | null): void
  /** False: the downstream reads too slowly. */
  onFlush(): boolean
  onAttemptFailed(attempt: Attempt, error: ProxyError): void
  onRequestDrain(): void
}

/** One try at one endpoint: gets a connection, sends the request, and reports the answer to its forwarding. */
export class Attempt implements ResponseReceiver, StreamWaiter, DeadlineOwner {
  readonly endpoint: PooledEndpoint
  /** `performance.now()` when the head was given to a connection. */
  sentAtMs = 0
  private readonly forwarding: AttemptOwner
  private deadline: Deadline | null
  private readonly perTryTimeoutMs: number
  private body: RequestBody | null = null
  private stream: UpstreamStream | null = null
  private cancelDial: (() => void) | null = null
  private discarding = false
  private discarded = 0
  private over = false

  constructor(forwarding: AttemptOwner, endpoint: PooledEndpoint, perTryTimeoutMs: number) {
    this.forwarding = forwarding
    this.endpoint = endpoint
    this.perTryTimeoutMs = perTryTimeoutMs
    this.deadline = perTryTimeoutMs === 0 ? null : new Deadline(this)
    endpoint.active++
    endpoint.requests++
  }

  start(body: RequestBody | null): void {
    this.body = body
    this.deadline?.set(this.perTryTimeoutMs, performance.now())
    this.cancelDial = this.endpoint.pool!.acquire(this)
  }

  onStream(stream: UpstreamStream): void {
    this.cancelDial = null
    if (this.over) return stream.giveBack()
    const { forwarding, body } = this
    this.stream = stream
    this.sentAtMs = performance.now()
    stream.begin(this, forwarding.request)
    if (forwarding.request.upgrade !== null) {
      // What follows is for the app alone, if it takes the upgrade.
      stream.flush()
    } else if (body === null) {
      stream.end(null)
      stream.flush()
    } else {
      body.attach(stream)
      // Inside of a read the flush comes when all of it was parsed: a broken body then never leaves this host.
      if (!forwarding.exchange.stream.reading) {
        stream.flush()
        forwarding.onRequestDrain()
      }
    }
  }

  onConnectFailure(error: ProxyError): void {
    this.cancelDial = null
    if (this.over) return
    if (error.reason !== 'overflow') this.forwarding.cluster.outlier?.onConnectFailure(this.endpoint, Date.now())
    this.fail(error)
  }

  /** The upgrade is taken: what the downstream says goes through from here on. */
  openTunnel(): void {
    const { stream, body } = this
    if (stream === null || body === null) return
    body.attach(stream)
    stream.flush()
    this.forwarding.onRequestDrain()
  }

  flush(): boolean {
    return this.stream?.flush() ?? true
  }

  resumeResponse(): void {
    if (!this.over) this.stream?.resumeResponse()
  }

  /** The exchange gives this attempt up. */
  abort(): void {
    if (!this.finish()) return
    this.cancelDial?.()
    this.forwarding.cluster.forget(this)
    this.stream?.abort()
  }

  // ---- the answer -------------------------------------------------------------------------------------------------

  onInformational(head: ResponseHead): void {
    if (!this.over) this.forwarding.exchange.stream.sendInformational(head)
  }

  onResponseHead(head: ResponseHead): void {
    this.deadline?.cancel()
    const { cluster } = this.forwarding
    cluster.metrics.answered(head.status)
    if (head.status >= 500 || head.fields.get('grpc-status') === UNAVAILABLE)
      cluster.outlier?.onServerError(this.endpoint, Date.now())
    else cluster.outlier?.onSuccess(this.endpoint)
    if (this.forwarding.onHead(this, head)) return
    this.discarding = true
    // Without an end in sight, or with the request half sent, the connection is not worth keeping.
    if (head.bodyLength < 0 || head.bodyLength > DISCARD_BYTES) return this.abort()
    this.deadline ??= new Deadline(this)
    this.deadline.set(DISCARD_MS, performance.now())
  }

  onResponseData(chunk: Buffer, start: number, end: number): void {
    if (!this.discarding) this.forwarding.onData(chunk, start, end)
    else {
      this.discarded += end - start
      if (this.discarded > DISCARD_BYTES) this.abort()
    }
  }

  onResponseEnd(trailers: FieldSection | null): void {
    this.stream = null
    if (this.finish() && !this.discarding) this.forwarding.onEnd(this, trailers)
  }

  onResponseFlush(): void {
    if (this.over || this.discarding) return
    if (!this.forwarding.onFlush()) this.stream?.pauseResponse()
  }

  onResponseError(error: ProxyError): void {
    this.stream = null
    if (this.over) return
    this.forwarding.cluster.outlier?.onServerError(this.endpoint, Date.now())
    this.fail(error)
  }

  onRequestDrain(): void {
    if (!this.over) this.forwarding.onRequestDrain()
  }

  onDeadline(): void {
    if (this.discarding) return this.abort()
    const message = `no answer in ${this.perTryTimeoutMs} ms (per-retry timeout)`
    const error = new ProxyError('per_try_timeout', 'upstream', { retry: 'idempotent', message })
    this.forwarding.cluster.outlier?.onServerError(this.endpoint, Date.now())
    this.cancelDial?.()
    this.forwarding.cluster.forget(this)
    this.stream?.abort()
    this.stream = null
    this.fail(error)
  }

  private fail(error: ProxyError): void {
    if (!this.finish()) return
    this.endpoint.failures++
    this.forwarding.cluster.metrics.failed(error.reason)
    if (!this.discarding) this.forwarding.onAttemptFailed(this, error)
  }

  /** Once: this attempt no longer counts. False when it did not before. */
  private finish(): boolean {
    if (this.over) return false
    this.over = true
    this.deadline?.cancel()
    this.endpoint.active--
    return true
  }
}

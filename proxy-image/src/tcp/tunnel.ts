import { Deadline, type DeadlineOwner } from '../attempts/deadline.ts'
import { peerDidNotSend, REASON_FIELD } from '../attempts/retry.ts'
import { Http2Fields } from '../codec/http2/fields.ts'
import { CHUNKED, type OutgoingRequest, type ResponseHead, UNTIL_CLOSE } from '../codec/message.ts'
import type { DownstreamStream, RequestReceiver, ResponseReceiver, UpstreamStream } from '../codec/stream.ts'
import { ProxyError, type Reason, STATUS } from '../errors.ts'
import type { EndpointPool, StreamWaiter } from '../upstream/pool.ts'
import type { EndListener, Reached, TcpEnd } from './end.ts'

/** TCP connections between sidecars: streams of HTTP/2, each opened by an extended CONNECT (RFC 8441). */

/** `:protocol` of the CONNECT. */
export const TCP_PROTOCOL = 'weft-tcp'

/** Which port is meant is known by the SNI of the connection. */
const CONNECT: OutgoingRequest = {
  method: 'CONNECT',
  target: '/',
  authority: 'tcp',
  hostField: null,
  scheme: 'https',
  fields: new Http2Fields([]),
  bodyLength: CHUNKED,
  upgrade: TCP_PROTOCOL,
}

const ACCEPTED: ResponseHead = {
  status: 101,
  phrase: '',
  version: 20,
  fields: new Http2Fields([]),
  bodyLength: UNTIL_CLOSE,
  keepAlive: true,
}

/** A stream that carries one direction each way, whichever side opened it. */
abstract class Tunnel implements TcpEnd {
  /** Null: nobody listens yet, or it is over. */
  protected listener: EndListener | null = null
  private endReceived = false
  private ending = false

  protected abstract readonly carrier: Pick<UpstreamStream, 'write' | 'flush' | 'end'>
  abstract open(): void
  abstract pause(): void
  abstract resume(): void
  abstract reset(error: ProxyError): void

  attach(listener: EndListener): void {
    this.listener = listener
  }

  write(chunk: Buffer, start: number, end: number): void {
    this.carrier.write(chunk, start, end)
  }

  flush(): boolean {
    return this.carrier.flush()
  }

  end(): void {
    this.ending = true
    this.carrier.end(null)
    this.closeIfOver()
  }

  protected onEndReceived(): void {
    this.endReceived = true
    this.listener!.onEnd()
    this.closeIfOver()
  }

  protected onDrained(): void {
    if (this.ending) this.closeIfOver()
    else this.listener!.onDrain()
  }

  /** After its end a stream is flushed when all of it has left. */
  private closeIfOver(): void {
    if (this.endReceived && this.ending && this.carrier.flush()) this.close(null)
  }

  protected close(error: ProxyError | null): void {
    const { listener } = this
    this.listener = null
    listener?.onClosed(error)
  }
}

/** From a peer's sidecar: it is answered once the app is reached, or with the reason why it is not. */
export class DownstreamTunnel extends Tunnel implements RequestReceiver {
  protected readonly carrier: DownstreamStream
  private opened = false

  constructor(stream: DownstreamStream) {
    super()
    this.carrier = stream
  }

  open(): void {
    this.opened = true
    this.carrier.sendHead(ACCEPTED)
  }

  pause(): void {
    this.carrier.pauseRequest()
  }

  resume(): void {
    this.carrier.resumeRequest()
  }

  reset(error: ProxyError): void {
    if (this.listener === null) return
    this.breakOff(error)
    this.close(null)
  }

  private breakOff(error: ProxyError): void {
    if (this.opened) this.carrier.abort()
    else this.carrier.sendOwn(STATUS[error.reason], `${REASON_FIELD}: ${error.reason}\r\n`, '')
  }

  onRequestData(chunk: Buffer, start: number, end: number): void {
    if (this.listener === null) return
    if (this.opened) this.listener.onData(chunk, start, end)
    else this.refuseEarly()
  }

  onRequestEnd(): void {
    if (this.listener === null) return
    if (this.opened) this.onEndReceived()
    else this.refuseEarly()
  }

  /** A sidecar reads nothing of its client before it knows that all of it will arrive. */
  private refuseEarly(): void {
    const error = new ProxyError('bad_request', 'downstream', { message: 'bytes before the connection was accepted' })
    this.breakOff(error)
    this.close(error)
  }

  onRequestFlush(): void {}

  onRequestError(error: ProxyError): void {
    this.close(error)
  }

  onResponseDrain(): void {
    if (this.listener !== null) this.onDrained()
  }
}

/** To a peer's sidecar. */
export class UpstreamTunnel extends Tunnel implements StreamWaiter, ResponseReceiver, DeadlineOwner {
  private readonly pool: EndpointPool
  private readonly timeoutMs: number
  private readonly deadline = new Deadline(this)
  /** Who waits for the answer; null: it is there, or nobody does. */
  private done: ((result: Reached | ProxyError) => void) | null
  private stream: UpstreamStream | null = null
  private cancelWish: (() => void) | null = null

  /** `done` is called once, unless it is cancelled before; never before {@link start} returns. */
  constructor(pool: EndpointPool, timeoutMs: number, done: (result: Reached | ProxyError) => void) {
    super()
    this.pool = pool
    this.timeoutMs = timeoutMs
    this.done = done
  }

  protected get carrier(): UpstreamStream {
    return this.stream!
  }

  start(): void {
    this.deadline.set(this.timeoutMs, performance.now())
    this.cancelWish = this.pool.acquire(this)
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    if (this.done === null) return
    this.settle()
    this.cancelWish?.()
    this.stream?.abort()
  }

  private settle(): ((result: Reached | ProxyError) => void) | null {
    const { done } = this
    this.done = null
    this.deadline.cancel()
    return done
  }

  /** No byte of the client was read by then: it may be tried elsewhere, unless the peer does not want it. */
  private fail(reason: Reason, isFinal: boolean, detail: string, cause?: unknown): void {
    const message = `${this.pool.address}: ${detail}`
    this.settle()?.(new ProxyError(reason, 'upstream', { retry: isFinal ? 'never' : 'unsent', message, cause }))
  }

  onDeadline(): void {
    const { timeoutMs } = this
    this.cancelWish?.()
    this.stream?.abort()
    this.fail('connect_timeout', false, `no answer in ${timeoutMs} ms`)
  }

  onStream(stream: UpstreamStream): void {
    this.cancelWish = null
    if (this.done === null) return stream.giveBack()
    this.stream = stream
    stream.begin(this, CONNECT)
  }

  onConnectFailure(error: ProxyError): void {
    this.cancelWish = null
    this.settle()?.(error)
  }

  onInformational(): void {}

  onResponseHead(head: ResponseHead): void {
    const { endsAtMs } = this.stream!
    if (head.status === 101) return this.settle()?.({ end: this, endsAtMs })
    const given = head.fields.get(REASON_FIELD)
    const reason = given !== undefined && Object.hasOwn(STATUS, given) ? (given as Reason) : 'upstream_protocol'
    this.stream!.abort()
    this.fail(reason, !peerDidNotSend(given), `its sidecar answers ${given ?? head.status}`)
  }

  open(): void {}

  onResponseData(chunk: Buffer, start: number, end: number): void {
    this.listener?.onData(chunk, start, end)
  }

  onResponseEnd(): void {
    if (this.listener !== null) this.onEndReceived()
  }

  onResponseFlush(): void {}

  onResponseError(error: ProxyError): void {
    if (this.done === null) this.close(error)
    else this.fail(error.reason, false, error.message, error)
  }

  onRequestDrain(): void {
    if (this.listener !== null) this.onDrained()
  }

  pause(): void {
    this.stream!.pauseResponse()
  }

  resume(): void {
    this.stream!.resumeResponse()
  }

  reset(): void {
    if (this.listener === null) return
    this.stream!.abort()
    this.close(null)
  }
}

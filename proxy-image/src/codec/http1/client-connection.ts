import type { Socket } from 'node:net'
import { ProxyError } from '../../errors.ts'
import type { FieldSection } from '../field-section.ts'
import { CHUNKED, type OutgoingRequest, type ResponseHead, UNTIL_CLOSE } from '../message.ts'
import type { ResponseReceiver, UpstreamStream } from '../stream.ts'
import { ChunkedDecoder } from './chunked.ts'
import { parseResponseHead } from './head.ts'
import { Output } from './output.ts'
import { badResponse, headText, MAX_HEAD_BYTES } from './syntax.ts'
import { upgradeFault, upgradeRequestLines } from './upgrade.ts'

/** What a connection needs of its pool. */
export interface ClientConnectionOwner {
  /** The exchange is over and the connection can take another. */
  onIdle(connection: Http1ClientConnection): void
  onClosed(connection: Http1ClientConnection): void
}

/** Where a connection is: between exchanges, before the final response head, or inside a body. */
const IDLE = 0
const HEAD = 1
const BODY = 2
const CLOSED = 3

/** Interim responses of one exchange; more are an attack on whoever collects them. */
const MAX_INTERIM = 10

/** The client side of one HTTP/1.1 connection: one exchange at a time, reused while both sides allow it. */
export class Http1ClientConnection implements UpstreamStream {
  /** `performance.now()` of the last release; for idle timeouts. */
  idleSinceMs = 0
  /** `performance.now()` after which it takes no further exchange (certificates end, or the pool is retired). */
  retireAtMs = Number.POSITIVE_INFINITY
  /** `performance.now()` when the first of its certificates ends. */
  endsAtMs = Number.POSITIVE_INFINITY
  /** How long the server keeps an idle connection, from its Keep-Alive field; 0 when it does not say. */
  serverIdleMs = 0
  /** Exchanges begun. A failure of the first one says something else than one of a reused connection. */
  exchanges = 0
  private readonly socket: Socket
  private readonly owner: ClientConnectionOwner
  private readonly output: Output
  private receiver: ResponseReceiver | null = null
  private request: OutgoingRequest | null = null
  /** The exchange has become a tunnel. */
  private tunnel = false
  private phase = IDLE
  private partial = ''
  private interim = 0
  private remaining = 0
  private decoder: ChunkedDecoder | null = null
  private reusable = true
  private requestDone = true
  private chunkedRequest = false

  constructor(socket: Socket, owner: ClientConnectionOwner) {
    this.socket = socket
    this.owner = owner
    const onDrain = (): void => {
      if (!this.output.full) this.receiver?.onRequestDrain()
    }
    this.output = new Output(socket, onDrain)
    socket.on('drain', onDrain)
    socket.on('end', () => this.onEnd())
    socket.on('error', (error) =>
      this.fail(new ProxyError('upstream_reset', 'upstream', { retry: 'idempotent', cause: error })),
    )
    socket.on('close', () => {
      this.fail(new ProxyError('upstream_closed', 'upstream', { retry: 'idempotent' }))
      owner.onClosed(this)
    })
  }

  get localAddress(): string {
    return `${this.socket.localAddress}:${this.socket.localPort}`
  }

  // ---- sending ----------------------------------------------------------------------------------------------------

  begin(receiver: ResponseReceiver, request: OutgoingRequest): void {
    this.receiver = receiver
    this.request = request
    this.phase = HEAD
    this.interim = 0
    // Of an upgrade nothing follows before it is taken.
    this.requestDone = request.upgrade !== null
    this.exchanges++
    this.chunkedRequest = request.bodyLength < 0 && request.upgrade === null
    this.output.add(requestText(request))
  }

  giveBack(): void {
    this.owner.onIdle(this)
  }

  write(chunk: Buffer, start: number, end: number): void {
    if (this.chunkedRequest) this.output.addChunk(chunk, start, end)
    else this.output.addBytes(chunk, start, end)
  }

  end(trailers: FieldSection | null): void {
    if (this.chunkedRequest) this.output.addLastChunk(trailers)
    this.requestDone = true
    if (!this.tunnel) return
    this.output.finish()
    this.socket.end()
  }

  flush(): boolean {
    return this.output.flush()
  }

  abort(): void {
    this.receiver = null
    this.close()
  }

  close(): void {
    this.phase = CLOSED
    this.socket.destroy()
    // At once: the socket tells of its end only in a later turn, and until then a request could be given to it.
    this.owner.onClosed(this)
  }

  pauseResponse(): void {
    this.socket.pause()
  }

  resumeResponse(): void {
    this.socket.resume()
  }

  // ---- reading ----------------------------------------------------------------------------------------------------

  /** Takes what the socket read: `chunk[start, end)`, which is read over as soon as this returns. */
  onData(chunk: Buffer, start: number, end: number): void {
    const receiver = this.receiver
    // Nobody asked: whatever it says next can't be matched to a request (RFC 9112, section 9.2).
    if (receiver === null) return this.close()
    let at = start
    while (at < end && this.receiver === receiver) {
      at = this.phase === HEAD ? this.readHead(chunk, at, end) : this.readBody(chunk, at, end)
    }
    receiver.onResponseFlush()
  }

  private readHead(chunk: Buffer, from: number, length: number): number {
    const before = this.partial.length
    const text = headText(this.partial, chunk, from, length)
    const end = text.indexOf('\r\n\r\n')
    if (end < 0 || end > MAX_HEAD_BYTES) {
      if (end > 0 || text.length > MAX_HEAD_BYTES) this.broken(badResponse('response head too large'))
      else this.partial = text
      return length
    }
    this.partial = ''
    const at = from + end + 4 - before
    const last = at === length
    const head = parseResponseHead(text, 0, end, this.request!.method)
    if (head instanceof ProxyError) this.broken(head)
    else if (head.status === 101) this.switchProtocols(head)
    else if (head.status < 200) this.readInterim(head)
    else this.beginBody(head, last)
    return at
  }

  private readInterim(head: ResponseHead): void {
    if (++this.interim > MAX_INTERIM) this.broken(badResponse('too many interim responses'))
    else this.receiver!.onInformational(head)
  }

  /** From now on it carries what the two ends say in their protocol, and no further exchange. */
  private switchProtocols(head: ResponseHead): void {
    const fault = upgradeFault(this.request!, head)
    if (fault !== null) return this.broken(badResponse(fault))
    this.tunnel = true
    this.beginBody({ ...head, bodyLength: UNTIL_CLOSE }, false)
  }

  private beginBody(head: ResponseHead, last: boolean): void {
    this.reusable = head.keepAlive && head.bodyLength !== UNTIL_CLOSE
    if (this.exchanges === 1) this.serverIdleMs = keepAliveTimeoutMs(head)
    this.remaining = head.bodyLength
    this.decoder = head.bodyLength === CHUNKED ? new ChunkedDecoder() : null
    this.phase = BODY
    this.receiver!.onResponseHead(head)
    if (head.bodyLength === 0 && this.receiver !== null) this.complete(null, last)
  }

  private readBody(chunk: Buffer, from: number, length: number): number {
    const receiver = this.receiver!
    if (this.decoder !== null) {
      const decoder = this.decoder
      const at = decoder.feed(chunk, from, length, (data, start, end) =>
        this.receiver?.onResponseData(data, start, end),
      )
      if (decoder.fault !== null) this.broken(badResponse(decoder.fault))
      else if (decoder.done && this.receiver === receiver) this.complete(decoder.trailers, at === length)
      return at
    }
    if (this.remaining === UNTIL_CLOSE) {
      receiver.onResponseData(chunk, from, length)
      return length
    }
    const at = Math.min(length, from + this.remaining)
    this.remaining -= at - from
    receiver.onResponseData(chunk, from, at)
    if (this.remaining === 0 && this.receiver === receiver) this.complete(null, at === length)
    return at
  }

  /**
   * The answer is complete. The connection is given back first, so that a next request finds it; never with bytes behind
   * the answer (`last` is false), which that request would take for its own.
   */
  private complete(trailers: FieldSection | null, last: boolean): void {
    const receiver = this.receiver!
    this.receiver = null
    this.phase = IDLE
    const now = performance.now()
    this.idleSinceMs = now
    if (last && this.reusable && this.requestDone && now < this.retireAtMs) this.owner.onIdle(this)
    else this.close()
    receiver.onResponseEnd(trailers)
  }

  private onEnd(): void {
    if (this.phase === IDLE) this.close()
    else if (this.phase === BODY && this.remaining === UNTIL_CLOSE && this.decoder === null && this.receiver !== null) {
      const receiver = this.receiver
      this.complete(null, true)
      receiver.onResponseFlush()
    }
  }

  private broken(error: ProxyError): void {
    this.fail(error)
    this.close()
  }

  private fail(error: ProxyError): void {
    const receiver = this.receiver
    this.receiver = null
    this.phase = CLOSED
    receiver?.onResponseError(error)
  }
}

function keepAliveTimeoutMs(head: ResponseHead): number {
  const seconds = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(head.fields.get('keep-alive') ?? '')
  return seconds === null ? 0 : Number(seconds[1]) * 1000
}

function requestText({ method, target, authority, hostField, fields, bodyLength, upgrade }: OutgoingRequest): string {
  let host = ''
  if (authority !== hostField) {
    // Not added to the fields, which each attempt writes anew: of a second Host the app would say 400.
    fields.dropNamed('host')
    host = `host: ${authority}\r\n`
  }
  const framing =
    upgrade !== null ? upgradeRequestLines(upgrade, fields) : bodyLength < 0 ? 'transfer-encoding: chunked\r\n' : ''
  return `${method} ${target} HTTP/1.1\r\n${host}${fields.lines()}${framing}\r\n`
}

import type { Socket } from 'node:net'
import { ProxyError, STATUS } from '../../errors.ts'
import { endSocket } from '../../socket/ending.ts'
import { readInto } from '../../socket/reads.ts'
import type { FieldSection } from '../field-section.ts'
import { CHUNKED, type RequestHead, type ResponseHead } from '../message.ts'
import type { DownstreamStream, RequestReceiver } from '../stream.ts'
import { ownAnswer, statusLine } from './answer.ts'
import { ChunkedDecoder } from './chunked.ts'
import { parseRequestHead } from './head.ts'
import { Output } from './output.ts'
import { badRequest, headText, MAX_HEAD_BYTES, NEVER_VALID } from './syntax.ts'
import { switchingText } from './upgrade.ts'

/** What a connection needs of its listener. */
export interface ServerConnectionOwner {
  /** A request head arrived; `connection.head` holds it. May answer at once. */
  onRequest(connection: Http1ServerConnection): RequestReceiver
  /** The client speaks HTTP/2: the socket and what was read of it are given away, and this connection is none any more. */
  onPreface(connection: Http1ServerConnection, socket: Socket, bytes: Buffer): void
  /** The downstream broke the protocol before there was an exchange. Returns the answer's body. */
  onInvalidRequest(error: ProxyError, connection: Http1ServerConnection): string
  onClosed(connection: Http1ServerConnection): void
  /** True: say `Connection: close` with the next answer. */
  readonly draining: boolean
}

/** Where a connection is: between requests, inside a request body, waiting for the rest of the answer, ... */
const HEAD = 0
const BODY = 1
const ANSWER = 2
/** The answer is written, but the downstream has to read it before it may ask for more. */
const DRAINING = 3
const CLOSING = 4
/** The upgrade is taken: what comes is in another protocol, until either side ends. */
const TUNNEL = 5

/** The first line of HTTP/2's preface, which is no request of HTTP/1 (RFC 9113, section 3.4). */
const PREFACE_LINE = 'PRI * HTTP/2.0\r\n'

/** The server side of one HTTP/1.1 connection: requests one after another, pipelined ones answered in order. */
export class Http1ServerConnection implements DownstreamStream {
  head!: RequestHead
  readonly protocol = 'HTTP/1.1'
  readonly peer: string | null
  readonly serverName: string | null
  readonly remoteAddress: string
  readonly remoteHost: string
  /** `performance.now()` of the last time a request began or ended; for idle timeouts. */
  activeAtMs: number
  /** `performance.now()` when an incomplete head began, 0 without one; for slow senders. */
  headSinceMs = 0
  /** `performance.now()` after which it takes no further request (its certificates end). */
  retireAtMs = Number.POSITIVE_INFINITY
  private readonly socket: Socket
  private readonly owner: ServerConnectionOwner
  private readonly output: Output
  private readonly listeners: readonly (readonly [event: string, listener: (chunk: Buffer) => void])[] = [
    ['drain', () => this.onDrain()],
    ['end', () => this.onEnd()],
    ['error', () => this.socket.destroy()],
    [
      'close',
      () => {
        this.onGone()
        this.owner.onClosed(this)
      },
    ],
  ]
  /** No request was read yet. */
  private fresh = true
  private receiver: RequestReceiver | null = null
  private phase = HEAD
  private partial = ''
  private held: Buffer | null = null
  private processing = false
  private remaining = 0
  private decoder: ChunkedDecoder | null = null
  private keepAlive = true
  private chunkedAnswer = false
  /** The downstream learns the end of the answer under way from the close alone. */
  private untilClose = false
  private requestPaused = false

  constructor(socket: Socket, owner: ServerConnectionOwner, tls: { peer: string | null; serverName: string } | null) {
    this.socket = socket
    this.owner = owner
    this.peer = tls?.peer ?? null
    this.serverName = tls?.serverName ?? null
    this.remoteHost = `${socket.remoteAddress}`
    this.remoteAddress = `${this.remoteHost}:${socket.remotePort}`
    this.output = new Output(socket, () => this.onDrain())
    this.activeAtMs = performance.now()
    for (const [event, listener] of this.listeners) socket.on(event, listener)
    readInto(socket, (chunk, start, end) => this.onData(chunk, start, end))
  }

  get localAddress(): string {
    return `${this.socket.localAddress}:${this.socket.localPort}`
  }

  get reading(): boolean {
    return this.processing
  }

  /** No exchange is under way. */
  get idle(): boolean {
    return this.phase === HEAD && this.partial === ''
  }

  /** The last answer is written, and waits for the downstream to read it. */
  get leaving(): boolean {
    return this.phase === DRAINING || this.phase === CLOSING
  }

  // ---- reading ----------------------------------------------------------------------------------------------------

  private onData(chunk: Buffer, start: number, end: number): void {
    if (this.phase === CLOSING) return
    if (this.held !== null) this.held = Buffer.concat([this.held, chunk.subarray(start, end)])
    else this.process(chunk, start, end)
  }

  private process(chunk: Buffer, start: number, end: number): void {
    let at = start
    this.processing = true
    while (at < end && this.phase !== CLOSING) {
      if (this.phase === HEAD) at = this.readHead(chunk, at, end)
      else if (this.phase === BODY) at = this.readBody(chunk, at, end)
      else if (this.phase === TUNNEL) at = this.readTunnel(chunk, at, end)
      else {
        // A pipelined request waits for the answer before it, and so does what follows an upgrade; the socket's buffers hold the rest back.
        this.held = Buffer.from(chunk.subarray(at, end))
        this.socket.pause()
        break
      }
    }
    this.processing = false
  }

  private readHead(chunk: Buffer, from: number, stop: number): number {
    const before = this.partial.length
    const text = headText(this.partial, chunk, from, stop)
    if (this.fresh && text.startsWith(PREFACE_LINE)) {
      this.giveAway(Buffer.concat([Buffer.from(this.partial, 'latin1'), chunk.subarray(from, stop)]))
      return stop
    }
    // An empty line before a request is ignored (RFC 9112, section 2.2).
    const start = text.startsWith('\r\n') ? 2 : 0
    // What was looked through before is not looked through again, or one byte a packet would cost a square of the head.
    const end = text.indexOf('\r\n\r\n', Math.max(start, before - 3))
    if (end < 0 || end - start > MAX_HEAD_BYTES) {
      if (end > 0 || text.length > MAX_HEAD_BYTES) this.refuse(badRequest('request head too large', 'head_too_large'))
      else if (NEVER_VALID.test(before === 0 ? ` ${text}` : text.substring(before - 1)))
        this.refuse(badRequest('bare LF or NUL in request head'))
      else {
        // An empty line alone begins no request: old clients send one after a body.
        this.partial = text === '\r\n' ? '' : text
        if (this.partial === '') this.headSinceMs = 0
        else if (before === 0) this.headSinceMs = performance.now()
      }
      return stop
    }
    this.partial = ''
    this.headSinceMs = 0
    const head = parseRequestHead(text, start, end)
    if (head instanceof ProxyError) {
      this.refuse(head)
      return stop
    }
    this.begin(head)
    const at = from + end + 4 - before
    // A downstream that waits for 100 (Continue) sends no body yet, and its head must not wait for one.
    if (this.phase === BODY && at === stop) this.receiver?.onRequestFlush()
    return at
  }

  private giveAway(bytes: Buffer): void {
    this.phase = CLOSING
    for (const [event, listener] of this.listeners) this.socket.off(event, listener)
    this.owner.onPreface(this, this.socket, bytes)
  }

  private onDrain(): void {
    if (this.output.full) return
    if (this.phase === DRAINING) this.ready()
    else this.receiver?.onResponseDrain()
  }

  private begin(head: RequestHead): void {
    this.fresh = false
    this.head = head
    this.keepAlive = head.keepAlive
    this.chunkedAnswer = false
    this.requestPaused = false
    this.remaining = head.bodyLength
    this.decoder = head.bodyLength === CHUNKED ? new ChunkedDecoder() : null
    this.phase = head.bodyLength === 0 || head.upgrade !== null ? ANSWER : BODY
    const receiver = this.owner.onRequest(this)
    // It may be answered already.
    if (this.phase === ANSWER || this.phase === BODY) this.receiver = receiver
  }

  private readBody(chunk: Buffer, from: number, stop: number): number {
    const receiver = this.receiver!
    let at = from
    if (this.decoder === null) {
      at = Math.min(stop, from + this.remaining)
      this.remaining -= at - from
      receiver.onRequestData(chunk, from, at)
    } else {
      const decoder = this.decoder
      at = decoder.feed(chunk, from, stop, (data, start, end) => receiver.onRequestData(data, start, end))
      if (decoder.fault !== null) {
        this.breakOff(badRequest(decoder.fault))
        return stop
      }
    }
    // The receiver may have answered meanwhile, and the connection moved on.
    if (this.receiver !== receiver || this.phase !== BODY) return at
    if (this.decoder === null ? this.remaining === 0 : this.decoder.done) {
      this.phase = ANSWER
      receiver.onRequestEnd(this.decoder?.trailers ?? null)
    }
    receiver.onRequestFlush()
    return at
  }

  private readTunnel(chunk: Buffer, from: number, stop: number): number {
    this.receiver!.onRequestData(chunk, from, stop)
    this.receiver?.onRequestFlush()
    return stop
  }

  /** Answers a head that can't be accepted. */
  private refuse(error: ProxyError): void {
    this.partial = ''
    this.headSinceMs = 0
    const body = this.owner.onInvalidRequest(error, this)
    this.keepAlive = false
    this.writeOwn(STATUS[error.reason], '', body, false)
    this.closeSoon()
  }

  /** The body broke the protocol, or the downstream went away, while an exchange is under way. */
  private breakOff(error: ProxyError): void {
    this.keepAlive = false
    this.receiver?.onRequestError(error)
    if (this.phase !== CLOSING) this.abort()
  }

  private onEnd(): void {
    if (this.phase !== TUNNEL || this.receiver === null) return this.onGone()
    this.receiver.onRequestEnd(null)
    this.receiver?.onRequestFlush()
  }

  private onGone(): void {
    if (this.receiver !== null) this.breakOff(new ProxyError('downstream_closed', 'downstream'))
    else if (this.phase !== CLOSING) this.abort()
  }

  pauseRequest(): void {
    this.requestPaused = true
    this.socket.pause()
  }

  resumeRequest(): void {
    this.requestPaused = false
    if (this.held === null) this.socket.resume()
  }

  // ---- answering --------------------------------------------------------------------------------------------------

  sendInformational(head: ResponseHead): void {
    if (this.head.version < 11) return
    this.output.add(`${statusLine(head)}${head.fields.lines()}\r\n`)
    this.output.flush()
  }

  sendHead(head: ResponseHead): void {
    if (head.status === 101) return this.switchProtocols(head)
    let text = `${statusLine(head)}${head.fields.lines()}`
    if (head.bodyLength < 0) {
      // RFC 9112, section 6.3: without a length, an HTTP/1.0 downstream learns the end from the close.
      if (this.head.version < 11) {
        this.keepAlive = false
        this.untilClose = true
      } else {
        this.chunkedAnswer = true
        text += 'transfer-encoding: chunked\r\n'
      }
    }
    this.output.add(`${text}${this.connectionLine()}\r\n`)
  }

  private switchProtocols(head: ResponseHead): void {
    this.output.add(switchingText(this.head, head))
    this.phase = TUNNEL
    this.keepAlive = false
    // The client may end its half while the app still speaks.
    this.socket.allowHalfOpen = true
    this.output.flush()
    this.takeHeld()
  }

  sendOwn(status: number, headers: string, body: string): void {
    this.writeOwn(status, headers, body, this.head.method === 'HEAD')
    this.finish()
  }

  private get retired(): boolean {
    return this.retireAtMs !== Number.POSITIVE_INFINITY && performance.now() > this.retireAtMs
  }

  private writeOwn(status: number, headers: string, body: string, headOnly: boolean): void {
    this.output.add(ownAnswer(status, headers + this.connectionLine(), body, headOnly))
  }

  private connectionLine(): string {
    if (this.owner.draining || this.retired) this.keepAlive = false
    if (!this.keepAlive) return 'connection: close\r\n'
    return this.head.version < 11 ? 'connection: keep-alive\r\n' : ''
  }

  write(chunk: Buffer, start: number, end: number): void {
    if (this.chunkedAnswer) this.output.addChunk(chunk, start, end)
    else this.output.addBytes(chunk, start, end)
  }

  end(trailers: FieldSection | null): void {
    if (this.chunkedAnswer) this.output.addLastChunk(trailers)
    this.finish()
  }

  flush(): boolean {
    return this.output.flush()
  }

  private finish(): void {
    this.receiver = null
    this.untilClose = false
    const drained = this.output.flush()
    this.activeAtMs = performance.now()
    // A body that nobody read to its end can't be told from the next request, nor what came behind a refused upgrade.
    const isAmbiguous = this.phase === BODY || (this.held !== null && this.head.upgrade !== null)
    if (isAmbiguous || !this.keepAlive) return this.closeSoon()
    if (drained) this.ready()
    else this.phase = DRAINING
  }

  /** Takes the next request, which may be here already. */
  private ready(): void {
    this.phase = HEAD
    if (this.requestPaused) this.resumeRequest()
    this.takeHeld()
  }

  /** Goes on with what waited for an answer. */
  private takeHeld(): void {
    if (this.held === null || this.processing) return
    const { held } = this
    this.held = null
    this.socket.resume()
    this.process(held, 0, held.length)
  }

  abort(): void {
    this.receiver = null
    this.phase = CLOSING
    // Where the close is the end of the body, a plain close would make half an answer look whole.
    if (this.untilClose && !('encrypted' in this.socket)) this.socket.resetAndDestroy()
    else this.socket.destroy()
  }

  /** Ends the connection between two exchanges, at once. */
  close(): void {
    this.abort()
  }

  /** Times out a head that does not come to its end. */
  expireHead(): void {
    this.refuse(new ProxyError('request_timeout', 'downstream', { message: 'request head took too long' }))
  }

  /** Sends what is left and closes: a downstream that reads slowly gets all of it. */
  private closeSoon(): void {
    this.phase = CLOSING
    this.held = null
    this.output.finish()
    endSocket(this.socket, Number.POSITIVE_INFINITY)
    this.socket.resume()
  }
}

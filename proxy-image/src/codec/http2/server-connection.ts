import type { Socket } from 'node:net'
import { ProxyError, STATUS } from '../../errors.ts'
import { readInto } from '../../socket/reads.ts'
import { type FieldSection, trailersOf } from '../field-section.ts'
import { badRequest } from '../http1/syntax.ts'
import type { RequestHead, ResponseHead } from '../message.ts'
import type { DownstreamStream, RequestReceiver } from '../stream.ts'
import { Http2Connection } from './connection.ts'
import { fieldName } from './field.ts'
import { fieldOf } from './field-cache.ts'
import { Http2Fields } from './fields.ts'
import {
  CANCEL,
  ConnectionError,
  ENABLE_CONNECT_PROTOCOL,
  INTERNAL_ERROR,
  MAX_CONCURRENT_STREAMS,
  MAX_STREAM_ID,
  NO_ERROR,
  PREFACE,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  STREAM_CLOSED,
} from './frames.ts'
import { MAX_TUNNELS } from './receive-window.ts'
import { MALFORMED, requestHead } from './request.ts'
import { statusField } from './response.ts'
import { Http2Stream } from './stream.ts'
import { connectAnswer } from './upgrade.ts'

/** What a connection needs of its listener. */
export interface Http2ServerOwner {
  /** A request head arrived. May answer at once. */
  onRequest(stream: DownstreamStream): RequestReceiver
  /** A request that can't be taken. Returns the answer's body. */
  onInvalidRequest(error: ProxyError, connection: Http2ServerConnection): string
  /** `fault`: the client broke the protocol, and was told. */
  onClosed(connection: Http2ServerConnection, fault: ConnectionError | null): void
}

/** Requests at a time. More are refused, which their sender may repeat elsewhere. */
const MAX_STREAMS = 1_000
/** A request that is given up later than this was no waste: its client waited for it. */
const WASTED_WITHIN_MS = 1_000
/** Between the two GOAWAYs of a farewell: what was sent meanwhile is still served (RFC 9113, section 6.8). */
const FAREWELL_MS = 1_000

/** The server side of one HTTP/2 connection. */
export class Http2ServerConnection extends Http2Connection<ServerStream> {
  readonly protocol = 'HTTP/2'
  readonly peer: string | null
  readonly serverName: string | null
  readonly remoteHost: string
  readonly remoteAddress: string
  readonly localAddress: string
  /** `performance.now()` after which it takes no further request (its certificates end). */
  retireAtMs = Number.POSITIVE_INFINITY
  /** `performance.now()` when something incomplete began, 0 without; for slow senders. */
  headSinceMs = 0
  /** Bytes of one read are being parsed; flushes follow. */
  reading = false
  readonly owner: Http2ServerOwner
  private prefaceBytes = 0
  /** What is incomplete since {@link headSinceMs}. */
  private incomplete: number | undefined
  private readonly maxStreams: number
  private lastId = 0
  private farewell: NodeJS.Timeout | null = null

  constructor(
    socket: Socket,
    owner: Http2ServerOwner,
    tls: { peer: string | null; serverName: string } | null,
    tunnels: boolean,
  ) {
    super(socket, tunnels)
    this.owner = owner
    this.maxStreams = tunnels ? MAX_TUNNELS : MAX_STREAMS
    this.peer = tls?.peer ?? null
    this.serverName = tls?.serverName ?? null
    this.remoteHost = `${socket.remoteAddress}`
    this.remoteAddress = `${this.remoteHost}:${socket.remotePort}`
    this.localAddress = `${socket.localAddress}:${socket.localPort}`
    readInto(socket, (chunk, start, end) => this.take(chunk, start, end))
    socket.on('end', () => this.end())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.end())
    this.greet([
      [MAX_CONCURRENT_STREAMS, this.maxStreams],
      [ENABLE_CONNECT_PROTOCOL, 1],
    ])
  }

  /** Takes what was read, the bytes among it that came before it was known that they are HTTP/2. */
  take(chunk: Buffer, start: number, end: number): void {
    this.reading = true
    let at = start
    while (this.prefaceBytes < PREFACE.length && at < end && !this.closed) {
      if (chunk[at++] === PREFACE[this.prefaceBytes++]) continue
      this.breakOff(new ConnectionError(PROTOCOL_ERROR, 'no HTTP/2 preface'))
    }
    if (at < end) this.read(chunk, at, end)
    this.reading = false
    const since = this.prefaceBytes < PREFACE.length ? -1 : this.incompleteSince
    if (since === undefined) this.headSinceMs = 0
    else if (this.headSinceMs === 0 || since !== this.incomplete) this.headSinceMs = performance.now()
    this.incomplete = since
  }

  get idle(): boolean {
    return this.streams.size === 0
  }

  protected override get lastPeerStream(): number {
    return this.lastId
  }

  protected override isIdle(id: number): boolean {
    return id > this.lastId || (id & 1) === 0
  }

  protected override onHeaders(id: number, endStream: boolean): void {
    const stream = this.streams.get(id)
    if (stream !== undefined) return this.onTrailers(stream, endStream)
    if ((id & 1) === 0) throw new ConnectionError(PROTOCOL_ERROR, 'a client opens odd streams')
    if (id <= this.lastId) return this.unknownStream(id, 'HEADERS')
    this.lastId = id
    this.guard.answeredFrame('HEADERS', this.writer.unsentBytes)
    // Between the two GOAWAYs what comes is still served; after them it may be repeated elsewhere.
    if (this.farewellSaid || this.streams.size >= this.maxStreams) return this.refuseStream(id)
    const { fields, oversized } = this.decoder
    const head = oversized ? badRequest('request head too large', 'head_too_large') : requestHead(fields, endStream)
    if (head === MALFORMED) {
      this.refuse(id, PROTOCOL_ERROR)
      return this.guard.streamWasted()
    }
    if (head instanceof ProxyError) return this.answerInvalid(id, head, endStream)
    const opened = new ServerStream(this, id, head, this.peerInitialWindow)
    this.streams.set(id, opened)
    opened.start(endStream)
    if (endStream) this.endReceived(opened, null)
  }

  private onTrailers(stream: ServerStream, endStream: boolean): void {
    if (stream.endReceived) return this.streamFault(stream, STREAM_CLOSED, 0)
    const { fields, oversized } = this.decoder
    const malformed = oversized || !endStream || fields.some((field) => field.malformed || field.name.pseudo !== 0)
    if (malformed || !stream.countBody(0, true)) return this.streamFault(stream, PROTOCOL_ERROR, 0)
    this.endReceived(stream, trailersOf(new Http2Fields(fields)))
    stream.onFlush()
  }

  private answerInvalid(id: number, error: ProxyError, endStream: boolean): void {
    const body = Buffer.from(this.owner.onInvalidRequest(error, this))
    const fields = new Http2Fields([
      fieldOf(fieldName('content-type'), 'text/plain; charset=utf-8'),
      fieldOf(fieldName('content-length'), String(body.length)),
    ])
    this.sectionWriter.send(id, [statusField(STATUS[error.reason])], fields, false)
    // Without room in the window the length still says that something is missing.
    if (!this.bodies.sendLoose(id, body, this.peerInitialWindow)) return this.refuse(id, CANCEL)
    this.writer.endStream(id)
    if (!endStream) this.refuse(id, NO_ERROR)
  }

  /** One stream too many; the client knows how many it may have, but for those that were on their way. */
  private refuseStream(id: number): void {
    this.refuse(id, REFUSED_STREAM)
    if (this.farewellSaid) this.guard.idleFrame('HEADERS')
    else this.guard.streamWasted()
  }

  /** What goes to the peer when a stream answers. */
  answer(stream: ServerStream, head: ResponseHead): void {
    this.sectionWriter.send(stream.id, [statusField(head.status)], head.fields, false)
    if (head.bodyLength !== 0) this.writer.bodyFollows()
  }

  /** An answer that does not wait for the rest of its request: the client may stop (RFC 9113, section 8.1). */
  protected override endSent(stream: ServerStream): void {
    super.endSent(stream)
    if (!stream.closed && !stream.allowHalfOpen) this.resetStream(stream, NO_ERROR)
  }

  /** A client has nothing to say by it: nothing is pushed. */
  protected override onGoaway(): void {}

  protected override onStreamWasted({ openedAtMs }: ServerStream): void {
    if (performance.now() - openedAtMs < WASTED_WITHIN_MS) this.guard.streamWasted()
  }

  protected override onSettings(): void {}

  protected override onStreamClosed(): void {
    this.activeAtMs = performance.now()
    if (this.farewellSaid && this.streams.size === 0) this.close()
  }

  protected override onClosed(fault: ConnectionError | null): void {
    if (this.farewell !== null) clearTimeout(this.farewell)
    this.owner.onClosed(this, fault)
  }

  // ---- life -------------------------------------------------------------------------------------------------------

  private farewellSaid = false

  /** Says twice that this connection ends: what is on its way after the first time is still served. */
  drain(): void {
    if (this.leaving || this.closed) return
    this.leaving = true
    this.writer.goaway(MAX_STREAM_ID, NO_ERROR)
    this.farewell = setTimeout(() => {
      this.farewell = null
      if (this.closed) return
      this.farewellSaid = true
      this.writer.goaway(this.lastId, NO_ERROR)
      if (this.streams.size === 0) this.close()
    }, FAREWELL_MS)
    this.farewell.unref()
  }

  /** Ends the connection at once, in peace when no request is under way. */
  close(): void {
    if (this.closed) return
    if (!this.farewellSaid) this.writer.goaway(this.lastId, NO_ERROR)
    this.writer.finish()
    this.end()
  }

  /** Times out a preface or field section that does not come to its end. */
  expireHead(): void {
    this.close()
  }
}

/** One request. */
class ServerStream extends Http2Stream implements DownstreamStream {
  readonly head: RequestHead
  /** `performance.now()` when it was opened. */
  readonly openedAtMs: number
  private readonly server: Http2ServerConnection
  private receiver: RequestReceiver | null = null
  private answered = false

  constructor(connection: Http2ServerConnection, id: number, head: RequestHead, sendWindow: number) {
    super(connection, id, sendWindow)
    this.server = connection
    this.head = head
    this.openedAtMs = connection.activeAtMs
    this.expected = head.bodyLength
  }

  start(endStream: boolean): void {
    const receiver = this.server.owner.onRequest(this)
    if (this.closed || this.answered) return
    this.receiver = receiver
    // A downstream that waits for 100 (Continue) sends no body yet, and its head must not wait for one.
    if (!endStream) receiver.onRequestFlush()
  }

  get remoteAddress(): string {
    return this.server.remoteAddress
  }

  get remoteHost(): string {
    return this.server.remoteHost
  }

  get localAddress(): string {
    return this.server.localAddress
  }

  get peer(): string | null {
    return this.server.peer
  }

  get serverName(): string | null {
    return this.server.serverName
  }

  get reading(): boolean {
    return this.server.reading
  }

  get retireAtMs(): number {
    return this.server.retireAtMs
  }

  // ---- the request ------------------------------------------------------------------------------------------------

  override onData(chunk: Buffer, start: number, end: number): void {
    this.receiver?.onRequestData(chunk, start, end)
  }

  override onEnd(trailers: FieldSection | null): void {
    if (this.head.bodyLength !== 0) this.receiver?.onRequestEnd(trailers)
  }

  override onFlush(): void {
    this.receiver?.onRequestFlush()
  }

  override onReset(): void {
    const { receiver } = this
    this.receiver = null
    receiver?.onRequestError(new ProxyError('downstream_closed', 'downstream'))
  }

  override onDrain(): void {
    this.receiver?.onResponseDrain()
  }

  pauseRequest(): void {
    this.pause()
  }

  resumeRequest(): void {
    this.resume()
  }

  // ---- the answer -------------------------------------------------------------------------------------------------

  sendInformational(head: ResponseHead): void {
    if (!this.closed) this.server.answer(this, head)
  }

  sendHead(head: ResponseHead): void {
    if (this.closed) return
    this.allowHalfOpen = this.server.tunnels && head.status === 101
    this.server.answer(this, this.head.upgrade === null ? head : connectAnswer(head, this.peer !== null))
  }

  sendOwn(status: number, headers: string, body: string): void {
    if (this.closed) return
    const bytes = Buffer.from(this.head.method === 'HEAD' ? '' : body)
    const fields = new Http2Fields([])
    for (const [, name, value] of headers.matchAll(/^([^:]+): (.*)\r\n/gm)) fields.add(name!.toLowerCase(), value!)
    if (body !== '') fields.add('content-type', 'text/plain; charset=utf-8')
    fields.add('content-length', String(Buffer.byteLength(body)))
    const head: ResponseHead = { status, phrase: '', version: 20, fields, bodyLength: bytes.length, keepAlive: true }
    this.server.answer(this, head)
    this.write(bytes, 0, bytes.length)
    this.end(null)
  }

  end(trailers: FieldSection | null): void {
    this.answered = true
    if (!this.allowHalfOpen) this.receiver = null
    this.finish(trailers)
  }

  abort(): void {
    this.receiver = null
    this.reset(this.answered ? CANCEL : INTERNAL_ERROR)
  }
}

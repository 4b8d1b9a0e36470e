import type { Duplex } from 'node:stream'
import { ProxyError } from '../../errors.ts'
import { type FieldSection, trailersOf } from '../field-section.ts'
import { badResponse } from '../http1/syntax.ts'
import type { OutgoingRequest, ResponseHead } from '../message.ts'
import type { ResponseReceiver, UpstreamStream } from '../stream.ts'
import { Http2Connection } from './connection.ts'
import { fieldName } from './field.ts'
import { fieldOf } from './field-cache.ts'
import { Http2Fields } from './fields.ts'
import { CANCEL, ConnectionError, ENABLE_PUSH, NO_ERROR, PREFACE, PROTOCOL_ERROR, STREAM_CLOSED } from './frames.ts'
import { MAX_TUNNELS } from './receive-window.ts'
import { responseHead } from './response.ts'
import { Http2Stream, type StreamEnd } from './stream.ts'
import { upgradeAnswer } from './upgrade.ts'

/** What a connection needs of its pool. */
export interface Http2ClientOwner {
  /** A stream ended, or the peer allows more of them. */
  onRoom(connection: Http2ClientConnection): void
  /** It takes no new streams; those under way go on. */
  onLeaving(connection: Http2ClientConnection): void
  /** `fault`: the server broke the protocol, and was told. */
  onClosed(connection: Http2ClientConnection, fault: ConnectionError | null): void
}

const NAMES = {
  method: fieldName(':method'),
  scheme: fieldName(':scheme'),
  path: fieldName(':path'),
  authority: fieldName(':authority'),
  protocol: fieldName(':protocol'),
}
/** A peer that has not sent its settings by then never will. */
const SETTINGS_MS = 10_000
/** Until the peer says how many streams it takes. */
const FIRST_MAX_STREAMS = 100
/** Streams that a connection opens in its life; ids must not run out (RFC 9113, section 5.1.1). */
const LAST_ID = 0x7fff_0001
/** Interim responses of one exchange; more are an attack on whoever collects them. */
const MAX_INTERIM = 10

/** The client side of one HTTP/2 connection: many exchanges at a time. */
export class Http2ClientConnection extends Http2Connection<ClientStream> {
  /** `performance.now()` of the last end of a stream; for idle timeouts. */
  idleSinceMs = performance.now()
  /** `performance.now()` after which it takes no further exchange. */
  retireAtMs = Number.POSITIVE_INFINITY
  /** `performance.now()` when the first of its certificates ends. */
  endsAtMs = Number.POSITIVE_INFINITY
  private readonly owner: Http2ClientOwner
  private nextId = 1
  private readonly openedAtMs = performance.now()
  /** Streams that were handed out and have not begun. */
  private reserved = 0
  /** Who waits for the peer's settings; null: they are here. */
  private known: (() => void)[] | null = []

  constructor(socket: Duplex, owner: Http2ClientOwner, tunnels: boolean) {
    super(socket, tunnels)
    this.owner = owner
    this.peerMaxStreams = FIRST_MAX_STREAMS
    socket.on('end', () => this.end())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.end())
    this.writer.raw(PREFACE)
    this.greet([[ENABLE_PUSH, 0]])
  }

  /** Takes what the socket read: `chunk[start, end)`, which is read over as soon as this returns. */
  onData(chunk: Buffer, start: number, end: number): void {
    this.read(chunk, start, end)
  }

  /** Exchanges under way or about to begin. */
  get load(): number {
    return this.streams.size + this.reserved
  }

  get hasRoom(): boolean {
    const most = this.tunnels ? Math.min(this.peerMaxStreams, MAX_TUNNELS) : this.peerMaxStreams
    return !this.closed && !this.leaving && this.load < most && this.nextId < LAST_ID
  }

  /** A place for one exchange. Only while {@link hasRoom}. */
  reserve(): UpstreamStream {
    this.reserved++
    return new ClientStream(this)
  }

  /** Calls once the peer's settings are known: only they say whether it takes extended CONNECT (RFC 8441, section 3). */
  whenKnown(then: () => void): void {
    if (this.known === null || this.closed) then()
    else this.known.push(then)
  }

  private tellKnown(): void {
    const waiting = this.known ?? []
    this.known = null
    for (const then of waiting) then()
  }

  /** Opens a stream: ids are given in the order in which heads leave (section 5.1.1). */
  open(stream: ClientStream, request: OutgoingRequest): void {
    const { method, scheme, target, authority, fields, upgrade } = request
    this.reserved--
    // It ended between the choice of the connection and the first byte.
    if (this.closed) return stream.missed('upstream_closed')
    if (upgrade !== null && !this.peerTakesConnect) return stream.missed('not_implemented')
    stream.id = this.nextId
    stream.sendWindow = this.peerInitialWindow
    this.nextId += 2
    this.streams.set(stream.id, stream)
    const first = [
      fieldOf(NAMES.method, upgrade === null ? method : 'CONNECT'),
      fieldOf(NAMES.scheme, scheme),
      fieldOf(NAMES.path, target),
    ]
    // HTTP/1.0 need not say whom it is for (RFC 9113, section 8.3.1).
    if (authority !== '') first.push(fieldOf(NAMES.authority, authority))
    if (upgrade !== null) first.push(fieldOf(NAMES.protocol, upgrade))
    this.sectionWriter.send(stream.id, first, fields, false)
    if (request.bodyLength !== 0) this.writer.bodyFollows()
  }

  giveBack(): void {
    this.reserved--
    this.onStreamClosed()
  }

  protected override readonly lastPeerStream = 0

  protected override isIdle(id: number): boolean {
    return id >= this.nextId || (id & 1) === 0
  }

  protected override onHeaders(id: number, endStream: boolean): void {
    const stream = this.streams.get(id)
    if (stream === undefined) return this.unknownStream(id, 'HEADERS')
    if (stream.endReceived) return this.streamFault(stream, STREAM_CLOSED, 0)
    const { fields, oversized } = this.decoder
    if (oversized) return this.streamFault(stream, PROTOCOL_ERROR, 0)
    if (stream.headReceived) {
      const malformed = !endStream || fields.some((field) => field.malformed || field.name.pseudo !== 0)
      if (malformed || !stream.countBody(0, true)) return this.streamFault(stream, PROTOCOL_ERROR, 0)
      this.endReceived(stream, trailersOf(new Http2Fields(fields)))
      return
    }
    const head = responseHead(fields, endStream, stream.method)
    if (head === undefined || (head.status < 200 && endStream) || head.status === 101) {
      return this.streamFault(stream, PROTOCOL_ERROR, 0)
    }
    if (head.status < 200) {
      if (++stream.interim > MAX_INTERIM) throw new ConnectionError(PROTOCOL_ERROR, 'too many interim responses')
      stream.onInterim(head)
      return
    }
    stream.onHead(stream.upgrade ? upgradeAnswer(head) : head)
    if (endStream) this.endReceived(stream, null)
    else stream.onFlush()
  }

  /** Streams that the peer did not take up may be repeated elsewhere, whatever their method (section 6.8). */
  protected override onGoaway(lastStreamId: number): void {
    this.leaving = true
    for (const stream of [...this.streams.values()]) if (stream.id > lastStreamId) this.drop(stream)
    this.owner.onLeaving(this)
    if (this.load === 0) this.close()
  }

  private drop(stream: ClientStream): void {
    this.resetStream(stream, CANCEL)
    stream.onReset('refused')
  }

  protected override onSettings(): void {
    this.tellKnown()
    this.owner.onRoom(this)
  }

  protected override onStreamClosed(): void {
    this.idleSinceMs = performance.now()
    if (this.leaving && this.load === 0) this.close()
    else if (!this.leaving) this.owner.onRoom(this)
  }

  /** A server that resets what we send it wastes nothing of ours. */
  protected override onStreamWasted(): void {}

  protected override onClosed(fault: ConnectionError | null): void {
    this.tellKnown()
    this.owner.onClosed(this, fault)
  }

  /** As for both sides, and a peer must say who it is before long. */
  override keepAlive(now: number): boolean {
    return super.keepAlive(now) && (this.known === null || now - this.openedAtMs < SETTINGS_MS)
  }

  /** Takes no new streams; ends with the last one. */
  retire(): void {
    this.leaving = true
    if (this.load === 0) this.close()
  }

  close(): void {
    if (this.closed) return
    this.writer.goaway(0, NO_ERROR)
    this.writer.finish()
    this.end()
  }
}

/** One exchange: a place on the connection until its head is there. */
class ClientStream extends Http2Stream implements UpstreamStream {
  method = ''
  headReceived = false
  interim = 0
  /** It is an extended CONNECT. */
  upgrade = false
  private readonly client: Http2ClientConnection
  private receiver: ResponseReceiver | null = null

  constructor(connection: Http2ClientConnection) {
    super(connection, 0, 0)
    this.client = connection
  }

  begin(receiver: ResponseReceiver, request: OutgoingRequest): void {
    this.receiver = receiver
    this.method = request.method
    this.upgrade = request.upgrade !== null
    if (!this.upgrade) return this.client.open(this, request)
    this.client.whenKnown(() => {
      // It may have been given up meanwhile.
      if (!this.closed) this.client.open(this, request)
    })
  }

  giveBack(): void {
    this.client.giveBack()
  }

  get endsAtMs(): number {
    return this.client.endsAtMs
  }

  /** There is no connection to send on any more. */
  missed(why: 'upstream_closed' | 'not_implemented'): void {
    this.closed = true
    const error =
      why === 'upstream_closed'
        ? new ProxyError(why, 'upstream', { retry: 'unsent' })
        : new ProxyError(why, 'upstream', { message: 'the app takes no upgrades: it does not offer extended CONNECT' })
    setImmediate(() => this.fail(error))
  }

  end(trailers: FieldSection | null): void {
    this.finish(trailers)
  }

  abort(): void {
    this.receiver = null
    if (this.id !== 0) return this.reset(CANCEL)
    if (this.closed) return
    this.closed = true
    this.client.giveBack()
  }

  pauseResponse(): void {
    this.pause()
  }

  resumeResponse(): void {
    this.resume()
  }

  onInterim(head: ResponseHead): void {
    this.receiver?.onInformational(head)
  }

  onHead(head: ResponseHead): void {
    this.headReceived = true
    this.allowHalfOpen = this.client.tunnels && head.status === 101
    this.expected = head.bodyLength
    this.receiver?.onResponseHead(head)
  }

  /** There is no body before its head. */
  override countBody(bytes: number, last: boolean): boolean {
    return this.headReceived && super.countBody(bytes, last)
  }

  override onData(chunk: Buffer, start: number, end: number): void {
    this.receiver?.onResponseData(chunk, start, end)
  }

  override onEnd(trailers: FieldSection | null): void {
    const { receiver } = this
    if (this.allowHalfOpen) return receiver?.onResponseEnd(trailers)
    this.receiver = null
    // The answer is complete: nobody waits for the rest of the request (section 8.1).
    this.reset(CANCEL)
    receiver?.onResponseEnd(trailers)
  }

  override onFlush(): void {
    this.receiver?.onResponseFlush()
  }

  override onReset(why: StreamEnd): void {
    this.fail(
      why === 'fault'
        ? badResponse('a malformed HTTP/2 response')
        : new ProxyError(why === 'gone' ? 'upstream_closed' : 'upstream_reset', 'upstream', {
            retry: why === 'refused' ? 'unsent' : 'idempotent',
          }),
    )
  }

  override onDrain(): void {
    this.receiver?.onRequestDrain()
  }

  private fail(error: ProxyError): void {
    const { receiver } = this
    this.receiver = null
    receiver?.onResponseError(error)
  }
}

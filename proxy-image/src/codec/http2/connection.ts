import type { Duplex } from 'node:stream'
import { endSocket, LAST_ANSWERS_MS, LAST_WORDS_MS } from '../../socket/ending.ts'
import type { FieldSection } from '../field-section.ts'
import { BodySender } from './body-sender.ts'
import { FloodGuard } from './flood-guard.ts'
import { FrameReader } from './frame-reader.ts'
import { checkFrame, endOfPadded, FrameOrder, refuseOverflow, refuseSelfDependency } from './frame-rules.ts'
import { FrameWriter } from './frame-writer.ts'
import * as frames from './frames.ts'
import { HpackDecoder, MAX_SECTION_BYTES } from './hpack-decoder.ts'
import { KeepAlive } from './keep-alive.ts'
import { REQUEST_WINDOWS, ReceiveWindow, TUNNEL_WINDOWS } from './receive-window.ts'
import { ResetStreams } from './reset-streams.ts'
import { type Section, SectionReader } from './section-reader.ts'
import { SectionWriter } from './section-writer.ts'
import { readSettings } from './settings.ts'
import type { Http2Stream } from './stream.ts'

/** Both sides of an HTTP/2 connection have this in common (RFC 9113): frames, windows, settings, keep-alive, farewell. */
export abstract class Http2Connection<S extends Http2Stream> {
  readonly streams = new Map<number, S>()
  closed = false
  /** A GOAWAY was sent or received: no new streams. */
  leaving = false
  /** `performance.now()` of the last frame of use. */
  activeAtMs = performance.now()
  /** Between sidecars: every stream is a TCP connection. */
  readonly tunnels: boolean
  readonly windows: typeof REQUEST_WINDOWS
  protected readonly socket: Duplex
  protected readonly decoder = new HpackDecoder()
  protected readonly writer: FrameWriter
  protected readonly guard: FloodGuard
  protected peerMaxStreams = Number.POSITIVE_INFINITY
  protected peerTakesConnect = false
  protected peerInitialWindow = frames.DEFAULT_WINDOW
  protected readonly sectionWriter: SectionWriter
  readonly bodies: BodySender
  private readonly reader = new FrameReader(this)
  private readonly sections = new SectionReader()
  private readonly receiveWindow: ReceiveWindow
  private readonly order = new FrameOrder()
  private framesRead = 0
  private readonly resetByUs = new ResetStreams()
  /** Streams that got something in this read. */
  private readonly touched: S[] = []
  private readonly life = new KeepAlive()

  constructor(socket: Duplex, tunnels: boolean) {
    this.socket = socket
    this.tunnels = tunnels
    this.windows = tunnels ? TUNNEL_WINDOWS : REQUEST_WINDOWS
    this.receiveWindow = new ReceiveWindow(this.windows.connection, this.windows)
    this.guard = new FloodGuard(tunnels)
    this.writer = new FrameWriter(socket, () => this.bodies.pump())
    this.sectionWriter = new SectionWriter(this.writer)
    this.bodies = new BodySender(this.writer, this.guard, tunnels)
  }

  // ---- what the sides do differently ------------------------------------------------------------------------------

  /** A complete field section, in `decoder.fields`. */
  protected abstract onHeaders(id: number, endStream: boolean): void
  /** Whether no stream of this id was opened yet. */
  protected abstract isIdle(id: number): boolean
  protected abstract onGoaway(lastStreamId: number): void
  /** The last stream of the peer's that was taken up. */
  protected abstract readonly lastPeerStream: number
  /** A stream was reset by the peer, or by us for a fault of the peer. */
  protected abstract onStreamWasted(stream: S): void
  /** A stream is over: its place is free. */
  protected abstract onStreamClosed(stream: S): void
  /** The peer's settings changed. */
  protected abstract onSettings(): void
  /** The connection is over, and streams have heard of it; `fault`: the peer broke the protocol. */
  protected abstract onClosed(fault: frames.ConnectionError | null): void

  // ---- reading ----------------------------------------------------------------------------------------------------

  /** Says who we are; call it once, before anything else. */
  protected greet(settings: readonly (readonly [number, number])[]): void {
    this.writer.settings([
      [frames.INITIAL_WINDOW_SIZE, this.windows.stream],
      [frames.MAX_HEADER_LIST_SIZE, MAX_SECTION_BYTES],
      ...settings,
    ])
    this.writer.windowUpdate(0, this.windows.connection - frames.DEFAULT_WINDOW)
  }

  /** Takes what the socket read. */
  protected read(chunk: Buffer, start: number, end: number): void {
    if (this.closed) return
    this.life.heard()
    try {
      this.reader.feed(chunk, start, end)
    } catch (error) {
      if (!(error instanceof frames.ConnectionError)) throw error
      return this.breakOff(error)
    }
    if (this.touched.length === 0) return
    for (const stream of this.touched.splice(0)) if (!stream.closed || stream.endReceived) stream.onFlush()
  }

  /** A field section or a frame that is no body has begun, and waits for its rest; undefined when none has. */
  protected get incompleteSince(): number | undefined {
    // Frames of a section do not count as progress, or a section of one byte a frame would never be too slow.
    if (this.sections.streamId !== undefined) return -1
    return this.reader.incomplete ? this.framesRead : undefined
  }

  onFrame(type: number, flags: number, id: number, from: Buffer, start: number, end: number): void {
    this.framesRead++
    checkFrame(type, id, end - start)
    this.order.check(type, flags, id, this.sections.streamId)
    switch (type) {
      case frames.DATA:
        return this.data(flags, id, from, start, end)
      case frames.HEADERS:
        return this.section(this.sections.headers(flags, id, from, start, end))
      case frames.CONTINUATION:
        return this.section(this.sections.continuation(flags, from, start, end))
      case frames.RST_STREAM:
        return this.rstStream(id, from, start)
      case frames.SETTINGS:
        return this.settings(flags, from, start, end)
      case frames.PING:
        return this.ping(flags, from, start)
      case frames.GOAWAY:
        this.guard.idleFrame('GOAWAY')
        return this.onGoaway(frames.readUint32(from, start) & 0x7fff_ffff)
      case frames.WINDOW_UPDATE:
        return this.windowUpdate(id, from, start)
      case frames.PRIORITY:
        refuseSelfDependency(id, from, start)
        return this.guard.idleFrame('PRIORITY')
      case frames.PUSH_PROMISE:
        throw new frames.ConnectionError(frames.PROTOCOL_ERROR, 'PUSH_PROMISE is switched off')
      default:
        // Section 4.1: unknown types are ignored.
        this.guard.idleFrame('unknown')
    }
  }

  private data(flags: number, id: number, from: Buffer, start: number, end: number): void {
    const length = end - start
    if (!this.receiveWindow.take(length)) {
      throw new frames.ConnectionError(frames.FLOW_CONTROL_ERROR, 'more DATA than the window')
    }
    const endStream = (flags & frames.END_STREAM) !== 0
    const stream = this.streams.get(id)
    if (stream === undefined) {
      this.unknownStream(id, 'DATA')
      return this.creditConnection(length)
    }
    const padded = (flags & frames.PADDED) !== 0
    const at = padded ? start + 1 : start
    const last = padded ? endOfPadded(from, start, end) : end
    if (stream.endReceived) return this.streamFault(stream, frames.STREAM_CLOSED, length)
    if (!stream.receiveWindow.take(length)) return this.streamFault(stream, frames.FLOW_CONTROL_ERROR, length)
    if (!stream.countBody(last - at, endStream)) return this.streamFault(stream, frames.PROTOCOL_ERROR, length)
    if (last === at && !endStream) this.guard.idleFrame('empty DATA')
    if (this.touched.at(-1) !== stream) this.touched.push(stream)
    if (last > at) stream.onData(from, at, last)
    // A stream that was given up meanwhile has given back what it held.
    if (stream.paused && !stream.closed) {
      stream.held += last - at
      this.credit(stream, length - (last - at))
    } else this.credit(stream, length)
    if (endStream) this.endReceived(stream, null)
  }

  private section(section: Section | undefined): void {
    if (section === undefined) return
    const { id, flags, from, start, end } = section
    if (!this.decoder.decode(from, start, end)) {
      throw new frames.ConnectionError(frames.COMPRESSION_ERROR, 'a field section that does not decompress')
    }
    this.activeAtMs = this.life.heardAtMs
    this.onHeaders(id, (flags & frames.END_STREAM) !== 0)
  }

  private rstStream(id: number, from: Buffer, start: number): void {
    const stream = this.streams.get(id)
    if (stream === undefined) {
      if (this.isIdle(id)) throw new frames.ConnectionError(frames.PROTOCOL_ERROR, 'RST_STREAM of an idle stream')
      return this.guard.lateFrame('RST_STREAM')
    }
    const code = frames.readUint32(from, start)
    this.forget(stream)
    stream.onReset(code === frames.REFUSED_STREAM ? 'refused' : 'reset')
    this.onStreamWasted(stream)
  }

  private settings(flags: number, from: Buffer, start: number, end: number): void {
    if ((flags & frames.ACK) !== 0) {
      if (end !== start) throw new frames.ConnectionError(frames.FRAME_SIZE_ERROR, 'an acknowledgement with settings')
      return
    }
    this.guard.idleFrame('SETTINGS')
    this.guard.answeredFrame('SETTINGS', this.writer.unsentBytes)
    let window = this.peerInitialWindow
    readSettings(from, start, end, (setting, value) => {
      if (setting === frames.HEADER_TABLE_SIZE) this.sectionWriter.limitTable(value)
      else if (setting === frames.MAX_CONCURRENT_STREAMS) this.peerMaxStreams = value
      else if (setting === frames.INITIAL_WINDOW_SIZE) window = value
      else if (setting === frames.ENABLE_CONNECT_PROTOCOL) this.peerTakesConnect = value === 1
    })
    // Ahead of what the new window lets go.
    this.writer.settingsAck()
    // Once for all of them: every stream is visited.
    this.initialWindow(window)
    this.onSettings()
  }

  private initialWindow(value: number): void {
    const difference = value - this.peerInitialWindow
    this.peerInitialWindow = value
    for (const stream of this.streams.values()) {
      stream.sendWindow += difference
      refuseOverflow(stream.sendWindow)
    }
    if (difference > 0) this.bodies.pump()
  }

  private ping(flags: number, from: Buffer, start: number): void {
    this.guard.idleFrame('PING')
    if ((flags & frames.ACK) !== 0) return
    this.guard.answeredFrame('PING', this.writer.unsentBytes)
    this.writer.ping(true, from, start)
  }

  private windowUpdate(id: number, from: Buffer, start: number): void {
    this.guard.idleFrame('WINDOW_UPDATE')
    const bytes = frames.readUint32(from, start) & 0x7fff_ffff
    if (id === 0) {
      if (bytes === 0) throw new frames.ConnectionError(frames.PROTOCOL_ERROR, 'WINDOW_UPDATE by 0')
      return this.bodies.grow(bytes)
    }
    const stream = this.streams.get(id)
    if (stream === undefined) {
      if (this.isIdle(id)) throw new frames.ConnectionError(frames.PROTOCOL_ERROR, 'WINDOW_UPDATE of an idle stream')
      return
    }
    stream.sendWindow += bytes
    if (bytes === 0) return this.streamFault(stream, frames.PROTOCOL_ERROR, 0)
    if (stream.sendWindow > frames.MAX_WINDOW) return this.streamFault(stream, frames.FLOW_CONTROL_ERROR, 0)
    this.bodies.goOn(stream)
  }

  /** Something for a stream that is not there (any more): no fault while it was on its way when we reset it. */
  protected unknownStream(id: number, what: string): void {
    if (this.isIdle(id)) throw new frames.ConnectionError(frames.PROTOCOL_ERROR, `${what} of an idle stream`)
    if (!this.resetByUs.has(id)) throw new frames.ConnectionError(frames.STREAM_CLOSED, `${what} of a closed stream`)
    this.guard.lateFrame(what)
  }

  /** The peer broke the rules of one stream. `uncredited`: bytes of the frame that did it. */
  protected streamFault(stream: S, code: number, uncredited: number): void {
    this.creditConnection(uncredited)
    this.resetStream(stream, code)
    stream.onReset('fault')
    this.onStreamWasted(stream)
  }

  /** The peer's side of a stream is complete. */
  protected endReceived(stream: S, trailers: FieldSection | null): void {
    // It may have been given up while it was told of its data.
    if (stream.closed) return
    stream.endReceived = true
    if (stream.endSent) this.over(stream)
    stream.onEnd(trailers)
  }

  /** What a stream received was passed on: the peer may send as much again. */
  credit(stream: Http2Stream, bytes: number): void {
    this.creditConnection(bytes)
    if (stream.closed || stream.endReceived) return
    const given = stream.receiveWindow.credit(bytes)
    if (given > 0) this.writer.windowUpdate(stream.id, given)
  }

  private creditConnection(bytes: number): void {
    const given = this.receiveWindow.credit(bytes)
    if (given > 0 && !this.closed) this.writer.windowUpdate(0, given)
  }

  // ---- sending ----------------------------------------------------------------------------------------------------

  /** Whether what a tunnel reads next will leave at once, a whole read of it, and not be copied a second time. */
  takesRead(stream: Http2Stream): boolean {
    return !this.writer.blocked && stream.sendWindow >= this.peerInitialWindow / 16
  }

  /** Ends our side of a stream. */
  sendEnd(stream: Http2Stream, trailers: FieldSection | null): void {
    if (trailers === null) this.writer.endStream(stream.id)
    else this.sectionWriter.send(stream.id, [], trailers, true)
    this.endSent(stream as S)
  }

  protected endSent(stream: S): void {
    stream.endSent = true
    if (stream.endReceived) this.over(stream)
  }

  private over(stream: S): void {
    this.guard.streamServed()
    this.forget(stream)
  }

  resetStream(stream: Http2Stream, code: number): void {
    this.refuse(stream.id, code)
    this.forget(stream as S)
  }

  /** Resets a stream by its id, and remembers that it did. */
  protected refuse(id: number, code: number): void {
    this.writer.reset(id, code)
    this.resetByUs.add(id)
  }

  private forget(stream: S): void {
    if (stream.closed) return
    stream.closed = true
    stream.discard()
    this.streams.delete(stream.id)
    this.bodies.forget(stream)
    this.creditConnection(stream.held)
    stream.held = 0
    this.onStreamClosed(stream)
  }

  // ---- life -------------------------------------------------------------------------------------------------------

  /** Asks a silent peer for a sign of life while streams wait for it. False: it gave none, and the connection is dead. */
  keepAlive(now: number): boolean {
    return this.life.check(now, this.streams.size > 0, this.writer)
  }

  /** Ends the connection for a fault of the peer, and tells it. */
  protected breakOff(fault: frames.ConnectionError): void {
    if (this.closed) return
    this.writer.goaway(this.lastPeerStream, fault.code)
    this.writer.finish()
    this.end(fault)
  }

  /** Nothing more comes or goes: every stream hears of it. */
  protected end(fault: frames.ConnectionError | null = null): void {
    if (this.closed) return
    this.closed = true
    const streams = [...this.streams.values()]
    this.streams.clear()
    for (const stream of streams) {
      stream.closed = true
      stream.discard()
      this.bodies.forget(stream)
      stream.onReset('gone')
    }
    endSocket(this.socket, fault === null ? LAST_ANSWERS_MS : LAST_WORDS_MS)
    this.onClosed(fault)
  }
}

import { giveBack, takeBlock, takePiece } from '../../socket/blocks.ts'
import type { FieldSection } from '../field-section.ts'
import type { Http2Connection } from './connection.ts'
import { ReceiveWindow } from './receive-window.ts'

/** Bytes that may wait for the peer's window before whoever sends them is asked to stop. */
const QUEUE_BYTES = 64 * 1024
/** From these sizes on what waits gets a piece, or a block; what is less gets no more than it needs. */
const PIECE_FROM_BYTES = 4 * 1024
const BLOCK_FROM_BYTES = 32 * 1024

/** The peer reset it; it did so before it looked at it; we did, for a fault of the peer; the connection is gone. */
export type StreamEnd = 'reset' | 'refused' | 'fault' | 'gone'

/** One stream of a connection: flow control both ways, and its end on both sides (RFC 9113, section 5.1). */
export abstract class Http2Stream {
  /** 0 until it is opened. */
  id: number
  /** Bytes that the peer will take. */
  sendWindow: number
  readonly receiveWindow: ReceiveWindow
  /** The peer has sent END_STREAM. */
  endReceived = false
  /** Our END_STREAM has left. */
  endSent = false
  /** The stream is over, for whatever reason. */
  closed = false
  /** Received, but not credited because the other side is slow. */
  held = 0
  paused = false
  /** The end of one side leaves the other one open. */
  allowHalfOpen = false
  /** Body bytes that must still come: what Content-Length says, none where there is no body; -1: nobody knows. */
  expected = -1
  protected readonly connection: Http2Connection<Http2Stream>
  /** What waits, the last block with room at its end. */
  private queue: Buffer[] | null = null
  private queuedBytes = 0
  /** Where the content of the first block begins, and that of the last one ends. */
  private firstAt = 0
  private lastEnd = 0
  private wantsDrain = false
  private ending: { readonly trailers: FieldSection | null } | null = null

  constructor(connection: Http2Connection<Http2Stream>, id: number, sendWindow: number) {
    this.connection = connection
    this.id = id
    this.sendWindow = sendWindow
    this.receiveWindow = new ReceiveWindow(connection.windows.stream, connection.windows)
  }

  // ---- what the peer sends ----------------------------------------------------------------------------------------

  /** Part of the body. */
  abstract onData(chunk: Buffer, start: number, end: number): void
  /** The body is complete. */
  abstract onEnd(trailers: FieldSection | null): void
  /** Everything of this read was delivered. */
  abstract onFlush(): void
  /** The stream is closed before its time. */
  abstract onReset(why: StreamEnd): void
  /** What waited for the window has left. */
  abstract onDrain(): void

  // ---- sending ----------------------------------------------------------------------------------------------------

  write(chunk: Buffer, start: number, end: number): void {
    if (this.closed || start === end) return
    const from = this.queue === null ? this.connection.bodies.send(this, chunk, start, end) : start
    if (from === end) return
    this.enqueue(chunk, from, end)
    this.connection.bodies.wait(this)
  }

  /** What waits must outlive the read that it came from, and cost no more than it is, however small its pieces are. */
  private enqueue(chunk: Buffer, start: number, end: number): void {
    let at = start
    const last = this.queue?.at(-1)
    if (last !== undefined) {
      at += chunk.copy(last, this.lastEnd, start, end)
      this.lastEnd += at - start
    }
    while (at < end) {
      const block = memoryFor(end - at, this.queuedBytes)
      this.lastEnd = chunk.copy(block, 0, at, end)
      at += this.lastEnd
      this.queue ??= []
      this.queue.push(block)
    }
    this.queuedBytes += end - start
  }

  /** Ends our side, behind everything that waits. */
  protected finish(trailers: FieldSection | null): void {
    if (this.closed || this.ending !== null) return
    this.ending = { trailers }
    if (this.queue === null) this.sendEnd()
  }

  private sendEnd(): void {
    this.connection.sendEnd(this, this.ending!.trailers)
  }

  /** False: too much waits, or the end does; an `onDrain` follows. */
  flush(): boolean {
    if (this.closed || (this.ending === null ? this.hasRoom : this.queue === null)) return true
    this.wantsDrain = true
    this.connection.bodies.wait(this)
    return false
  }

  private get hasRoom(): boolean {
    const { connection, queue } = this
    return connection.tunnels ? queue === null && connection.takesRead(this) : this.queuedBytes <= QUEUE_BYTES
  }

  /** Sends what waits, as far as the windows allow. True: nothing waits any more. */
  pump(): boolean {
    while (this.queue !== null && !this.closed) {
      const first = this.queue[0]!
      const end = this.queue.length === 1 ? this.lastEnd : first.length
      const sent = this.connection.bodies.send(this, first, this.firstAt, end)
      this.queuedBytes -= sent - this.firstAt
      this.firstAt = sent
      if (sent < end) return false
      this.firstAt = 0
      giveBack(first)
      if (this.queue.length === 1) this.queue = null
      else this.queue.shift()
    }
    if (this.closed) return true
    if (this.ending !== null && !this.endSent) this.sendEnd()
    if (this.wantsDrain && (this.ending !== null || this.hasRoom)) {
      this.wantsDrain = false
      this.onDrain()
    }
    // Whoever was told may have written more at once.
    return this.queue === null && !this.wantsDrain
  }

  /** Gives the stream up and says why. */
  reset(code: number): void {
    if (!this.closed) this.connection.resetStream(this, code)
  }

  /** Forgets what waits: nothing of it will be sent. */
  discard(): void {
    this.queue?.forEach(giveBack)
    this.queue = null
    this.queuedBytes = 0
    this.firstAt = 0
  }

  // ---- receiving --------------------------------------------------------------------------------------------------

  /** Asks the peer to stop, by not crediting what it sends. */
  protected pause(): void {
    this.paused = true
  }

  protected resume(): void {
    if (!this.paused) return
    this.paused = false
    const { held } = this
    this.held = 0
    this.connection.credit(this, held)
  }

  /** Takes part of a body into account. False: there is more or less of it than Content-Length says. */
  countBody(bytes: number, last: boolean): boolean {
    if (this.expected < 0) return true
    this.expected -= bytes
    return this.expected >= 0 && (!last || this.expected === 0)
  }
}

/** `queued`: what waits already; the more that is, the more is likely to follow. */
function memoryFor(bytes: number, queued: number): Buffer {
  if (bytes >= BLOCK_FROM_BYTES) return takeBlock()
  return Math.max(bytes, queued) >= PIECE_FROM_BYTES ? takePiece() : Buffer.allocUnsafeSlow(Math.max(bytes, queued))
}

import type { FloodGuard } from './flood-guard.ts'
import { refuseOverflow } from './frame-rules.ts'
import type { FrameWriter } from './frame-writer.ts'
import { DEFAULT_WINDOW } from './frames.ts'
import type { Http2Stream } from './stream.ts'

/** A peer whose readers are well gives a used-up window back within a round trip or two. */
const STALL_MS = 100

/**
 * Sends the bodies of one connection's streams as far as the peer's windows and the socket let it. Streams that have more
 * wait, and go on in the order in which they began to (RFC 9113, section 5.2).
 */
export class BodySender {
  private readonly writer: FrameWriter
  private readonly guard: FloodGuard
  /** A tunnel sends all that one read brought, and is stopped before the next. */
  private readonly tunnels: boolean
  /** Bytes that the peer will take on all streams together. */
  private window = DEFAULT_WINDOW
  private readonly waiting = new Set<Http2Stream>()
  /** `performance.now()` when something began to wait for that window; 0: nothing does. */
  private stalledSinceMs = 0

  constructor(writer: FrameWriter, guard: FloodGuard, tunnels: boolean) {
    this.writer = writer
    this.guard = guard
    this.tunnels = tunnels
  }

  /** Slow readers at the peer use up all that it takes: what is sent on another stream waits for them. */
  isStalled(nowMs: number): boolean {
    return this.stalledSinceMs !== 0 && nowMs - this.stalledSinceMs > STALL_MS
  }

  /** Sends what may be sent, and returns where it stopped. */
  send(stream: Http2Stream, chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && (this.tunnels || !this.writer.blocked)) {
      const wanted = Math.min(end - at, this.writer.bodyRoom)
      const bytes = Math.min(wanted, stream.sendWindow, this.window)
      if (bytes <= 0) {
        if (this.window <= 0 && this.stalledSinceMs === 0) this.stalledSinceMs = performance.now()
        break
      }
      this.writer.data(stream.id, chunk, at, at + bytes)
      stream.sendWindow -= bytes
      this.window -= bytes
      this.guard.dataSent(bytes, wanted)
      at += bytes
    }
    return at
  }

  /** Sends a small body that no stream stands for. False, and nothing is sent: there is no room. */
  sendLoose(id: number, body: Buffer, streamWindow: number): boolean {
    if (body.length > Math.min(this.window, streamWindow)) return false
    this.window -= body.length
    this.writer.data(id, body, 0, body.length)
    return true
  }

  /** A stream has data that waits for a window or the socket. */
  wait(stream: Http2Stream): void {
    this.waiting.add(stream)
  }

  forget(stream: Http2Stream): void {
    this.waiting.delete(stream)
  }

  /** The peer takes more on the whole connection. @throws ConnectionError. */
  grow(bytes: number): void {
    this.window += bytes
    refuseOverflow(this.window)
    this.stalledSinceMs = 0
    this.pump()
  }

  /** The peer takes more on this stream. What it has not read yet comes first, or it could be sent more and more. */
  goOn(stream: Http2Stream): void {
    if (!this.writer.blocked && this.waiting.has(stream) && stream.pump()) this.waiting.delete(stream)
  }

  /** Lets streams go on that wait. */
  pump(): void {
    for (const stream of this.waiting) {
      if (this.writer.blocked || this.window <= 0) return
      if (stream.pump()) this.waiting.delete(stream)
    }
  }
}

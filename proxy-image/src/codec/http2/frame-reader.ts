import { ConnectionError, DATA, END_STREAM, FRAME_BYTES, FRAME_HEAD_BYTES, FRAME_SIZE_ERROR, PADDED } from './frames.ts'

/**
 * Takes frames: the payload is `from[start, end)`, which is read over as soon as the call returns. One of DATA that did not
 * come at once is told as several.
 */
export interface FrameSink {
  onFrame(type: number, flags: number, streamId: number, from: Buffer, start: number, end: number): void
  /** No further frame is wanted. */
  readonly closed: boolean
}

/**
 * Cuts what a connection reads into frames. Bodies are handed on as they come; only another frame that two reads share is
 * copied.
 */
export class FrameReader {
  private readonly sink: FrameSink
  /** The beginning of a frame that is not complete. */
  private partial: Buffer | null = null
  private partialBytes = 0
  /** Payload that is to come of a frame of DATA, and what its head said. */
  private bodyLeft = 0
  private bodyFlags = 0
  private bodyStream = 0

  constructor(sink: FrameSink) {
    this.sink = sink
  }

  /** A frame has begun and waits for its rest. Of DATA that is no matter: bodies may be slow. */
  get incomplete(): boolean {
    const { partialBytes } = this
    return partialBytes > 0 && (partialBytes < FRAME_HEAD_BYTES || this.partial![3] !== DATA)
  }

  /** @throws ConnectionError for a frame that is too large, and whatever the sink throws. */
  feed(chunk: Buffer, start: number, end: number): void {
    let at = start
    if (this.partialBytes > 0) at = this.completePartial(chunk, at, end)
    if (this.bodyLeft > 0) at = this.readBody(chunk, at, end)
    while (end - at >= FRAME_HEAD_BYTES && !this.sink.closed) {
      const next = at + FRAME_HEAD_BYTES + payloadBytes(chunk, at)
      if (next <= end) {
        this.emit(chunk, at, next)
        at = next
      } else if (isPlainBody(chunk, at)) {
        this.beginBody(chunk, at)
        at = this.readBody(chunk, at + FRAME_HEAD_BYTES, end)
      } else break
    }
    if (at < end && !this.sink.closed) this.keep(chunk, at, end)
  }

  private completePartial(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (this.partialBytes > 0) {
      const { partial, partialBytes } = this
      const wanted = partialBytes < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + payloadBytes(partial!, 0)
      const taken = Math.min(wanted - partialBytes, end - at)
      chunk.copy(partial!, partialBytes, at, at + taken)
      at += taken
      this.partialBytes += taken
      if (this.partialBytes < wanted) return at
      // The head alone says how much is wanted; an empty frame is complete with it.
      const frame = partial!
      if (wanted > FRAME_HEAD_BYTES || payloadBytes(frame, 0) === 0) {
        this.forgetPartial()
        this.emit(frame, 0, wanted)
      } else if (isPlainBody(frame, 0)) {
        this.forgetPartial()
        this.beginBody(frame, 0)
      } else {
        this.partial = Buffer.allocUnsafeSlow(FRAME_HEAD_BYTES + payloadBytes(frame, 0))
        frame.copy(this.partial, 0, 0, FRAME_HEAD_BYTES)
      }
    }
    return at
  }

  private forgetPartial(): void {
    this.partial = null
    this.partialBytes = 0
  }

  private beginBody(from: Buffer, at: number): void {
    this.bodyLeft = payloadBytes(from, at)
    this.bodyFlags = from[at + 4]!
    this.bodyStream = streamId(from, at)
  }

  private readBody(chunk: Buffer, start: number, end: number): number {
    const stop = Math.min(end, start + this.bodyLeft)
    if (stop === start) return start
    this.bodyLeft -= stop - start
    const flags = this.bodyLeft === 0 ? this.bodyFlags : this.bodyFlags & ~END_STREAM
    this.sink.onFrame(DATA, flags, this.bodyStream, chunk, start, stop)
    return stop
  }

  private keep(chunk: Buffer, start: number, end: number): void {
    // An idle connection holds no buffer, and what keeps a small piece keeps no large buffer with it.
    const payload = end - start < FRAME_HEAD_BYTES ? 0 : payloadBytes(chunk, start)
    this.partial = Buffer.allocUnsafeSlow(FRAME_HEAD_BYTES + payload)
    this.partialBytes = chunk.copy(this.partial, 0, start, end)
  }

  private emit(from: Buffer, at: number, end: number): void {
    this.sink.onFrame(from[at + 3]!, from[at + 4]!, streamId(from, at), from, at + FRAME_HEAD_BYTES, end)
  }
}

/** A frame of DATA without padding: any part of its payload is body. */
function isPlainBody(from: Buffer, at: number): boolean {
  return from[at + 3] === DATA && (from[at + 4]! & PADDED) === 0
}

function streamId(from: Buffer, at: number): number {
  return ((from[at + 5]! & 0x7f) << 24) | (from[at + 6]! << 16) | (from[at + 7]! << 8) | from[at + 8]!
}

function payloadBytes(from: Buffer, at: number): number {
  const length = (from[at]! << 16) | (from[at + 1]! << 8) | from[at + 2]!
  if (length > FRAME_BYTES) throw new ConnectionError(FRAME_SIZE_ERROR, `a frame of ${length} bytes`)
  return length
}

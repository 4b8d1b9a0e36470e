import type { FieldSection } from '../codec/field-section.ts'
import type { UpstreamStream } from '../codec/stream.ts'

/** A body larger than this is not kept, and its request not retried once bytes of it are gone (Envoy: 64 KiB too). */
const REPLAY_BYTES = 64 * 1024

interface Piece {
  readonly chunk: Buffer
  readonly start: number
  end: number
}

/** After so many pieces, small ones are put together: a body that comes byte by byte must not cost an object for each. */
const MANY_PIECES = 8
const JOINED_BYTES = 4096

/** A request body on its way upstream: waits for an attempt, follows it, and can be told again to the next one. */
export class RequestBody {
  private pieces: Piece[] = []
  /** The last piece, while small ones are put together. */
  private joined: Piece | null = null
  private bytes = 0
  private complete = false
  private trailers: FieldSection | null = null
  private sink: UpstreamStream | null = null
  /** Whether pieces are kept for a further attempt. */
  private keeping = true

  /** Whether a new attempt can be given the body from its beginning. */
  get replayable(): boolean {
    return this.keeping
  }

  get ended(): boolean {
    return this.complete
  }

  /** True: more is waiting than should be; pause the downstream until an attempt takes it. */
  push(chunk: Buffer, start: number, end: number): boolean {
    this.bytes += end - start
    if (this.sink !== null) {
      this.sink.write(chunk, start, end)
      if (this.bytes > REPLAY_BYTES) this.forget()
      else if (this.keeping) this.keep(chunk, start, end)
      return false
    }
    this.keep(chunk, start, end)
    return this.bytes > REPLAY_BYTES
  }

  /** What is kept outlives the read that it came from. */
  private keep(chunk: Buffer, start: number, end: number): void {
    const { pieces } = this
    const bytes = end - start
    if (pieces.length < MANY_PIECES || bytes >= JOINED_BYTES) {
      this.joined = null
      pieces.push({ chunk: Buffer.from(chunk.subarray(start, end)), start: 0, end: bytes })
      return
    }
    if (this.joined === null || this.joined.end + bytes > JOINED_BYTES) {
      this.joined = { chunk: Buffer.allocUnsafeSlow(JOINED_BYTES), start: 0, end: 0 }
      pieces.push(this.joined)
    }
    this.joined.end += chunk.copy(this.joined.chunk, this.joined.end, start, end)
  }

  end(trailers: FieldSection | null): void {
    this.complete = true
    this.trailers = trailers
    this.sink?.end(trailers)
  }

  /** Sends everything so far, and what follows, to an attempt. */
  attach(sink: UpstreamStream): void {
    this.sink = sink
    for (const piece of this.pieces) sink.write(piece.chunk, piece.start, piece.end)
    if (!this.keeping || this.bytes > REPLAY_BYTES) this.forget()
    if (this.complete) sink.end(this.trailers)
  }

  detach(): void {
    this.sink = null
  }

  /** There will be one attempt only. */
  sendOnce(): void {
    this.keeping = false
  }

  /** No further attempt will come. */
  forget(): void {
    this.keeping = false
    this.pieces = []
  }
}

import type { FieldSection } from '../codec/field-section.ts'
import type { UpstreamStream } from '../codec/stream.ts'

/** A body larger than this is not kept, and its request not retried once bytes of it are gone (Envoy: 64 KiB too). */
const REPLAY_BYTES = 64 * 1024

/** Pieces up to this size are kept as text: it costs a third of what a buffer does. */
const SMALL_BYTES = 4096
/** After so many pieces, small ones are put together: a body that comes byte by byte must not cost an object for each. */
const MANY_PIECES = 8
/** Where text becomes bytes again; whoever gets them copies them. */
const SCRATCH = Buffer.allocUnsafeSlow(SMALL_BYTES)

/** A request body on its way upstream: waits for an attempt, follows it, and can be told again to the next one. */
export class RequestBody {
  /** Text is latin1. */
  private pieces: (Buffer | string)[] = []
  /** Where small pieces are put together, behind all the others. */
  private joined: Buffer | null = null
  private joinedEnd = 0
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
    const bytes = end - start
    if (bytes > SMALL_BYTES) {
      this.closeJoined()
      this.pieces.push(Buffer.from(chunk.subarray(start, end)))
    } else if (this.pieces.length < MANY_PIECES) this.pieces.push(chunk.toString('latin1', start, end))
    else {
      if (this.joinedEnd + bytes > SMALL_BYTES) this.closeJoined()
      this.joined ??= Buffer.allocUnsafeSlow(SMALL_BYTES)
      this.joinedEnd += chunk.copy(this.joined, this.joinedEnd, start, end)
    }
  }

  private closeJoined(): void {
    if (this.joined !== null) this.pieces.push(this.joined.subarray(0, this.joinedEnd))
    this.joined = null
    this.joinedEnd = 0
  }

  end(trailers: FieldSection | null): void {
    this.complete = true
    this.trailers = trailers
    this.sink?.end(trailers)
  }

  /** Sends everything so far, and what follows, to an attempt. */
  attach(sink: UpstreamStream): void {
    this.sink = sink
    for (const piece of this.pieces) writeTo(sink, piece)
    if (this.joined !== null) sink.write(this.joined, 0, this.joinedEnd)
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
    this.joined = null
    this.joinedEnd = 0
  }
}

function writeTo(sink: UpstreamStream, piece: Buffer | string): void {
  if (typeof piece === 'string') sink.write(SCRATCH, 0, SCRATCH.write(piece, 'latin1'))
  else sink.write(piece, 0, piece.length)
}

import { BlockWriter } from '../../socket/block-writer.ts'
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_BYTES,
  FRAME_HEAD_BYTES,
  GOAWAY,
  HEADERS,
  PING,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from './frames.ts'

/** RFC 8446, section 5.1. A block is cut into records from its beginning on, and the other side decrypts whole frames. */
const RECORD_BYTES = 16_384
/** What is left of a record is not worth a frame if it is less. */
const MIN_FRAME_BYTES = 64

/**
 * What a connection sends: frames of all its streams are collected, and leave in one write at the end of the turn.
 */
export class FrameWriter extends BlockWriter {
  /** Where the flags of the last frame are and whose it is, so that the end of a stream can join it while it is here. */
  private lastBlock = 0
  private lastFlagsAt = -1
  private lastStream = 0

  /** The largest payload of DATA that is sent: with its head it fills the record of TLS that it begins in. */
  get bodyRoom(): number {
    const left = RECORD_BYTES - (this.at % RECORD_BYTES)
    return (left < MIN_FRAME_BYTES ? RECORD_BYTES : left) - FRAME_HEAD_BYTES
  }

  data(streamId: number, chunk: Buffer, start: number, end: number): void {
    this.frame(end - start, DATA, 0, streamId)
    chunk.copy(this.block!, this.at, start, end)
    this.at += end - start
  }

  /** Ends a stream: on its last frame where that has not left yet, else on an empty one. */
  endStream(streamId: number): void {
    if (
      this.lastStream === streamId &&
      this.lastFlagsAt >= 0 &&
      this.lastBlock === this.blockNumber &&
      this.block !== null
    )
      this.block![this.lastFlagsAt]! |= END_STREAM
    else this.frame(0, DATA, END_STREAM, streamId)
    this.lastFlagsAt = -1
  }

  /**
   * Keeps the end of a stream from joining the head that was sent last: a body follows, if only an empty one. Servers of
   * gRPC want to see that (its protocol over HTTP/2, "EOS").
   */
  bodyFollows(): void {
    this.lastFlagsAt = -1
  }

  /** Sends a compressed field section, in as many frames as it takes. */
  headers(streamId: number, block: Buffer, length: number, endStream: boolean): void {
    let at = 0
    do {
      const bytes = Math.min(length - at, FRAME_BYTES)
      const flags = (at === 0 && endStream ? END_STREAM : 0) | (at + bytes === length ? END_HEADERS : 0)
      this.frame(bytes, at === 0 ? HEADERS : CONTINUATION, flags, streamId)
      block.copy(this.block!, this.at, at, at + bytes)
      this.at += bytes
      at += bytes
    } while (at < length)
    // The flag of the end belongs on the first of several.
    if (length > FRAME_BYTES) this.lastFlagsAt = -1
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    this.frame(values.length * 6, SETTINGS, 0, 0)
    for (const [id, value] of values) {
      this.at = this.block!.writeUInt16BE(id, this.at)
      this.uint32(value)
    }
  }

  settingsAck(): void {
    this.frame(0, SETTINGS, ACK, 0)
  }

  ping(ack: boolean, from: Buffer, start: number): void {
    this.frame(8, PING, ack ? ACK : 0, 0)
    this.at += from.copy(this.block!, this.at, start, start + 8)
  }

  reset(streamId: number, code: number): void {
    this.frame(4, RST_STREAM, 0, streamId)
    this.uint32(code)
  }

  windowUpdate(streamId: number, bytes: number): void {
    this.frame(4, WINDOW_UPDATE, 0, streamId)
    this.uint32(bytes)
  }

  goaway(lastStreamId: number, code: number): void {
    this.frame(8, GOAWAY, 0, 0)
    this.uint32(lastStreamId)
    this.uint32(code)
  }

  /** Bytes that go out as they are: the preface. */
  raw(bytes: Buffer): void {
    this.copy(bytes, 0, bytes.length)
  }

  private frame(length: number, type: number, flags: number, streamId: number): void {
    this.room(FRAME_HEAD_BYTES + length)
    const out = this.block!
    const { at } = this
    out[at] = length >> 16
    out[at + 1] = length >> 8
    out[at + 2] = length
    out[at + 3] = type
    out[at + 4] = flags
    out[at + 5] = streamId >>> 24
    out[at + 6] = streamId >> 16
    out[at + 7] = streamId >> 8
    out[at + 8] = streamId
    this.at = at + FRAME_HEAD_BYTES
    this.lastFlagsAt = type === DATA || type === HEADERS ? at + 4 : -1
    this.lastStream = streamId
    this.lastBlock = this.blockNumber
  }

  private uint32(value: number): void {
    this.at = this.block!.writeUInt32BE(value, this.at)
  }
}

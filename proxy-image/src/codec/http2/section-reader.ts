import { endOfPadded, refuseSelfDependency } from './frame-rules.ts'
import {
  ConnectionError,
  END_HEADERS,
  ENHANCE_YOUR_CALM,
  FRAME_SIZE_ERROR,
  PADDED,
  PRIORITY_FLAG,
  PROTOCOL_ERROR,
} from './frames.ts'
import { MAX_BLOCK_BYTES } from './hpack-decoder.ts'

/** Frames that one field section may come in (CVE-2024-27316). */
const MAX_CONTINUATIONS = 64

/** A whole compressed field section: `from[start, end)`. `flags` are those of its HEADERS frame. */
export interface Section {
  readonly id: number
  readonly flags: number
  readonly from: Buffer
  readonly start: number
  readonly end: number
}

/** Puts field sections together from HEADERS and CONTINUATION frames (RFC 9113, sections 6.2 and 6.10). */
export class SectionReader {
  private under: { id: number; flags: number; parts: Buffer[]; bytes: number; frames: number } | null = null

  /** The stream whose section is not complete; no other frame may come before its end. */
  get streamId(): number | undefined {
    return this.under?.id
  }

  /** Returns the section if this is all of it. @throws ConnectionError. */
  headers(flags: number, id: number, from: Buffer, start: number, end: number): Section | undefined {
    const padded = (flags & PADDED) !== 0
    const last = padded ? endOfPadded(from, start, end) : end
    let at = padded ? start + 1 : start
    if ((flags & PRIORITY_FLAG) !== 0) {
      if (last - at < 5) throw new ConnectionError(FRAME_SIZE_ERROR, 'HEADERS too short')
      refuseSelfDependency(id, from, at)
      at += 5
    }
    if ((flags & END_HEADERS) !== 0) return { id, flags, from, start: at, end: last }
    this.under = { id, flags, parts: [Buffer.from(from.subarray(at, last))], bytes: last - at, frames: 0 }
    return undefined
  }

  /** Returns the section if this is its end. @throws ConnectionError. */
  continuation(flags: number, from: Buffer, start: number, end: number): Section | undefined {
    const { under } = this
    if (under === null) throw new ConnectionError(PROTOCOL_ERROR, 'CONTINUATION of nothing')
    under.bytes += end - start
    if (++under.frames > MAX_CONTINUATIONS || under.bytes > MAX_BLOCK_BYTES) {
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'a field section without end')
    }
    under.parts.push(Buffer.from(from.subarray(start, end)))
    if ((flags & END_HEADERS) === 0) return undefined
    this.under = null
    const whole = Buffer.concat(under.parts)
    return { id: under.id, flags: under.flags, from: whole, start: 0, end: whole.length }
  }
}

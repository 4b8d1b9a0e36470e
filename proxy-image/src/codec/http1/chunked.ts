import { type FieldSection, trailersOf } from '../field-section.ts'
import { Fields } from './fields.ts'
import { CR, FIELD_VALUE, LF, MAX_HEAD_BYTES } from './syntax.ts'

/** Where a decoder is inside the chunked framing. */
const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILERS = 6
const DONE = 7

/** 2^52 bytes: beyond it a size would lose precision as a number. */
const MAX_SIZE_DIGITS = 13
/** Of one chunk. Extensions are ignored, not stored, but nobody needs long ones (CVE-2023-39326). */
const MAX_EXTENSION_BYTES = 256
const HEX = new Int8Array(256).fill(-1)
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i
}

/** Takes body bytes out of chunked framing (RFC 9112, section 7.1). One per body; strict, bounded, keeps no data. */
export class ChunkedDecoder {
  /** Why the framing is broken; null while it is not. */
  fault: string | null = null
  private state = SIZE
  private size = 0
  private digits = 0
  private extensionBytes = 0
  private trailerText = ''

  get done(): boolean {
    return this.state === DONE
  }

  /**
   * Reads `chunk[start, end)` and hands every run of body bytes to `onData`. Returns where it stopped: `end`, or behind
   * the last byte of the body once `done`, or anywhere once `fault` is set.
   */
  feed(chunk: Buffer, start: number, end: number, onData: (chunk: Buffer, start: number, end: number) => void): number {
    let at = start
    while (at < end && this.state !== DONE) {
      if (this.state === DATA) {
        const stop = Math.min(end, at + this.size)
        this.size -= stop - at
        if (this.size === 0) this.state = DATA_CR
        onData(chunk, at, stop)
        at = stop
      } else if (this.state === TRAILERS) {
        at = this.readTrailers(chunk, at, end)
      } else {
        this.readFraming(chunk[at++]!)
      }
      if (this.fault !== null) return at
    }
    return at
  }

  /** The trailer section to forward, null when there is none. */
  get trailers(): FieldSection | null {
    if (this.trailerText.length <= 2) return null
    const fields = new Fields(this.trailerText)
    fields.parse(0, this.trailerText.length - 2)
    return trailersOf(fields)
  }

  private readFraming(byte: number): void {
    switch (this.state) {
      case SIZE: {
        const digit = HEX[byte]!
        if (digit >= 0) {
          if (++this.digits > MAX_SIZE_DIGITS) this.fault = 'chunk size too large'
          else this.size = this.size * 16 + digit
        } else if (this.digits === 0) this.fault = 'chunk without a size'
        else if (byte === CR) this.state = SIZE_LF
        else if (byte === 0x3b) this.state = EXTENSION
        else this.fault = 'invalid chunk size'
        break
      }
      case EXTENSION:
        if (byte === CR) this.state = SIZE_LF
        else if (FIELD_VALUE[byte] !== 1) this.fault = 'invalid chunk extension'
        else if (++this.extensionBytes > MAX_EXTENSION_BYTES) this.fault = 'chunk extensions too long'
        break
      case SIZE_LF:
        if (byte !== LF) this.fault = 'bare CR after a chunk size'
        else this.state = this.size === 0 ? TRAILERS : DATA
        this.digits = 0
        this.extensionBytes = 0
        break
      case DATA_CR:
        if (byte !== CR) this.fault = 'chunk longer than its size'
        else this.state = DATA_LF
        break
      default:
        if (byte !== LF) this.fault = 'bare CR after a chunk'
        else this.state = SIZE
    }
  }

  private readTrailers(chunk: Buffer, start: number, end: number): number {
    const before = this.trailerText.length
    this.trailerText += chunk.toString('latin1', start, Math.min(end, start + MAX_HEAD_BYTES))
    const text = this.trailerText
    // The section is a list of lines and an empty one: it is over at CRLF, or at the first CRLF CRLF.
    const stop = text.startsWith('\r\n') ? 0 : text.indexOf('\r\n\r\n', Math.max(0, before - 3))
    if (stop < 0) {
      if (text.length >= MAX_HEAD_BYTES) this.fault = 'trailers too long'
      return end
    }
    const length = stop === 0 ? 2 : stop + 4
    this.trailerText = text.substring(0, length)
    if (stop > 0 && new Fields(this.trailerText).parse(0, stop + 2) !== null) this.fault = 'invalid trailers'
    this.state = DONE
    return start + length - before
  }
}

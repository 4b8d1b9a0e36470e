import type { FieldSection } from '../field-section.ts'
import { type Field, fieldName } from './field.ts'
import { fieldOf } from './field-cache.ts'
import { Http2Fields } from './fields.ts'
import type { FrameWriter } from './frame-writer.ts'
import { MAX_SECTION_BYTES } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'

/** A block with the largest section of a peer and all that the proxy adds. */
const block = Buffer.allocUnsafeSlow(4 * MAX_SECTION_BYTES)

/** Who a request is for stands in :authority. */
const HOST = fieldName('host')

/** Compresses and sends the field sections of one connection. */
export class SectionWriter {
  private readonly encoder = new HpackEncoder()
  private readonly writer: FrameWriter

  constructor(writer: FrameWriter) {
    this.writer = writer
  }

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(octets: number): void {
    this.encoder.limitTable(octets)
  }

  /** `first` are the pseudo-header fields. */
  send(id: number, first: readonly Field[], fields: FieldSection, endStream: boolean): void {
    const { encoder } = this
    let at = encoder.begin(block, 0)
    for (const field of first) at = encoder.encode(field, block, at)
    if (fields instanceof Http2Fields) {
      for (let i = fields.begin; i < fields.end; i++) {
        const field = fields.forwarded(i)
        if (field !== null && field.name !== HOST) at = encoder.encode(field, block, at)
      }
    } else {
      fields.forEach((name, value) => {
        if (name !== HOST.text) at = encoder.encode(fieldOf(fieldName(name), value), block, at)
      })
    }
    this.writer.headers(id, block, at, endStream)
  }
}

import { DynamicTable, TABLE_BYTES } from './dynamic-table.ts'
import { Field, type FieldName, STATIC_FIELDS } from './field.ts'
import { fieldFromWire, nameFromWire } from './field-cache.ts'
import { decodeHuffman } from './huffman.ts'
import { cursor, readInteger } from './integers.ts'

/** Size of a field section as both sides count it (SETTINGS_MAX_HEADER_LIST_SIZE); what is over it is not kept. */
export const MAX_SECTION_BYTES = 64 * 1024
/** Of one section on the wire: so much that one a little too large is answered, and does not end the connection. */
export const MAX_BLOCK_BYTES = 2 * MAX_SECTION_BYTES

const text = Buffer.allocUnsafeSlow(2 * MAX_BLOCK_BYTES)
const STATIC_COUNT = STATIC_FIELDS.length - 1

/** The octets of a literal as text; undefined when they are no Huffman code. */
function readText(from: Uint8Array, start: number, end: number, huffman: boolean): string | undefined {
  if (!huffman) return latin1(from as Buffer, start, end)
  const length = decodeHuffman(from, start, end, text)
  return length < 0 ? undefined : latin1(text, 0, length)
}

/** Crossing into native code costs more than a short string does. */
const SHORT = 8

function latin1(from: Buffer, start: number, end: number): string {
  if (end - start > SHORT) return from.toString('latin1', start, end)
  let made = ''
  for (let at = start; at < end; at++) made += String.fromCharCode(from[at]!)
  return made
}

/** Decompresses field sections of one connection (RFC 7541). */
export class HpackDecoder {
  /** Fields of the section that was decoded last, without those over {@link MAX_SECTION_BYTES}: a list that nobody else holds. */
  fields: Field[] = []
  /** Whether that section was larger; the state of the table is right all the same. */
  oversized = false
  private readonly table = new DynamicTable()

  /** Decodes a whole block. False: it is broken, and with it the connection (RFC 9113, section 4.3). */
  decode(from: Buffer, start: number, end: number): boolean {
    const { table } = this
    const fields: Field[] = []
    this.fields = fields
    this.oversized = false
    let size = 0
    let first = true
    cursor.at = start
    while (cursor.at < end) {
      const octet = from[cursor.at]!
      if ((octet & 0xe0) === 0x20) {
        const limit = readInteger(from, cursor.at, end, 31)
        // Section 4.2: at the beginning of a block only, and never over what the settings say.
        if (limit < 0 || limit > TABLE_BYTES || !first) return false
        table.resize(limit)
        continue
      }
      first = false
      const field = (octet & 0x80) !== 0 ? this.indexed(from, end) : this.literal(octet, from, end)
      if (field === undefined) return false
      size += field.size
      if (size > MAX_SECTION_BYTES) this.oversized = true
      else fields.push(field)
    }
    return true
  }

  private indexed(from: Buffer, end: number): Field | undefined {
    const index = readInteger(from, cursor.at, end, 127)
    const field = index <= 0 ? undefined : this.at(index)
    if (field !== undefined) field.sightings++
    return field
  }

  private literal(octet: number, from: Buffer, end: number): Field | undefined {
    const indexing = (octet & 0x40) !== 0
    const index = readInteger(from, cursor.at, end, indexing ? 63 : 15)
    if (index < 0) return undefined
    const name = index === 0 ? this.literalName(from, end) : this.at(index)?.name
    if (name === undefined || cursor.at >= end) return undefined
    const huffman = from[cursor.at]! > 127
    const length = readInteger(from, cursor.at, end, 127)
    const start = cursor.at
    if (length < 0 || start + length > end) return undefined
    const never = (octet & 0xf0) === 0x10
    const field = never
      ? neverIndexed(name, readText(from, start, start + length, huffman))
      : fieldFromWire(name, from, start, start + length, huffman, readText)
    cursor.at = start + length
    if (field === undefined) return undefined
    field.sightings++
    if (indexing) this.table.insert(field)
    return field
  }

  private literalName(from: Buffer, end: number): FieldName | undefined {
    if (cursor.at >= end) return undefined
    const huffman = from[cursor.at]! > 127
    const length = readInteger(from, cursor.at, end, 127)
    const start = cursor.at
    if (length < 0 || start + length > end) return undefined
    const name = nameFromWire(from, start, start + length, huffman, readText)
    cursor.at = start + length
    return name
  }

  private at(index: number): Field | undefined {
    return index <= STATIC_COUNT ? STATIC_FIELDS[index]! : this.table.get(index - STATIC_COUNT - 1)
  }
}

function neverIndexed(name: FieldName, value: string | undefined): Field | undefined {
  return value === undefined ? undefined : new Field(name, value, true)
}

import { DynamicTable, TABLE_BYTES } from './dynamic-table.ts'
import { type Field, type FieldName, STATIC_FIELDS } from './field.ts'
import { writeInteger } from './integers.ts'

/** Longer texts are written by native code, shorter ones in a loop: the crossing costs more than they do. */
const SHORT = 16
const FIRST_DYNAMIC = STATIC_FIELDS.length

/** Compresses field sections of one connection (RFC 7541). Strings go out plain: Huffman costs more than it saves here. */
export class HpackEncoder {
  /** Number of each entry of the table, and of the newest entry of each name. */
  private readonly byField = new Map<Field, number>()
  private readonly byName = new Map<FieldName, number>()
  private readonly table = new DynamicTable((field, number) => {
    if (this.byField.get(field) === number) this.byField.delete(field)
    if (this.byName.get(field.name) === number) this.byName.delete(field.name)
  })
  /** The smallest size that the table had since the last block, -1 when it did not change. */
  private smallest = -1

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(octets: number): void {
    const limit = Math.min(octets, TABLE_BYTES)
    if (limit === this.table.maxSize) return
    this.table.resize(limit)
    this.smallest = this.smallest < 0 ? limit : Math.min(limit, this.smallest)
  }

  /** Begins a block: says how the table's size changed (section 4.2). Returns the position behind. */
  begin(to: Buffer, at: number): number {
    if (this.smallest < 0) return at
    let next = writeInteger(to, at, 0x20, 31, this.smallest)
    if (this.table.maxSize !== this.smallest) next = writeInteger(to, next, 0x20, 31, this.table.maxSize)
    this.smallest = -1
    return next
  }

  /** Writes a field. A field enters the table at its second sight. Returns the position behind. */
  encode(field: Field, to: Buffer, at: number): number {
    if (field.staticIndex !== 0 && !field.never) return writeInteger(to, at, 0x80, 127, field.staticIndex)
    const { table } = this
    if (!field.never) {
      const number = this.byField.get(field)
      if (number !== undefined) return writeInteger(to, at, 0x80, 127, FIRST_DYNAMIC + table.inserted - 1 - number)
    }
    const { name } = field
    const indexing = !field.never && field.sightings > 1 && !name.secret && field.size <= table.maxSize >> 1
    let index = name.staticIndex
    if (index === 0) {
      const number = this.byName.get(name)
      if (number !== undefined) index = FIRST_DYNAMIC + table.inserted - 1 - number
    }
    let next = indexing
      ? writeInteger(to, at, 0x40, 63, index)
      : writeInteger(to, at, field.never || name.secret ? 0x10 : 0, 15, index)
    if (index === 0) next = writeString(to, next, name.text)
    next = writeString(to, next, field.value)
    if (indexing) {
      const number = table.inserted
      table.insert(field)
      this.byField.set(field, number)
      if (name.staticIndex === 0) this.byName.set(name, number)
    }
    return next
  }
}

function writeString(to: Buffer, at: number, text: string): number {
  const { length } = text
  const next = writeInteger(to, at, 0, 127, length)
  if (length > SHORT) {
    to.write(text, next, 'latin1')
    return next + length
  }
  for (let i = 0; i < length; i++) to[next + i] = text.charCodeAt(i)
  return next + length
}

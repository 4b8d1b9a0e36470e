import type { Field } from './field.ts'

/** The table size that both sides begin with (RFC 9113, section 6.5.2), and the largest one that is used here. */
export const TABLE_BYTES = 4096
/** Every entry costs 32 octets and more, so that no more fit. */
const RING = TABLE_BYTES / 32
const MASK = RING - 1

/** The dynamic table of one direction of a connection (RFC 7541, section 2.3.2): entries numbered in order of insertion. */
export class DynamicTable {
  /** Number that the next insertion gets. */
  inserted = 0
  count = 0
  private readonly ring: (Field | null)[] = new Array(RING).fill(null)
  private size = 0
  private limit = TABLE_BYTES
  private readonly onEvicted: ((field: Field, number: number) => void) | null

  constructor(onEvicted: ((field: Field, number: number) => void) | null = null) {
    this.onEvicted = onEvicted
  }

  get maxSize(): number {
    return this.limit
  }

  /** Entry by index, the newest first (0). Undefined when there is none. */
  get(index: number): Field | undefined {
    if (index >= this.count) return undefined
    return this.ring[(this.inserted - 1 - index) & MASK]!
  }

  resize(limit: number): void {
    this.limit = limit
    this.evictTo(limit)
  }

  /** Inserts an entry; one that is larger than the table empties it (section 4.4). */
  insert(field: Field): void {
    if (field.size > this.limit) {
      this.evictTo(0)
      return
    }
    this.evictTo(this.limit - field.size)
    this.ring[this.inserted & MASK] = field
    this.inserted++
    this.count++
    this.size += field.size
  }

  private evictTo(size: number): void {
    while (this.size > size) {
      const number = this.inserted - this.count
      const field = this.ring[number & MASK]!
      this.ring[number & MASK] = null
      this.size -= field.size
      this.count--
      this.onEvicted?.(field, number)
    }
  }
}

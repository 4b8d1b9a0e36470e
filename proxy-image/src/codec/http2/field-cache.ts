import { Field, type FieldName, fieldName, MAX_CACHED_NAME } from './field.ts'

/**
 * Fields of all connections by their content, so that what comes again is one object: direct-mapped caches of bounded size.
 * What comes once (a request id, a date) is not kept: it would only grow old in the place of something useful. Two texts
 * that fall on one slot only cost the cache its use.
 */

const SLOTS = 4096
/** Longer values are rarely met again, and would make the caches large. */
const MAX_CACHED = 128
/** Names are few. */
const NAME_SLOTS = 512

/** What was made of octets, by those octets: they are compared before any string is made. */
class WireCache<T> {
  private readonly values: (T | null)[]
  private readonly wire: Uint8Array
  /** Length, coding and seed of what is in each slot. */
  private readonly keys: Int32Array
  private readonly seeds: Int32Array
  /** Of what was met there last: it is kept at its second sight. */
  private readonly hashes: Int32Array
  private readonly maxBytes: number
  private slot = 0
  private hash = 0
  private key = 0
  private seed = 0

  constructor(slots: number, maxBytes: number) {
    this.values = new Array(slots).fill(null)
    this.wire = new Uint8Array(slots * maxBytes)
    this.keys = new Int32Array(slots)
    this.seeds = new Int32Array(slots)
    this.hashes = new Int32Array(slots)
    this.maxBytes = maxBytes
  }

  /** Looks for at most `maxBytes` octets. `seed` tells apart what is made of the same octets in another place. */
  find(seed: number, from: Uint8Array, start: number, end: number, huffman: boolean): T | null {
    const length = end - start
    let hash = huffman ? ~seed : seed
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + from[at]!) | 0
    const slot = (hash ^ (hash >>> 12)) & (this.values.length - 1)
    const key = (length << 1) | (huffman ? 1 : 0)
    this.slot = slot
    this.hash = hash
    this.key = key
    this.seed = seed
    if (this.keys[slot] !== key || this.seeds[slot] !== seed) return null
    const base = slot * this.maxBytes
    let at = 0
    while (at < length && this.wire[base + at] === from[start + at]) at++
    return at === length ? this.values[slot]! : null
  }

  /** Keeps what {@link find} did not find if it comes for the second time in a row. False: not yet. */
  learn(value: T, from: Uint8Array, start: number, end: number): boolean {
    const { slot } = this
    if (this.hashes[slot] !== this.hash) {
      this.hashes[slot] = this.hash
      return false
    }
    this.values[slot] = value
    this.keys[slot] = this.key
    this.seeds[slot] = this.seed
    const base = slot * this.maxBytes
    for (let at = start; at < end; at++) this.wire[base + at - start] = from[at]!
    return true
  }
}

/** Turns the octets of a literal into text; undefined when they are no Huffman code. */
export type ReadText = (from: Uint8Array, start: number, end: number, huffman: boolean) => string | undefined

const wireFields = new WireCache<Field>(SLOTS, MAX_CACHED)
const wireNames = new WireCache<FieldName>(NAME_SLOTS, MAX_CACHED_NAME)

/** The field of a name and a value as it stands on the wire; undefined when the octets are no text. */
export function fieldFromWire(
  name: FieldName,
  from: Uint8Array,
  start: number,
  end: number,
  huffman: boolean,
  read: ReadText,
): Field | undefined {
  const cached = end - start <= MAX_CACHED && name.text.length <= MAX_CACHED_NAME
  const known = cached ? wireFields.find(name.id, from, start, end, huffman) : null
  if (known !== null) return known
  const value = read(from, start, end, huffman)
  if (value === undefined) return undefined
  const made = new Field(name, value)
  if (cached && wireFields.learn(made, from, start, end)) made.sightings = 1
  return made
}

/** The name of a field as it stands on the wire; undefined when the octets are no text. */
export function nameFromWire(
  from: Uint8Array,
  start: number,
  end: number,
  huffman: boolean,
  read: ReadText,
): FieldName | undefined {
  const cached = end - start <= MAX_CACHED_NAME
  const known = cached ? wireNames.find(0, from, start, end, huffman) : null
  if (known !== null) return known
  const text = read(from, start, end, huffman)
  if (text === undefined) return undefined
  const made = fieldName(text)
  if (cached) wireNames.learn(made, from, start, end)
  return made
}

const textFields: (Field | null)[] = new Array(SLOTS).fill(null)
const textHashes = new Int32Array(SLOTS)

/** The field of a name and a text: what an HTTP/1 head becomes here. */
export function fieldOf(name: FieldName, value: string): Field {
  if (value.length > MAX_CACHED || name.text.length > MAX_CACHED_NAME) return new Field(name, value)
  let hash = name.id
  for (let at = 0; at < value.length; at++) hash = (Math.imul(hash, 31) + value.charCodeAt(at)) | 0
  const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1)
  const known = textFields[slot]!
  if (known !== null && known.name === name && known.value === value) {
    known.sightings++
    return known
  }
  const made = new Field(name, value)
  if (textHashes[slot] !== hash) {
    textHashes[slot] = hash
    return made
  }
  made.sightings = 2
  textFields[slot] = made
  return made
}

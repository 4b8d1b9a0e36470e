import { Field, type FieldName, fieldName, MAX_CACHED_NAME } from './field.ts'

/**
 * Fields of all connections by their content, so that what comes again is one object: direct-mapped caches of bounded size.
 * What comes once (a request id, a date) is not kept: it would only grow old in the place of something useful. Two texts
 * that fall on one slot only cost the cache its use.
 */

const SLOTS = 4096
/** Longer values are rarely met again, and would make the caches large. */
const MAX_CACHED = 128

/** Fields by slot, and the hash of what was met there last: a field is kept at its second sight. */
class Slots {
  readonly fields: (Field | null)[] = new Array(SLOTS).fill(null)
  private readonly hashes = new Int32Array(SLOTS)

  /** Whether a hash is met for the second time in a row. */
  again(slot: number, hash: number): boolean {
    if (this.hashes[slot] === hash) return true
    this.hashes[slot] = hash
    return false
  }
}

const fromWire = new Slots()
/** Wire octets of the field in each slot: what is compared before any string is made. */
const wire = new Uint8Array(SLOTS * MAX_CACHED)
const keys = new Int32Array(SLOTS)

/** Turns the octets of a literal into text; undefined when they are no Huffman code. */
export type ReadText = (from: Uint8Array, start: number, end: number, huffman: boolean) => string | undefined

/** The field of a name and a value as it stands on the wire; undefined when the octets are no text. */
export function fieldFromWire(
  name: FieldName,
  from: Uint8Array,
  start: number,
  end: number,
  huffman: boolean,
  read: ReadText,
): Field | undefined {
  const length = end - start
  if (length > MAX_CACHED || name.text.length > MAX_CACHED_NAME) return newField(name, read(from, start, end, huffman))
  let hash = huffman ? ~name.id : name.id
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + from[at]!) | 0
  const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1)
  const key = (length << 1) | (huffman ? 1 : 0)
  const base = slot * MAX_CACHED
  const known = fromWire.fields[slot]
  if (known !== null && known !== undefined && known.name === name && keys[slot] === key) {
    let at = 0
    while (at < length && wire[base + at] === from[start + at]) at++
    if (at === length) return known
  }
  const made = newField(name, read(from, start, end, huffman))
  if (made === undefined || !fromWire.again(slot, hash)) return made
  made.sightings = 1
  fromWire.fields[slot] = made
  keys[slot] = key
  for (let at = 0; at < length; at++) wire[base + at] = from[start + at]!
  return made
}

function newField(name: FieldName, value: string | undefined): Field | undefined {
  return value === undefined ? undefined : new Field(name, value)
}

const fromText = new Slots()

/** The field of two texts, the name in lower case: what an HTTP/1 head becomes here. */
export function fieldOf(nameText: string, value: string): Field {
  const name = fieldName(nameText)
  if (value.length > MAX_CACHED || nameText.length > MAX_CACHED_NAME) return new Field(name, value)
  let hash = name.id
  for (let at = 0; at < value.length; at++) hash = (Math.imul(hash, 31) + value.charCodeAt(at)) | 0
  const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1)
  const known = fromText.fields[slot]
  if (known !== null && known !== undefined && known.name === name && known.value === value) {
    known.sightings++
    return known
  }
  const made = new Field(name, value)
  if (!fromText.again(slot, hash)) return made
  made.sightings = 2
  fromText.fields[slot] = made
  return made
}

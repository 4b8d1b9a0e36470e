import { Field, type FieldName, fieldName } from './field.ts'

/**
 * Fields of all connections by their content, so that what comes again is one object: direct-mapped caches of bounded size.
 * Two texts that fall on one slot only cost the cache its use.
 */

const SLOTS = 4096
/** Longer values are rarely met again, and would make the caches large. */
const MAX_CACHED = 128

const fields: (Field | null)[] = new Array(SLOTS).fill(null)
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
  if (length > MAX_CACHED) return newField(name, read(from, start, end, huffman))
  let hash = huffman ? 1 : 0
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + from[at]!) | 0
  for (let at = 0; at < name.text.length; at++) hash = (Math.imul(hash, 31) + name.text.charCodeAt(at)) | 0
  const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1)
  const key = (length << 1) | (huffman ? 1 : 0)
  const base = slot * MAX_CACHED
  const known = fields[slot]
  if (known !== null && known !== undefined && known.name === name && keys[slot] === key) {
    let at = 0
    while (at < length && wire[base + at] === from[start + at]) at++
    if (at === length) return known
  }
  const made = newField(name, read(from, start, end, huffman))
  if (made === undefined) return undefined
  fields[slot] = made
  keys[slot] = key
  for (let at = 0; at < length; at++) wire[base + at] = from[start + at]!
  return made
}

function newField(name: FieldName, value: string | undefined): Field | undefined {
  return value === undefined ? undefined : new Field(name, value)
}

const texts: (Field | null)[] = new Array(SLOTS).fill(null)

/** The field of two texts, the name in lower case: what an HTTP/1 head becomes here. */
export function fieldOf(nameText: string, value: string): Field {
  const name = fieldName(nameText)
  if (value.length > MAX_CACHED) return new Field(name, value)
  let hash = value.length
  for (let at = 0; at < value.length; at++) hash = (Math.imul(hash, 31) + value.charCodeAt(at)) | 0
  for (let at = 0; at < nameText.length; at++) hash = (Math.imul(hash, 31) + nameText.charCodeAt(at)) | 0
  const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1)
  const known = texts[slot]
  if (known !== null && known !== undefined && known.name === name && known.value === value) {
    known.sightings++
    return known
  }
  const made = new Field(name, value)
  made.sightings = 1
  texts[slot] = made
  return made
}

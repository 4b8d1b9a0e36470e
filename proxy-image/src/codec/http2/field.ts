import { FIELD_VALUE, TOKEN } from '../http1/syntax.ts'
import { STATIC_TABLE } from './static-table.ts'

/** Pseudo-header fields (RFC 9113, section 8.3; `:protocol`: RFC 8441), each a bit so that a head can collect those it saw. */
const PSEUDO = {
  ':method': 1,
  ':scheme': 2,
  ':path': 4,
  ':authority': 8,
  ':status': 16,
  ':protocol': 32,
} as const
export const METHOD = PSEUDO[':method']
export const SCHEME = PSEUDO[':scheme']
export const PATH = PSEUDO[':path']
export const AUTHORITY = PSEUDO[':authority']
export const STATUS_FIELD = PSEUDO[':status']
export const PROTOCOL = PSEUDO[':protocol']

/** Fields that are for one HTTP/1 connection and have no place here (RFC 9113, section 8.2.2). */
const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
/** Never put into a compression table, where a guess could be confirmed by the length (RFC 7541, section 7.1.3). */
const SECRETS = new Set(['authorization', 'proxy-authorization', 'set-cookie'])

/** How many names were made. */
let made = 1

/** A field name, made once for each text: names are compared by identity. */
export class FieldName {
  readonly text: string
  /** For hashes. */
  readonly id: number
  /** Index in the static table, 0 when it is not there. */
  staticIndex = 0
  /** Bit of {@link PSEUDO}, 0 for ordinary fields. */
  readonly pseudo: number
  readonly secret: boolean
  /** Whether a message that holds it is malformed. */
  readonly malformed: boolean

  constructor(text: string) {
    this.text = text
    this.id = made++
    this.pseudo = (PSEUDO as Readonly<Record<string, number>>)[text] ?? 0
    this.secret = SECRETS.has(text)
    this.malformed = this.pseudo === 0 && (!isLowerCaseToken(text) || CONNECTION_FIELDS.has(text))
  }
}

function isLowerCaseToken(text: string): boolean {
  if (text === '') return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (TOKEN[code] !== 1 || (code >= 65 && code <= 90)) return false
  }
  return true
}

/** Octets that every field costs in a table and in a list beside its text (RFC 7541, section 4.1). */
const FIELD_OVERHEAD = 32

/**
 * A field, immutable but for its count of sightings. Decoders and encoders of all connections share fields: one that is
 * forwarded is looked up by identity, and its text is checked once.
 */
export class Field {
  readonly name: FieldName
  readonly value: string
  /** Size as RFC 7541, section 4.1, counts it. */
  readonly size: number
  /** Its sender wants it never indexed, by nobody (RFC 7541, section 6.2.3). */
  readonly never: boolean
  readonly staticIndex: number
  readonly malformed: boolean
  /** How often it was met: what comes once only is not worth a place in a table. */
  sightings = 0

  constructor(name: FieldName, value: string, never = false) {
    this.name = name
    this.value = value
    this.size = name.text.length + value.length + FIELD_OVERHEAD
    this.never = never
    this.staticIndex = STATIC_PAIRS.get(name)?.get(value) ?? 0
    this.malformed = name.malformed || (name === TE && value !== 'trailers') || !isFieldValue(value)
  }
}

/** RFC 9113, section 8.2.1: no control characters, no whitespace at either end. */
function isFieldValue(value: string): boolean {
  const { length } = value
  if (length === 0) return true
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(length - 1))) return false
  for (let i = 0; i < length; i++) if (FIELD_VALUE[value.charCodeAt(i)] !== 1) return false
  return true
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** Names that are remembered; more, and longer ones, come from somebody who makes them up. */
const MAX_NAMES = 4096
export const MAX_CACHED_NAME = 64
const names = new Map<string, FieldName>()

/** The one name of a text. */
export function fieldName(text: string): FieldName {
  let name = names.get(text)
  if (name === undefined) {
    name = new FieldName(text)
    if (names.size < MAX_NAMES && text.length <= MAX_CACHED_NAME) names.set(text, name)
  }
  return name
}

const TE = fieldName('te')
const STATIC_PAIRS = new Map<FieldName, Map<string, number>>()

/** The static table by index; 0 is no entry. */
export const STATIC_FIELDS: readonly (Field | null)[] = [
  null,
  ...STATIC_TABLE.map(([text, value], at) => {
    const name = fieldName(text)
    if (name.staticIndex === 0) name.staticIndex = at + 1
    let pairs = STATIC_PAIRS.get(name)
    if (pairs === undefined) {
      pairs = new Map()
      STATIC_PAIRS.set(name, pairs)
    }
    pairs.set(value, at + 1)
    return new Field(name, value)
  }),
]

/** Fields of a message or trailer section as a codec received them, and what becomes of them when they are forwarded. */
export interface FieldSection {
  /** Fields received; `i` below counts them. */
  readonly count: number
  /** In lower case. */
  name(i: number): string
  value(i: number): string
  /** Whether field `i` has a lower-case name. */
  nameIs(i: number, word: string): boolean
  nameLength(i: number): number
  /** Value by lower-case name as received, else as added by the proxy; several are joined (RFC 9110, section 5.3). */
  get(word: string): string | undefined
  /** Whether a received field of a lower-case name will be forwarded. */
  forwards(word: string): boolean
  /** Keeps every field of a lower-case name from being forwarded; it can still be read. */
  dropNamed(word: string): void
  /** Adds a field by its lower-case name. The caller vouches for the characters. */
  add(name: string, value: string): void
  /** What is forwarded as HTTP/1.1 field lines, each ending in CRLF. */
  lines(): string
  /** What is forwarded, names in lower case. */
  forEach(visit: (name: string, value: string) => void): void
}

/** Fields that must not come in trailers because they frame or route the message (RFC 9110, section 6.5.1). */
const FORBIDDEN_TRAILERS = ['content-length', 'transfer-encoding', 'host', 'connection', 'trailer', 'te']

/** A received trailer section, fit to be forwarded. */
export function trailersOf(fields: FieldSection): FieldSection {
  for (const name of FORBIDDEN_TRAILERS) fields.dropNamed(name)
  return fields
}

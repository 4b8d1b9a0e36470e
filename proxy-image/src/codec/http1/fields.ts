import type { FieldSection } from '../field-section.ts'
import { COLON, CR, FIELD_VALUE, HTAB, LF, MAX_FIELDS, SP, sliceIs, TOKEN } from './syntax.ts'

/** Slots of one field in `Fields.index`. */
const NAME_START = 0
const NAME_END = 1
const VALUE_START = 2
const VALUE_END = 3
const FORWARDED = 4
const SLOTS = 5

/** Why a field section can't be accepted. */
export type FieldsFault =
  | 'obs-fold or empty field name'
  | 'invalid character in field name'
  | 'invalid character in field value'
  | 'bare CR'
  | 'too many fields'

/**
 * A field section as it came: one latin1 string and the positions of its parts. Nothing is decoded until somebody asks,
 * and what is forwarded unchanged is copied as whole runs of lines.
 */
export class Fields implements FieldSection {
  readonly text: string
  private readonly index: number[] = []
  /** Fields added by the proxy: names and values in turn. */
  private added: string[] | null = null
  private end = 0

  constructor(text: string) {
    this.text = text
  }

  get count(): number {
    return this.index.length / SLOTS
  }

  /**
   * Reads field lines from `start` until the empty line at `end` (the position of the CRLF that ends the section).
   * Strict (RFC 9112, section 5): no whitespace before the colon, no folding, no bare CR or LF, no control characters.
   */
  parse(start: number, end: number): FieldsFault | null {
    const { text, index } = this
    this.end = end
    let at = start
    while (at < end) {
      if (index.length >= MAX_FIELDS * SLOTS) return 'too many fields'
      const nameStart = at
      let c = text.charCodeAt(at)
      while (TOKEN[c] === 1) c = text.charCodeAt(++at)
      if (at === nameStart) return 'obs-fold or empty field name'
      if (c !== COLON) return 'invalid character in field name'
      const nameEnd = at
      c = text.charCodeAt(++at)
      while (c === SP || c === HTAB) c = text.charCodeAt(++at)
      const valueStart = at
      while (FIELD_VALUE[c] === 1) c = text.charCodeAt(++at)
      if (c !== CR) return 'invalid character in field value'
      if (text.charCodeAt(at + 1) !== LF) return 'bare CR'
      let valueEnd = at
      while (valueEnd > valueStart) {
        const last = text.charCodeAt(valueEnd - 1)
        if (last !== SP && last !== HTAB) break
        valueEnd--
      }
      at += 2
      index.push(nameStart, nameEnd, valueStart, valueEnd, 1)
    }
    return null
  }

  nameIs(i: number, word: string): boolean {
    const slot = i * SLOTS
    return sliceIs(this.text, this.index[slot + NAME_START]!, this.index[slot + NAME_END]!, word)
  }

  nameLength(i: number): number {
    const slot = i * SLOTS
    return this.index[slot + NAME_END]! - this.index[slot + NAME_START]!
  }

  name(i: number): string {
    const slot = i * SLOTS
    return this.text.substring(this.index[slot + NAME_START]!, this.index[slot + NAME_END]!).toLowerCase()
  }

  value(i: number): string {
    const slot = i * SLOTS
    return this.text.substring(this.index[slot + VALUE_START]!, this.index[slot + VALUE_END]!)
  }

  /** Keeps a field from being forwarded; it can still be read. */
  drop(i: number): void {
    this.index[i * SLOTS + FORWARDED] = 0
  }

  /** Keeps every field of a lower-case name from being forwarded. */
  dropNamed(word: string): void {
    for (let i = 0, n = this.count; i < n; i++) if (this.nameIs(i, word)) this.drop(i)
  }

  /** Adds a field by its lower-case name. The caller vouches for the characters. */
  add(name: string, value: string): void {
    this.added ??= []
    this.added.push(name, value)
  }

  /** Whether a received field of a lower-case name will be forwarded. */
  forwards(word: string): boolean {
    for (let i = 0, n = this.count; i < n; i++) {
      if (this.index[i * SLOTS + FORWARDED] === 1 && this.nameIs(i, word)) return true
    }
    return false
  }

  /**
   * Value by lower-case name as received, else as added by the proxy; several lines are joined by `, ` (RFC 9110,
   * section 5.3).
   */
  get(word: string): string | undefined {
    let found: string | undefined
    for (let i = 0, n = this.count; i < n; i++) {
      if (this.nameIs(i, word)) found = found === undefined ? this.value(i) : `${found}, ${this.value(i)}`
    }
    return found ?? this.getAdded(word)
  }

  private getAdded(word: string): string | undefined {
    const { added } = this
    if (added === null) return undefined
    for (let i = 0; i < added.length; i += 2) if (added[i] === word) return added[i + 1]
    return undefined
  }

  /** The lines to forward, each ending in CRLF. */
  lines(): string {
    const { text, index } = this
    let out = ''
    let runStart = -1
    for (let slot = 0; slot < index.length; slot += SLOTS) {
      if (index[slot + FORWARDED] === 1) {
        if (runStart < 0) runStart = index[slot + NAME_START]!
      } else if (runStart >= 0) {
        out += text.substring(runStart, index[slot + NAME_START]!)
        runStart = -1
      }
    }
    if (runStart >= 0) out += text.substring(runStart, this.end)
    const { added } = this
    if (added !== null) for (let i = 0; i < added.length; i += 2) out += `${added[i]}: ${added[i + 1]}\r\n`
    return out
  }

  /** What is forwarded, names in lower case. */
  forEach(visit: (name: string, value: string) => void): void {
    const { index, added } = this
    for (let i = 0, n = this.count; i < n; i++) {
      if (index[i * SLOTS + FORWARDED] === 1) visit(this.name(i), this.value(i))
    }
    if (added !== null) for (let i = 0; i < added.length; i += 2) visit(added[i]!, added[i + 1]!)
  }
}

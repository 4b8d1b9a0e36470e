import type { FieldSection } from '../field-section.ts'
import { Field, fieldName } from './field.ts'

/** A field section without its pseudo-header fields. */
export class Http2Fields implements FieldSection {
  private readonly list: Field[]
  /** Where the section begins in the list: behind the pseudo-header fields. */
  private readonly first: number
  /** Where those begin that were not received, but added. */
  private readonly added: number
  private dropped: Set<Field> | null = null

  /** Takes the list over, from `first` on. */
  constructor(list: Field[], first = 0) {
    this.list = list
    this.first = first
    this.added = list.length
  }

  get count(): number {
    return this.added - this.first
  }

  name(i: number): string {
    return this.list[this.first + i]!.name.text
  }

  value(i: number): string {
    return this.list[this.first + i]!.value
  }

  nameIs(i: number, word: string): boolean {
    return this.list[this.first + i]!.name.text === word
  }

  nameLength(i: number): number {
    return this.list[this.first + i]!.name.text.length
  }

  get(word: string): string | undefined {
    let found: string | undefined
    for (let at = this.first; at < this.list.length; at++) {
      const { name, value } = this.list[at]!
      if (name.text !== word || (at >= this.added && found !== undefined)) continue
      found = found === undefined ? value : `${found}${word === 'cookie' ? '; ' : ', '}${value}`
    }
    return found
  }

  forwards(word: string): boolean {
    for (let at = this.first; at < this.added; at++) {
      const field = this.list[at]!
      if (field.name.text === word && this.dropped?.has(field) !== true) return true
    }
    return false
  }

  dropNamed(word: string): void {
    for (let at = this.first; at < this.added; at++) {
      const field = this.list[at]!
      if (field.name.text !== word) continue
      this.dropped ??= new Set()
      this.dropped.add(field)
    }
  }

  add(name: string, value: string): void {
    // What the proxy adds is of one request: not worth looking for it among what came before.
    this.list.push(new Field(fieldName(name), value))
  }

  lines(): string {
    let out = ''
    let cookies = ''
    this.forEach((name, value) => {
      // Crumbs of a cookie are one line again (RFC 9113, section 8.2.3).
      if (name === 'cookie') cookies = cookies === '' ? value : `${cookies}; ${value}`
      // Between hops of HTTP/1.1 it would need a Connection field of its own.
      else if (name !== 'te') out += `${name}: ${value}\r\n`
    })
    return cookies === '' ? out : `${out}cookie: ${cookies}\r\n`
  }

  forEach(visit: (name: string, value: string) => void): void {
    for (let at = this.begin; at < this.end; at++) {
      const field = this.forwarded(at)
      if (field !== null) visit(field.name.text, field.value)
    }
  }

  /** Bounds of what {@link forwarded} may be asked for. */
  get begin(): number {
    return this.first
  }

  get end(): number {
    return this.list.length
  }

  /** A field that is forwarded, for an encoder that knows fields by identity; null for one that is not. */
  forwarded(at: number): Field | null {
    const field = this.list[at]!
    // What was added may be the very field that was dropped.
    return this.dropped === null || at >= this.added || !this.dropped.has(field) ? field : null
  }
}

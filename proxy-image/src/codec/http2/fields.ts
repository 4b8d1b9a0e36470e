import type { FieldSection } from '../field-section.ts'
import { Field, fieldName } from './field.ts'

/** A field section without its pseudo-header fields. */
export class Http2Fields implements FieldSection {
  private readonly list: Field[]
  /** How many of the list were received; the others were added. */
  readonly count: number
  private dropped: Set<Field> | null = null

  /** Takes the list over. */
  constructor(list: Field[]) {
    this.list = list
    this.count = list.length
  }

  name(i: number): string {
    return this.list[i]!.name.text
  }

  value(i: number): string {
    return this.list[i]!.value
  }

  nameIs(i: number, word: string): boolean {
    return this.list[i]!.name.text === word
  }

  nameLength(i: number): number {
    return this.list[i]!.name.text.length
  }

  get(word: string): string | undefined {
    let found: string | undefined
    for (let i = 0; i < this.list.length; i++) {
      const { name, value } = this.list[i]!
      if (name.text !== word || (i >= this.count && found !== undefined)) continue
      found = found === undefined ? value : `${found}${word === 'cookie' ? '; ' : ', '}${value}`
    }
    return found
  }

  forwards(word: string): boolean {
    for (let i = 0; i < this.count; i++) {
      const field = this.list[i]!
      if (field.name.text === word && this.dropped?.has(field) !== true) return true
    }
    return false
  }

  dropNamed(word: string): void {
    for (let i = 0; i < this.count; i++) {
      const field = this.list[i]!
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
    this.forEachField(({ name, value }) => {
      // Crumbs of a cookie are one line again (RFC 9113, section 8.2.3).
      if (name.text === 'cookie') cookies = cookies === '' ? value : `${cookies}; ${value}`
      // Between hops of HTTP/1.1 it would need a Connection field of its own.
      else if (name.text !== 'te') out += `${name.text}: ${value}\r\n`
    })
    return cookies === '' ? out : `${out}cookie: ${cookies}\r\n`
  }

  forEach(visit: (name: string, value: string) => void): void {
    this.forEachField(({ name, value }) => visit(name.text, value))
  }

  /** What is forwarded, for an encoder that knows fields by identity. */
  forEachField(visit: (field: Field) => void): void {
    const { list, dropped, count } = this
    for (let i = 0; i < list.length; i++) {
      const field = list[i]!
      // What was added may be the very field that was dropped.
      if (dropped === null || i >= count || !dropped.has(field)) visit(field)
    }
  }
}

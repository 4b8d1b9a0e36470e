/** Characters that do not stand for themselves in a log: all but printable ASCII, quotes and backslashes. */
export const SPECIAL = /[^ !#-[\]-~]/g
/** The others, by their code. */
const PLAIN = new Uint8Array(0x10000)
for (let code = 0; code < 0x80; code++) if (String.fromCharCode(code).search(SPECIAL) < 0) PLAIN[code] = 1

/** Longer texts are written by native code, shorter ones in a loop: the crossing costs more than they do. */
const SHORT = 16

/** What a character that is not plain becomes, in ASCII. */
export type Escape = (character: string) => string

/**
 * One line of a log on its way into a block of bytes: a line that was a string first would cost an object for each of its
 * parts. What does not fit is not written, and `overflowed` says so.
 */
export class LogLine {
  /** Where the line ends. */
  at = 0
  private bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** Begins a line in a block. */
  begin(bytes: Buffer, at: number): void {
    this.bytes = bytes
    this.at = at
  }

  get overflowed(): boolean {
    return this.at > this.bytes.length
  }

  /** Text of which each character is one byte. */
  raw(text: string): void {
    const { bytes, at } = this
    const { length } = text
    this.at = at + length
    if (this.at > bytes.length) return
    if (length > SHORT) bytes.write(text, at, 'latin1')
    else for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
  }

  /** Text that anybody may have written. */
  text(text: string, otherwise: Escape): void {
    const { bytes } = this
    const { length } = text
    let { at } = this
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (PLAIN[code] === 1) {
        if (at < bytes.length) bytes[at] = code
        at++
      } else {
        this.at = at
        this.raw(otherwise(text[i]!))
        at = this.at
      }
    }
    this.at = at
  }

  /** A number, in decimal. */
  number(value: number): void {
    // Most are a status, some milliseconds, or the size of something small.
    if (value !== (value | 0) || value < 0) return this.raw(String(value))
    let digits = 1
    for (let limit = 10; value >= limit; limit *= 10) digits++
    const { bytes, at } = this
    this.at = at + digits
    if (this.at > bytes.length) return
    let rest = value
    for (let i = this.at - 1; i >= at; i--) {
      const tenth = (rest / 10) | 0
      bytes[i] = 48 + rest - tenth * 10
      rest = tenth
    }
  }
}

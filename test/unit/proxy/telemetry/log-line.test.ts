import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LogLine } from '../../../../proxy-image/src/telemetry/log-line.ts'

describe('a line of a log', () => {
  const written = (write: (line: LogLine) => void): string => {
    const bytes = Buffer.alloc(64)
    const line = new LogLine(bytes)
    write(line)
    return bytes.toString('latin1', 0, line.at)
  }

  it('has numbers in decimal', () => {
    const numbers = [
      0,
      9,
      10,
      99,
      100,
      65_535,
      999_999_999,
      1_000_000_000,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 53,
      -1,
      -0.5,
      1.5,
    ]
    for (const number of numbers) expect(written((line) => line.number(number))).toBe(String(number))
    fc.assert(fc.property(fc.nat(), (number) => written((line) => line.number(number)) === String(number)))
  })

  it('says when it does not fit, and writes nothing outside of its place', () => {
    const quoted = () => '\\x22'
    const anything = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('"', 'a') }), fc.nat())
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 8 }), fc.nat(40), (parts, room) => {
        const memory = Buffer.alloc(64, '#')
        const line = new LogLine(memory.subarray(8, 8 + room))
        let expected = ''
        for (const part of parts) {
          if (typeof part === 'number') line.number(part)
          else line.text(part, quoted)
          expected += String(part).replace(/[^ !#-[\]-~]/g, quoted)
        }
        expect(line.overflowed).toBe(expected.length > room)
        if (!line.overflowed) expect(memory.toString('latin1', 8, 8 + line.at)).toBe(expected)
        expect(memory.toString('latin1', 0, 8) + memory.toString('latin1', 8 + room)).toMatch(/^#+$/)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChunkedDecoder } from '../../../../proxy-image/src/codec/http1/chunked.ts'

/** Feeds bytes cut at the given places; says what came out and where the decoder stopped. */
function decode(bytes: string, cuts: readonly number[] = []) {
  const decoder = new ChunkedDecoder()
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  let body = ''
  let at = 0
  for (const end of [...places, bytes.length]) {
    if (decoder.done || decoder.fault !== null) break
    const packet = Buffer.from(bytes.slice(at, end), 'latin1')
    at += decoder.feed(packet, 0, packet.length, (chunk, from, to) => {
      expect(to).toBeGreaterThan(from)
      body += chunk.toString('latin1', from, to)
    })
  }
  return { body, stoppedAt: at, done: decoder.done, fault: decoder.fault, trailers: decoder.trailers?.lines() ?? '' }
}

describe('chunked framing', () => {
  it('gives the same body and stops at the same byte wherever packets are cut', () => {
    const piece = fc.string({ minLength: 1, maxLength: 40, unit: fc.nat(255).map((c) => String.fromCharCode(c)) })
    fc.assert(
      fc.property(fc.array(piece), fc.array(fc.nat(2000)), fc.boolean(), fc.string(), (pieces, cuts, upper, next) => {
        const sizes = pieces.map(({ length }) => (upper ? length.toString(16).toUpperCase() : length.toString(16)))
        const text = `${pieces.map((one, i) => `${sizes[i]}\r\n${one}\r\n`).join('')}0\r\nX-Sum: 1\r\n\r\n`
        const { body, stoppedAt, done, fault, trailers } = decode(text + next, cuts)
        expect({ body, stoppedAt, done, fault, trailers }).toEqual({
          body: pieces.join(''),
          stoppedAt: text.length,
          done: true,
          fault: null,
          trailers: 'X-Sum: 1\r\n',
        })
      }),
    )
  })
  it('never takes a body that lacks its end for a whole one', () => {
    const whole = '3;a=b\r\nabc\r\n00\r\nX: 1\r\n\r\n'
    for (let end = 0; end < whole.length; end++) expect(decode(whole.slice(0, end)).done).toBe(false)
    expect(decode(whole).done).toBe(true)
  })
  it('drops fields from trailers that frame or route a message', () => {
    const trailers = 'Content-Length: 3\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\nHost: b\r\nTE: x\r\n'
    expect(decode(`0\r\n${trailers}\r\n`).trailers).toBe('X-Kept: 1\r\n')
  })
  it('bounds trailers by size, wherever packets are cut: nothing may be skipped unread', () => {
    for (const size of [61_000, 61_430, 61_435, 61_440, 70_000]) {
      const text = `0\r\nX: ${'a'.repeat(size)}\r\n\r\n`
      const result = decode(text, [text.length - 1])
      expect(result.fault !== null || (result.done && result.trailers.length === size + 5), String(size)).toBe(true)
    }
    expect(decode(`0\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, [65_536]).fault).toBe('trailers too long')
  })
  it('bounds the extensions of a chunk, not those of a long stream of chunks', () => {
    const stream = `${'1;signature=0123456789abcdef\r\nx\r\n'.repeat(5_000)}0;last\r\n\r\n`
    expect(decode(stream)).toMatchObject({ done: true, fault: null, body: 'x'.repeat(5_000) })
    expect(decode(`1;${'a'.repeat(257)}\r\nx\r\n0\r\n\r\n`).fault).toBe('chunk extensions too long')
  })
  it('bounds sizes to what a number holds exactly', () => {
    expect(decode('fffffffffffff\r\n').fault).toBeNull()
    expect(decode('10000000000000\r\n').fault).toBe('chunk size too large')
  })
})

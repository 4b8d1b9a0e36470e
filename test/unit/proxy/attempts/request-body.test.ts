import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RequestBody } from '../../../../proxy-image/src/attempts/request-body.ts'
import type { UpstreamStream } from '../../../../proxy-image/src/codec/stream.ts'

/** What an attempt gets of a body: its bytes, and in how many pieces. */
function receive(body: RequestBody): { text: string; pieces: number } {
  const chunks: string[] = []
  const write = (chunk: Buffer, start: number, end: number) => chunks.push(chunk.toString('latin1', start, end))
  body.attach({ write, end: () => {} } as unknown as UpstreamStream)
  return { text: chunks.join(''), pieces: chunks.length }
}

describe('a request body that is kept', () => {
  it('is told again as it came, however it was cut', () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(4095, 4096, 5000)), {
      maxLength: 60,
    })
    fc.assert(
      fc.property(sizes, (lengths) => {
        const body = new RequestBody()
        let whole = ''
        for (const [index, length] of lengths.entries()) {
          const text = String.fromCharCode(97 + (index % 26)).repeat(length)
          whole += text
          body.push(Buffer.from(`..${text}..`), 2, 2 + length)
        }
        expect(receive(body).text).toBe(whole)
      }),
    )
  })

  it('that comes byte by byte costs no object for each', () => {
    const body = new RequestBody()
    for (let i = 0; i < 60_000; i++) body.push(Buffer.from('x'), 0, 1)
    const { text, pieces } = receive(body)
    expect(text.length).toBe(60_000)
    expect(pieces).toBeLessThan(30)
  })
})

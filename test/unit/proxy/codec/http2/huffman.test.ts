import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeHuffman } from '../../../../../proxy-image/src/codec/http2/huffman.ts'
import { HUFFMAN_CODES } from '../../../../../proxy-image/src/codec/http2/huffman-table.ts'
import { cursor, readInteger, writeInteger } from '../../../../../proxy-image/src/codec/http2/integers.ts'

/** Huffman code of some bytes, bit by bit; `padding` are the bits at its end. */
function encode(bytes: Uint8Array, padding = '1'): Buffer {
  let bits = ''
  for (const byte of bytes) {
    const [code, length] = HUFFMAN_CODES[byte]!
    bits += code.toString(2).padStart(length, '0')
  }
  while (bits.length % 8 !== 0) bits += padding
  return Buffer.from(bits.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? [])
}

describe('Huffman decoding', () => {
  it('gives back every string of bytes', () => {
    const to = Buffer.alloc(4_096)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const code = encode(bytes)
        const length = decodeHuffman(code, 0, code.length, to)
        expect(Buffer.from(to.subarray(0, length)).equals(bytes)).toBe(true)
      }),
    )
  })
  it('refuses padding that is not all ones', () => {
    const code = encode(Buffer.from('a'), '0')
    expect(decodeHuffman(code, 0, code.length, Buffer.alloc(16))).toBe(-1)
  })
  it('refuses what would not fit', () => {
    expect(decodeHuffman(Buffer.alloc(16), 0, 16, Buffer.alloc(31))).toBe(-1)
  })
})

describe('integers', () => {
  it('are read as they were written, whatever the prefix', () => {
    const to = Buffer.alloc(16)
    fc.assert(
      fc.property(fc.nat(2 ** 28), fc.constantFrom(15, 31, 63, 127), (value, mask) => {
        const end = writeInteger(to, 0, 0, mask, value)
        expect([readInteger(to, 0, end, mask), cursor.at]).toEqual([value, end])
        // RFC 7541, section 5.1: a part of one is none.
        for (let cut = 0; cut < end; cut++) expect(readInteger(to, 0, cut, mask)).toBe(-1)
      }),
    )
  })
  it('are those of RFC 7541, Appendix C.1', () => {
    const to = Buffer.alloc(4)
    expect([...to.subarray(0, writeInteger(to, 0, 0, 31, 10))]).toEqual([10])
    expect([...to.subarray(0, writeInteger(to, 0, 0, 31, 1_337))]).toEqual([31, 154, 10])
    expect([...to.subarray(0, writeInteger(to, 0, 0, 255, 42))]).toEqual([42])
  })
})

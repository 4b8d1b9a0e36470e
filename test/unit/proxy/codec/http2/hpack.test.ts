import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Field, fieldName } from '../../../../../proxy-image/src/codec/http2/field.ts'
import { fieldOf } from '../../../../../proxy-image/src/codec/http2/field-cache.ts'
import { HpackDecoder, MAX_SECTION_BYTES } from '../../../../../proxy-image/src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../../proxy-image/src/codec/http2/hpack-encoder.ts'
import { writeInteger } from '../../../../../proxy-image/src/codec/http2/integers.ts'

const NAMES = [
  ':path',
  'cookie',
  'x-a',
  'x-b',
  'accept',
  'authorization',
  'set-cookie',
  'date',
  'x-long-name-of-a-field',
]
const latin1 = fc.string({ maxLength: 60, unit: fc.nat(255).map((code) => String.fromCharCode(code)) })
const pair = fc.tuple(fc.constantFrom(...NAMES), fc.oneof(latin1, fc.constantFrom('a', 'b', 'x'.repeat(1_500))))

function texts(fields: readonly Field[]): string[][] {
  return fields.map(({ name, value }) => [name.text, value])
}

function decodeHex(hex: string, decoder = new HpackDecoder()): boolean {
  const block = Buffer.from(hex, 'hex')
  return decoder.decode(block, 0, block.length)
}

describe('HPACK encoder and decoder', () => {
  it('agree on every list of fields, however often the table changes its size', () => {
    const section = fc.record({
      fields: fc.array(pair, { maxLength: 30 }),
      resize: fc.array(fc.nat(5_000), { maxLength: 3 }),
    })
    const block = Buffer.alloc(128 * 1024)
    fc.assert(
      fc.property(fc.array(section, { minLength: 1, maxLength: 12 }), (sections) => {
        const encoder = new HpackEncoder()
        const decoder = new HpackDecoder()
        for (const { fields, resize } of sections) {
          for (const octets of resize) encoder.limitTable(octets)
          let at = encoder.begin(block, 0)
          for (const [name, value] of fields) at = encoder.encode(fieldOf(fieldName(name), value), block, at)
          // Behind it nothing may be read.
          block.fill(0xff, at, at + 8)
          expect(decoder.decode(block, 0, at)).toBe(true)
          expect(texts(decoder.fields)).toEqual(fields)
        }
      }),
    )
  })
  it('carries what one decoder read through an encoder to the next one', () => {
    const block = Buffer.alloc(128 * 1024)
    fc.assert(
      fc.property(fc.array(fc.array(pair, { maxLength: 20 }), { maxLength: 8 }), (sections) => {
        const encoders = [new HpackEncoder(), new HpackEncoder()] as const
        const decoders = [new HpackDecoder(), new HpackDecoder()] as const
        for (const fields of sections) {
          let at = encoders[0].begin(block, 0)
          for (const [name, value] of fields) at = encoders[0].encode(fieldOf(fieldName(name), value), block, at)
          decoders[0].decode(block, 0, at)
          at = encoders[1].begin(block, 0)
          for (const field of [...decoders[0].fields]) at = encoders[1].encode(field, block, at)
          expect(decoders[1].decode(block, 0, at)).toBe(true)
          expect(texts(decoders[1].fields)).toEqual(fields)
        }
      }),
    )
  })
  it('never indexes secrets, nor what its sender wants never indexed', () => {
    const encoder = new HpackEncoder()
    const block = Buffer.alloc(1_024)
    const never = new Field(fieldName('x-token'), 'hidden', true)
    const written: number[] = []
    for (let i = 0; i < 4; i++) {
      const at = encoder.encode(never, block, 0)
      written.push(block[0]! & 0xf0, at)
      encoder.encode(fieldOf(fieldName('authorization'), 'Bearer abc'), block, 0)
      written.push(block[0]! & 0xf0)
    }
    expect(new Set(written.filter((_, i) => i % 3 !== 1))).toEqual(new Set([0x10]))
  })
  it('makes a field that comes again and again one octet', () => {
    const encoder = new HpackEncoder()
    const block = Buffer.alloc(1_024)
    const sizes = [1, 2, 3, 4, 5].map(() => encoder.encode(fieldOf(fieldName('x-again'), 'and again'), block, 0))
    expect(sizes.at(-1)).toBe(1)
  })
})

describe('HPACK decoder', () => {
  it('refuses what is broken', () => {
    const broken = {
      'index 0': '80',
      'an index over the tables': 'be',
      'a name index over the tables': '7f00',
      'a size over the settings': '3fe21f',
      'a size update behind a field': '8220',
      'an integer without end': '7fffffffffffffff',
      'a length over the block': '400a6162',
      'a Huffman string with a whole octet of padding': '0082ffff00',
      'a Huffman string with EOS in it': '0084ffffffff00',
      'a block that ends before the value': '4001',
    }
    for (const [what, hex] of Object.entries(broken))
      expect({ what, taken: decodeHex(hex) }).toEqual({ what, taken: false })
  })
  it('empties its table for an entry that is larger than it', () => {
    const decoder = new HpackDecoder()
    expect(decodeHex(`4001610162${'be'}`, decoder)).toBe(true)
    const large = Buffer.concat([Buffer.from('400161', 'hex'), literal('x'.repeat(4_096))])
    expect(decoder.decode(large, 0, large.length)).toBe(true)
    expect(decodeHex('be', decoder)).toBe(false)
  })
  it('evicts the oldest entries when its table shrinks', () => {
    const decoder = new HpackDecoder()
    expect(decodeHex('400161016240016301644001650166', decoder)).toBe(true)
    // 34 octets each: two of them fit.
    expect(decodeHex('3f26bebf', decoder)).toBe(true)
    expect(texts(decoder.fields)).toEqual([
      ['e', 'f'],
      ['c', 'd'],
    ])
    expect(decodeHex('c0', decoder)).toBe(false)
  })
  it('keeps no more of a bomb than the limit of a section', () => {
    const decoder = new HpackDecoder()
    const value = literal('x'.repeat(3_900))
    const bomb = Buffer.concat([Buffer.from('400161', 'hex'), value, Buffer.alloc(60_000, 0xbe)])
    const before = process.memoryUsage().heapUsed
    expect(decoder.decode(bomb, 0, bomb.length)).toBe(true)
    expect(decoder.oversized).toBe(true)
    expect(decoder.fields.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(MAX_SECTION_BYTES)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * MAX_SECTION_BYTES)
  })
})

function literal(text: string): Buffer {
  const head = Buffer.alloc(6)
  return Buffer.concat([head.subarray(0, writeInteger(head, 0, 0, 127, text.length)), Buffer.from(text, 'latin1')])
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameReader } from '../../../../../proxy-image/src/codec/http2/frame-reader.ts'
import { DATA, FRAME_BYTES, HEADERS } from '../../../../../proxy-image/src/codec/http2/frames.ts'

interface Frame {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: string
}

function bytesOf({ type, flags, id, payload }: Frame): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, Buffer.from(payload, 'latin1')])
}

function collector() {
  const read: Frame[] = []
  const sink = {
    closed: false,
    onFrame(type: number, flags: number, id: number, from: Buffer, start: number, end: number): void {
      read.push({ type, flags, id, payload: from.toString('latin1', start, end) })
    },
  }
  return { read, sink, reader: new FrameReader(sink) }
}

describe('frame reader', () => {
  it('reads the same frames wherever packets are cut', () => {
    const frame = fc.record({
      type: fc.nat(255),
      flags: fc.nat(255),
      id: fc.nat(0x7fff_ffff),
      payload: fc.oneof(fc.string({ unit: 'binary-ascii', maxLength: 40 }), fc.constant('x'.repeat(FRAME_BYTES))),
    })
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(60_000)), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(bytesOf))
        const { read, reader } = collector()
        const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
        let at = 0
        for (const end of [...places, bytes.length]) {
          // Every read comes in a buffer that is written over later, and not at its beginning.
          const chunk = Buffer.concat([Buffer.from('??'), bytes.subarray(at, end)])
          reader.feed(chunk, 2, chunk.length)
          chunk.fill(0xee)
          at = end
        }
        expect(read).toEqual(frames)
        expect(reader.incomplete).toBe(false)
      }),
    )
  })
  it('reads frames that come octet by octet', () => {
    const frames = [
      { type: HEADERS, flags: 4, id: 1, payload: 'abc' },
      { type: DATA, flags: 1, id: 1, payload: '' },
    ]
    const { read, reader } = collector()
    for (const octet of Buffer.concat(frames.map(bytesOf))) reader.feed(Buffer.from([octet]), 0, 1)
    expect(read).toEqual(frames)
  })
  it('refuses a frame by its head when it is too large', () => {
    const { reader } = collector()
    const head = bytesOf({ type: DATA, flags: 0, id: 1, payload: 'x'.repeat(FRAME_BYTES + 1) }).subarray(0, 9)
    expect(() => reader.feed(head, 0, 9)).toThrow('16385')
  })
  it('waits impatiently for a head, but not for a body', () => {
    for (const [type, impatient] of [
      [DATA, false],
      [HEADERS, true],
    ] as const) {
      const { reader } = collector()
      reader.feed(bytesOf({ type, flags: 0, id: 1, payload: 'abc' }).subarray(0, 10), 0, 10)
      expect(reader.incomplete).toBe(impatient)
    }
  })
  it('reads nothing more once its connection is closed', () => {
    const { read, sink, reader } = collector()
    sink.closed = true
    const bytes = bytesOf({ type: DATA, flags: 0, id: 1, payload: 'x' })
    reader.feed(bytes, 0, bytes.length)
    expect(read).toEqual([])
  })
})

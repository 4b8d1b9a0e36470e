import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameReader } from '../../../../../proxy-image/src/codec/http2/frame-reader.ts'
import { DATA, END_STREAM, FRAME_BYTES, HEADERS, PADDED } from '../../../../../proxy-image/src/codec/http2/frames.ts'

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

/** Frames of one body put together: where they were cut says nothing. */
function withoutCuts(frames: readonly Frame[]): Frame[] {
  const whole: Frame[] = []
  for (const frame of frames) {
    const last = whole.at(-1)
    const goesOn = last?.type === DATA && frame.type === DATA && last.id === frame.id
    if (!goesOn || ((last.flags | frame.flags) & PADDED) !== 0 || (last.flags & END_STREAM) !== 0) whole.push(frame)
    else whole[whole.length - 1] = { ...frame, payload: last.payload + frame.payload }
  }
  return whole
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
        expect(withoutCuts(read)).toEqual(withoutCuts(frames))
        expect(reader.incomplete).toBe(false)
      }),
    )
  })
  it('hands a body on as it comes, its end with its last part', () => {
    const { read, reader } = collector()
    const bytes = bytesOf({ type: DATA, flags: END_STREAM, id: 1, payload: 'abcdef' })
    reader.feed(bytes, 0, 9)
    expect(read).toEqual([])
    reader.feed(bytes, 9, 12)
    expect(read).toEqual([{ type: DATA, flags: 0, id: 1, payload: 'abc' }])
    reader.feed(bytes, 12, 15)
    expect(read.at(-1)).toEqual({ type: DATA, flags: END_STREAM, id: 1, payload: 'def' })
  })

  it('keeps a padded body until it is complete: only its end says what of it is padding', () => {
    const { read, reader } = collector()
    const padded = { type: DATA, flags: PADDED, id: 1, payload: '\x02abcd' }
    const bytes = bytesOf(padded)
    reader.feed(bytes, 0, 12)
    expect(read).toEqual([])
    reader.feed(bytes, 12, bytes.length)
    expect(read).toEqual([padded])
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

import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { ClientHelloReader, type Hello } from '../../../../proxy-image/src/tls/client-hello.ts'
import { inRecords, nodeHello, opensslHello } from '../../../support/hellos.ts'

/** What the reader says, at the earliest, of bytes that come in these pieces. */
function read(...pieces: readonly Buffer[]): Hello | null {
  const reader = new ClientHelloReader()
  for (const piece of pieces) {
    const hello = reader.push(piece)
    if (hello !== null) return hello
  }
  return null
}

const inPieces = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

const named = (serverName: string | null): Hello => ({ kind: 'tls', serverName })

const hellos = new Map<string, { bytes: Buffer; name: string | null }>()
beforeAll(async () => {
  const of = { servername: 'db.example.com' }
  const all: [string, string | null, Promise<Buffer>][] = [
    ['node', 'db.example.com', nodeHello(of)],
    ['node with TLS 1.2', 'db.example.com', nodeHello({ ...of, maxVersion: 'TLSv1.2' })],
    ['node without a name', null, nodeHello({})],
    ['node with many protocols', 'db.example.com', nodeHello({ ...of, ALPNProtocols: ['h2', 'http/1.1', 'weft-tcp'] })],
    ['node with a post-quantum key share', 'db.example.com', nodeHello({ ...of, ecdhCurve: 'X25519MLKEM768' })],
    ['openssl', 'db.example.com', opensslHello('-servername', 'DB.example.com')],
    ['openssl with TLS 1.2', 'db.example.com', opensslHello('-servername', 'db.example.com', '-tls1_2')],
    ['openssl without a name', null, opensslHello('-noservername')],
  ]
  for (const [client, name, bytes] of all) hellos.set(client, { bytes: await bytes, name })
})
const hello = (client = 'node'): Buffer => hellos.get(client)!.bytes

describe('the ClientHello of a real client', () => {
  it('says the name that it asks for, in lower case, or that it asks for none', () => {
    for (const [client, { bytes, name }] of hellos) expect([client, read(bytes)]).toEqual([client, named(name)])
  })

  it('is read in whatever pieces it comes, byte by byte too, and not before it is whole', () => {
    for (const { bytes, name } of hellos.values()) {
      for (const size of [1, 2, 3, 100, 1448]) expect(read(...inPieces(bytes, size))).toEqual(named(name))
      expect(read(...inPieces(bytes.subarray(0, -1), 7))).toBe(null)
    }
  })

  it('is read over several records of TLS', () => {
    for (const { bytes, name } of hellos.values()) {
      for (const size of [1, 3, 5, 200, 1000]) {
        const records = inRecords(bytes, size)
        expect(read(records)).toEqual(named(name))
        expect(read(...inPieces(records, 1))).toEqual(named(name))
      }
    }
  })

  it('needs two packets with a post-quantum key share', () => {
    expect(hello('node with a post-quantum key share').length).toBeGreaterThan(1448)
  })

  it('may have early data behind it, and all bytes are kept as they came', () => {
    const early = Buffer.concat([hello(), Buffer.from([23, 3, 3, 0, 2, 7, 7]), Buffer.alloc(40_000, 1)])
    for (const size of [11, 1448, early.length]) {
      const reader = new ClientHelloReader()
      const pieces = inPieces(early, size)
      let took = 0
      for (const piece of pieces) {
        took += piece.length
        const verdict = reader.push(piece)
        if (verdict === null) continue
        expect(verdict).toEqual(named('db.example.com'))
        break
      }
      expect(reader.bytes.equals(early.subarray(0, took))).toBe(true)
    }
  })
})

describe('what is no ClientHello', () => {
  it('is plain by its first bytes', () => {
    for (const text of [
      'GET / HTTP/1.1\r\n',
      'SSH-2.0-x\r\n',
      '\x16\x01',
      '\x80\x2e\x01',
      '\0\0\0\x08\x04\xd2\x16\x2f',
    ]) {
      expect(read(Buffer.from(text, 'latin1'))).toEqual({ kind: 'plain' })
    }
    expect(read(Buffer.from([22]))).toBe(null)
    expect(read(Buffer.from([22]), Buffer.from([3, 1]))).toBe(null)
  })

  it('is malformed where its lengths, its version or its order are wrong', () => {
    const cases: Record<string, (bytes: Buffer) => Buffer | number> = {
      'no ClientHello': (bytes) => bytes.writeUInt8(2, 5),
      'no valid length': (bytes) => bytes.writeUInt16BE(0, 3),
      'version is none': (bytes) => bytes.writeUInt8(2, 9),
      'session id is too long': (bytes) => bytes.writeUInt8(33, 43),
      'another record': (bytes) =>
        Buffer.concat([inRecords(bytes, 20).subarray(0, 25), Buffer.from([21, 3, 1, 0, 2, 1, 0])]),
    }
    for (const [why, spoil] of Object.entries(cases)) {
      const bytes = Buffer.from(hello())
      const spoiled = spoil(bytes)
      const result = read(Buffer.isBuffer(spoiled) ? spoiled : bytes)
      expect(result).toMatchObject({ kind: 'malformed', why: expect.stringContaining(why) })
    }
  })

  it('is malformed where it names two hosts, has the extension twice, or a name that is none', () => {
    expect(read(helloWith(nameExtension(['a.b'])))).toEqual(named('a.b'))
    expect(read(helloWith(nameExtension(['a.b', 'c.d'])))).toMatchObject({ why: 'there are two host names' })
    expect(read(helloWith(nameExtension(['a.b']), nameExtension(['a.b'])))).toMatchObject({
      why: 'extension 0 is there twice',
    })
    for (const name of ['', 'a b', 'a\0.b', 'a\n', 'é.example', 'x'.repeat(256)]) {
      expect(read(helloWith(nameExtension([name])))).toMatchObject({ why: 'the server name is no host name' })
    }
    expect(read(helloWith(Buffer.from([0, 0, 0, 0])))).toMatchObject({ kind: 'malformed' })
    expect(read(helloWith(Buffer.from([0, 0, 0, 2, 0, 0])))).toMatchObject({ kind: 'malformed' })
  })

  it('knows a ClientHello without extensions, and names of types to come', () => {
    expect(read(helloOf(Buffer.alloc(0)))).toEqual(named(null))
    const other = Buffer.concat([Buffer.from([9, 0, 2, 1, 1])])
    const list = Buffer.concat([Buffer.from([0, other.length]), other])
    expect(read(helloWith(Buffer.concat([Buffer.from([0, 0, 0, list.length]), list])))).toEqual(named(null))
  })

  it('is too large beyond 16 KiB, be it by its own words or by its records', () => {
    const bytes = Buffer.from(hello())
    bytes.writeUIntBE(20_000, 6, 3)
    expect(read(bytes)).toEqual({ kind: 'too-large' })
    const large = helloWith(extension(21, Buffer.alloc(16_000)))
    expect(read(...inPieces(large, 1000))).toEqual(named(null))
    expect(read(...inPieces(inRecords(large, 1), 1000))).toEqual({ kind: 'too-large' })
    expect(read(inRecords(large, 1))).toEqual({ kind: 'too-large' })
    expect(read(helloWith(extension(21, Buffer.alloc(16_384))))).toEqual({ kind: 'too-large' })
  })
})

describe('any bytes at all', () => {
  it('get the same verdict in whatever pieces they come, and never an error', () => {
    const real = fc.constantFrom(...[...hellos.values()].map(({ bytes }) => bytes))
    const spoiled = fc
      .tuple(
        real,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 1, max: 400 }),
      )
      .map(([bytes, changes, cut, size]) => {
        const copy = Buffer.from(cut % 3 === 0 ? inRecords(bytes, size) : bytes)
        for (const [at, value] of changes) copy[at % Math.min(copy.length, 120)] = value
        return copy.subarray(0, cut % 5 === 0 ? cut % copy.length : copy.length)
      })
    const any = fc.oneof(
      spoiled,
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(any, fc.integer({ min: 1, max: 600 }), (bytes, size) => {
        const whole = read(bytes)
        expect(read(...inPieces(bytes, size))).toEqual(whole)
        if (whole?.kind === 'tls' && whole.serverName !== null) expect(whole.serverName).toMatch(/^[a-z0-9._-]{1,255}$/)
      }),
      { numRuns: 3_000 },
    )
  })
})

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255, content.length >> 8, content.length & 255]), content])
}

function nameExtension(names: readonly string[]): Buffer {
  const list = Buffer.concat(
    names.map((name) => {
      const bytes = Buffer.from(name, 'latin1')
      return Buffer.concat([Buffer.from([0, bytes.length >> 8, bytes.length & 255]), bytes])
    }),
  )
  return extension(0, Buffer.concat([Buffer.from([list.length >> 8, list.length & 255]), list]))
}

function helloWith(...extensions: readonly Buffer[]): Buffer {
  const all = Buffer.concat(extensions)
  return helloOf(Buffer.concat([Buffer.from([all.length >> 8, all.length & 255]), all]))
}

/** A ClientHello in as few records as it takes, with this behind the compression methods. */
function helloOf(tail: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 7), Buffer.from([0, 0, 2, 0x13, 1, 1, 0]), tail])
  const message = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 255]), body])
  return inRecords(Buffer.concat([Buffer.alloc(5), message]), 16_384)
}

import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MAX_SECTION_BYTES } from '../../proxy-image/src/codec/http2/hpack-decoder.ts'
import { freePort } from '../support/free-port.ts'
import {
  block,
  CONTINUATION,
  connectFrames,
  DATA,
  END_HEADERS,
  END_STREAM,
  type FrameClient,
  frame,
  HEADERS,
  literal,
  PING,
  PRIORITY,
  RST_STREAM,
  requestBlock,
  requestHead,
  settings,
  uint32,
  WINDOW_UPDATE,
} from '../support/http2-frames.ts'
import { openHttp2, requestHttp2 } from '../support/http2-peers.ts'
import { type RawUpstream, startUpstream, type UpstreamConnection } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

const FLOW_CONTROL_ERROR = 3
/** RFC 9113, section 7. */
const CODES = { enhance_your_calm: 11, flow_control_error: FLOW_CONTROL_ERROR } as const
/** What an attack may cost at most, as a multiple of the header limit and of a normal client's work. */
const FACTOR = 100
/** Work of a normal client that attacks are compared with: so many requests. */
const NORMAL_REQUESTS = 200
const CHUNK_FRAMES = 500
/** Chunks between two looks at the memory. */
const LOOK_EVERY = 5

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

let app: RawUpstream
let proxy: RunningServing
let port = 0
let normalCpuMs = 0
/** What was broken off before the test began. */
let before = { all: 0, enhance_your_calm: 0, flow_control_error: 0 }
const clients: FrameClient[] = []

beforeAll(async () => {
  app = await startUpstream({
    onRequest: (seen, c) => {
      if (seen.target === '/large') answerSlowly(c)
      else if (seen.target === '/padded') c.send(`HTTP/1.1 200 OK\r\nX-Pad: ${'x'.repeat(16_000)}\r\n\r\n`)
      else c.answer(200, 'ok')
    },
  })
  port = await freePort()
  proxy = await startServing(oneWay(port, app.port))
  const session = await openHttp2(port)
  const begun = process.cpuUsage()
  for (let i = 0; i < NORMAL_REQUESTS; i++) await requestHttp2(session, { ':path': '/x', ':authority': 'web.test' })
  normalCpuMs = cpuMs(begun)
  session.destroy()
})
beforeEach(() => {
  before = brokenOff()
})
afterAll(async () => {
  await proxy.close()
  app.close()
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  // Whatever happened: others are served as before.
  const session = await openHttp2(port)
  expect(await requestHttp2(session, { ':path': '/x', ':authority': 'web.test' })).toMatchObject({ status: 200 })
  session.destroy()
})

/** 4 MiB, no more of which is made than its reader takes. */
function answerSlowly({ socket }: UpstreamConnection): void {
  const piece = Buffer.alloc(16 * 1024)
  let left = 256
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${left * piece.length}\r\n\r\n`)
  const more = (): void => {
    while (left-- > 0) if (!socket.write(piece)) return void socket.once('drain', more)
  }
  more()
}

function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1_000
}

/** What is really held: garbage, the attacker's above all, is not. */
function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function attacker(own?: Buffer): Promise<FrameClient> {
  const client = await connectFrames(port, own)
  clients.push(client)
  client.raw.socket.on('error', () => {})
  await client.next(4)
  return client
}

/** Connections that were broken off, as the operator sees them. */
function brokenOff(): typeof before {
  const count = (reason: object): number => proxy.count('weft_downstream_connections_broken_total', { ...reason })
  const [calm, window] = ['enhance_your_calm', 'flow_control_error']
  return { all: count({}), enhance_your_calm: count({ reason: calm }), flow_control_error: count({ reason: window }) }
}

/** The client was told the code, and the operator sees one more connection that was broken off for it. */
async function expectCut(client: FrameClient, reason: keyof typeof CODES): Promise<void> {
  expect(await client.goaway()).toBe(CODES[reason])
  expect(brokenOff()).toEqual({ ...before, all: before.all + 1, [reason]: before[reason] + 1 })
}

/**
 * Sends frames until the connection is cut, and measures what that costs this process (which holds the attacker, too).
 * Fails when nobody cuts it, or when it costs more than the bound.
 */
async function flood(
  client: FrameClient,
  make: (i: number) => Buffer | readonly Buffer[],
  most = 200_000,
): Promise<number> {
  const { socket } = client.raw
  const begun = process.cpuUsage()
  const before = heldBytes()
  let peak = before
  let sent = 0
  while (sent < most && client.raw.ending === 'open') {
    const frames = Array.from({ length: CHUNK_FRAMES }, () => make(sent++)).flat()
    if (!socket.writable) break
    if (!socket.write(Buffer.concat(frames))) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
    else await new Promise((resolve) => setImmediate(resolve))
    if ((sent / CHUNK_FRAMES) % LOOK_EVERY === 0) peak = Math.max(peak, heldBytes())
  }
  await client.raw.ended(8_000)
  expect(sent).toBeLessThan(most)
  expect(cpuMs(begun)).toBeLessThan(FACTOR * normalCpuMs)
  expect(peak - before).toBeLessThan(FACTOR * MAX_SECTION_BYTES)
  return sent
}

describe('floods of frames without use end the connection', () => {
  it('CVE-2019-9512: PING', async () => {
    const client = await attacker()
    await flood(client, () => frame(PING, 0, 0, '12345678'))
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9515: SETTINGS', async () => {
    const client = await attacker()
    await flood(client, () => settings())
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9515: a frame of a thousand SETTINGS, each of which would visit every stream', async () => {
    const client = await attacker()
    client.send(settings(...Array.from({ length: 1_000 }, (_, i) => [4, i + 1]).flat()))
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9513: PRIORITY', async () => {
    const client = await attacker()
    await flood(client, (i) => frame(PRIORITY, 0, 1, Buffer.concat([uint32((i % 50) * 2 + 3), Buffer.from([9])])))
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9518: empty DATA', async () => {
    const client = await attacker()
    client.send(requestHead(1, 0, 'POST'))
    await flood(client, () => frame(DATA, 0, 1))
    await expectCut(client, 'enhance_your_calm')
  })
  it('WINDOW_UPDATE without DATA', async () => {
    const client = await attacker()
    await flood(client, () => frame(WINDOW_UPDATE, 0, 0, uint32(1)))
    await expectCut(client, 'enhance_your_calm')
  })
  it('unknown frames', async () => {
    const client = await attacker()
    await flood(client, () => frame(0x77, 0, 0, 'x'))
    await expectCut(client, 'enhance_your_calm')
  })
})

describe('windows are no weapon', () => {
  it('CVE-2019-9511: a window that grows octet by octet gets DATA octet by octet, for a while', async () => {
    // No window at all in the beginning.
    const client = await attacker(settings(4, 0))
    client.send(
      frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        Buffer.concat([
          block([':method', 'GET'], [':scheme', 'http'], [':path', '/large'], [':authority', 'web.test']),
        ]),
      ),
    )
    await client.next(HEADERS, 1)
    await flood(client, () => frame(WINDOW_UPDATE, 0, 1, uint32(1)))
    await expectCut(client, 'enhance_your_calm')
  })
  it('a window over 2^31-1 resets its stream, that of a connection ends it', async () => {
    const client = await attacker()
    client.send(requestHead(1, 0, 'POST'), frame(WINDOW_UPDATE, 0, 1, uint32(0x7fff_ffff)))
    expect((await client.next(RST_STREAM, 1)).payload.readUInt32BE()).toBe(FLOW_CONTROL_ERROR)
    client.send(frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff_ffff)))
    await expectCut(client, 'flow_control_error')
  })
})

describe('streams that are given up end the connection when nothing else comes', () => {
  it('CVE-2023-44487: rapid reset', async () => {
    const client = await attacker()
    const before = app.requests.length
    await flood(client, (i) => [requestHead(i * 2 + 1, END_STREAM), frame(RST_STREAM, 0, i * 2 + 1, uint32(8))])
    await expectCut(client, 'enhance_your_calm')
    expect(app.requests.length - before).toBeLessThan(1_000)
  })
  it('CVE-2025-8671: made you reset', async () => {
    const client = await attacker()
    await flood(client, (i) => [requestHead(i * 2 + 1, END_STREAM), frame(WINDOW_UPDATE, 0, i * 2 + 1, uint32(0))])
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9514: malformed requests that must be reset', async () => {
    const client = await attacker()
    await flood(client, (i) => frame(HEADERS, END_HEADERS | END_STREAM, i * 2 + 1, block(['X', 'y'])))
    await expectCut(client, 'enhance_your_calm')
  })
  it('more streams than are allowed', async () => {
    const client = await attacker()
    await flood(client, (i) => requestHead(i * 2 + 1, 0, 'POST'))
    await expectCut(client, 'enhance_your_calm')
  })
})

describe('field sections are bounded', () => {
  it('CVE-2024-27316: CONTINUATION without end', async () => {
    const client = await attacker()
    client.send(frame(HEADERS, END_STREAM, 1, requestBlock()))
    await flood(client, () => frame(CONTINUATION, 0, 1, block(['x-a', 'y'.repeat(100)])))
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2019-9516: fields without names', async () => {
    const client = await attacker()
    const empty = Buffer.concat(Array.from({ length: 1_000 }, () => block(['', ''])))
    await flood(client, (i) => frame(HEADERS, END_HEADERS | END_STREAM, i * 2 + 1, empty), 5_000)
    await expectCut(client, 'enhance_your_calm')
  })
  it('CVE-2016-6581: an HPACK bomb is answered 431, again and again, without being unpacked', async () => {
    const client = await attacker()
    const begun = process.cpuUsage()
    const before = heldBytes()
    const bomb = Buffer.concat([
      Buffer.from([0x40]),
      literal('x-a'),
      literal('y'.repeat(3_900)),
      Buffer.alloc(12_000, 0xbe),
    ])
    for (let i = 0; i < 50; i++)
      client.send(frame(HEADERS, END_HEADERS | END_STREAM, i * 2 + 1, Buffer.concat([requestBlock(), bomb])))
    const { payload } = await client.next(HEADERS, 99)
    expect(payload.toString('latin1')).toContain('431')
    expect(heldBytes() - before).toBeLessThan(FACTOR * MAX_SECTION_BYTES)
    expect(cpuMs(begun)).toBeLessThan(FACTOR * normalCpuMs)
  })
  it('cookie crumbs over the limit are answered 431, and under it go on as one field', async () => {
    const client = await attacker()
    const crumbs = (count: number) => Array.from({ length: count }, (_, i) => ['cookie', `c${i}=1`] as const)
    client.send(requestHead(1, END_STREAM, 'GET', ...crumbs(500)))
    await client.next(HEADERS, 1)
    expect(app.requests.at(-1)!.headers.cookie).toBe(
      crumbs(500)
        .map(([, value]) => value)
        .join('; '),
    )
    const many = block(...crumbs(3_000))
    client.send(frame(HEADERS, END_STREAM, 3, requestBlock()))
    for (let at = 0; at < many.length; at += 16_000) {
      const end = at + 16_000
      client.send(frame(CONTINUATION, end >= many.length ? END_HEADERS : 0, 3, many.subarray(at, end)))
    }
    expect((await client.next(HEADERS, 3)).payload.toString('latin1')).toContain('431')
  })
})

describe('a client that does not read', () => {
  it('CVE-2019-9517: has its answers wait in bounds', async () => {
    const client = await attacker(settings(4, 0x7fff_ffff))
    client.send(frame(WINDOW_UPDATE, 0, 0, uint32(0x3fff_ffff)))
    client.raw.socket.pause()
    const before = heldBytes()
    const large = block([':method', 'GET'], [':scheme', 'http'], [':path', '/large'], [':authority', 'web.test'])
    for (let i = 0; i < 20; i++) client.send(frame(HEADERS, END_HEADERS | END_STREAM, i * 2 + 1, large))
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    // 80 MiB were asked for.
    expect(heldBytes() - before).toBeLessThan(FACTOR * MAX_SECTION_BYTES)
  })
  it('CVE-2019-9517: is cut when it asks for ever more', async () => {
    const client = await attacker()
    client.raw.socket.pause()
    const heldBefore = heldBytes()
    let peak = heldBefore
    // Heads of 16 KB, which no window holds back.
    const head = block([':method', 'HEAD'], [':scheme', 'http'], [':path', '/padded'], [':authority', 'web.test'])
    const isOpen = () => proxy.count('weft_downstream_connections') > 0
    for (let sent = 0; sent < 10_000 && isOpen(); sent += 100) {
      const ids = Array.from({ length: 100 }, (_, i) => (sent + i) * 2 + 1)
      client.send(...ids.map((id) => frame(HEADERS, END_HEADERS | END_STREAM, id, head)))
      await new Promise((resolve) => setTimeout(resolve, 25))
      if (sent % 500 === 0) peak = Math.max(peak, heldBytes())
    }
    expect(isOpen()).toBe(false)
    expect(brokenOff().enhance_your_calm - before.enhance_your_calm).toBe(1)
    expect(peak - heldBefore).toBeLessThan(2 * FACTOR * MAX_SECTION_BYTES)
  })
})

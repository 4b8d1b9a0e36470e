import { once } from 'node:events'
import { createServer } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import {
  connectFrames,
  DATA,
  END_STREAM,
  type Frame,
  type FrameConnection,
  frame,
  GOAWAY,
  HEADERS,
  PING,
  RST_STREAM,
  requestHead,
  startFrameServer,
  uint32,
} from '../support/http2-frames.ts'
import { openHttp2, requestHttp2, startHttp2Server } from '../support/http2-peers.ts'
import { startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { startSidecarPair } from '../support/sidecar-pair.ts'
import { oneWay, retry } from '../support/snapshots.ts'

const MIB = 1024 * 1024
const GET = { ':method': 'GET', ':path': '/x', ':authority': 'web.test' }
const POST = { ...GET, ':method': 'POST' }

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function gate(upstream: number, options: Parameters<typeof oneWay>[2] = {}) {
  const port = await freePort()
  const snapshot = oneWay(port, upstream, { cluster: { protocol: 'http2' }, ...options })
  const proxy = await startServing(snapshot)
  closers.push(() => proxy.close())
  return { port, proxy, snapshot }
}

async function beforeFrames(
  onFrame: (one: Frame, connection: FrameConnection) => void,
  options: Parameters<typeof oneWay>[2] = {},
) {
  const app = await startFrameServer(onFrame)
  closers.push(() => app.close())
  return { app, ...(await gate(app.port, options)) }
}

async function client(port: number) {
  const session = await openHttp2(port)
  closers.push(() => session.destroy())
  return session
}

/** Housekeeping as if this much time had passed. */
function sweepAfter(proxy: RunningServing, ms: number): void {
  for (const cluster of proxy.serving.clusters.values()) cluster.sweep(performance.now() + ms)
}

describe('an upstream that goes away', () => {
  it('has what it did not take up repeated, POST too, and finishes what it did', async () => {
    const { app, port } = await beforeFrames(
      ({ type, id }, c) => {
        const isFirst = app.connections[0] === c
        if (type === HEADERS && !isFirst) c.head(id, END_STREAM, [':status', '200'], ['x-from', 'second'])
        if (type !== HEADERS || id !== 3 || !isFirst) return
        c.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)])))
        setTimeout(() => c.head(1, END_STREAM, [':status', '200'], ['x-from', 'first']), 50)
      },
      { retry: retry() },
    )
    const session = await client(port)
    const answers = await Promise.all([requestHttp2(session, POST, 'one'), requestHttp2(session, POST, 'two')])
    expect(answers.map(({ status, headers }) => [status, headers['x-from']])).toEqual([
      [200, 'first'],
      [200, 'second'],
    ])
    // The connection ends with its last stream.
    await once(app.connections[0]!.socket, 'close')
  })
  it('has a POST that it did not take up sent again by the sidecar beside it, whatever the route says of retries', async () => {
    const app = await startFrameServer(({ type, id }, c) => {
      if (type !== HEADERS) return
      if (app.connections.length > 1) c.head(id, END_STREAM, [':status', '200'])
      else c.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)])))
    })
    closers.push(() => app.close())
    const pair = await startSidecarPair(app.port, 'http2', 'web.test')
    closers.push(() => pair.close())
    expect(await requestHttp2(await client(pair.port), POST, 'once')).toMatchObject({ status: 200 })
    expect(app.connections.length).toBe(2)
  })
  it('says so twice, and serves what comes in between', async () => {
    const app = await startUpstream({ onRequest: (_seen, c) => c.answer(200, 'ok') })
    closers.push(() => app.close())
    const { port, proxy } = await gate(app.port, { cluster: { protocol: 'http' } })
    const frames = await connectFrames(port)
    closers.push(() => frames.close())
    await frames.next(4)
    proxy.serving.drain()
    const first = await frames.next(GOAWAY)
    expect(first.payload.readUInt32BE(0)).toBe(0x7fff_ffff)
    frames.send(requestHead(1, END_STREAM))
    await frames.next(HEADERS, 1)
    await frames.raw.ended()
    expect(frames.of(GOAWAY).map(({ payload }) => payload.readUInt32BE(0))).toEqual([0x7fff_ffff, 1])
  })
  it('still serves who waited for its connection when the endpoint was taken away meanwhile', async () => {
    const { port, proxy, app } = await beforeFrames(({ type, id }, c) => {
      if (type === HEADERS) c.head(id, END_STREAM, [':status', '200'])
    })
    const session = await client(port)
    const answer = requestHttp2(session, GET)
    // As soon as it is asked for, before any connection stands.
    while (proxy.serving.clusters.get('app')!.active === 0) await new Promise((resolve) => setImmediate(resolve))
    for (const { pool } of proxy.serving.clusters.get('app')!.endpoints) pool!.retire()
    expect(await answer).toMatchObject({ status: 200 })
    expect(app.connections.length).toBe(1)
  })
  it('that is half open is found out by a PING, and its requests fail', async () => {
    const { app, port, proxy } = await beforeFrames(() => {})
    const answer = requestHttp2(await client(port), GET)
    await expect.poll(() => app.connections[0]?.frames.some(({ type }) => type === HEADERS)).toBe(true)
    sweepAfter(proxy, 16_000)
    await expect.poll(() => app.connections[0]!.frames.some(({ type }) => type === PING)).toBe(true)
    sweepAfter(proxy, 32_000)
    expect(await answer).toMatchObject({ status: 502 })
    const reason = { cluster: 'app', reason: 'keep_alive_timeout' }
    expect(proxy.count('weft_upstream_connections_broken_total', reason)).toBe(1)
  })
  it('is left in peace while it answers PINGs', async () => {
    const { app, port, proxy } = await beforeFrames(({ type, id, payload }, c) => {
      if (type === PING) c.send(frame(PING, 1, 0, payload))
      if (type === PING) setTimeout(() => c.head(1, END_STREAM, [':status', '200']), 200)
      expect(id).toBeLessThan(2)
    })
    const answer = requestHttp2(await client(port), GET)
    await expect.poll(() => app.connections[0]?.frames.some(({ type }) => type === HEADERS)).toBe(true)
    sweepAfter(proxy, 16_000)
    await expect.poll(() => app.connections[0]!.frames.some(({ type }) => type === PING)).toBe(true)
    await delay(50)
    sweepAfter(proxy, 14_000)
    expect(await answer).toMatchObject({ status: 200 })
  })
  it('that resets in the middle of a body resets the client, after what came', async () => {
    const { port } = await beforeFrames(({ type, id }, c) => {
      if (type !== HEADERS) return
      c.head(id, 0, [':status', '200'])
      c.send(frame(DATA, 0, id, 'half'), frame(RST_STREAM, 0, id, uint32(2)))
    })
    const session = await client(port)
    const answer = await requestHttp2(session, GET)
    expect(answer).toMatchObject({ status: 200, resetCode: 2 })
    expect(session.destroyed).toBe(false)
  })
})

describe('slow peers', () => {
  it('give the window of the connection back when their streams are reset', async () => {
    // A server of HTTP/1.1 that accepts and reads nothing.
    const deaf = createServer((socket) => socket.pause())
    deaf.listen(0, '127.0.0.1')
    await once(deaf, 'listening')
    closers.push(() => void deaf.close())
    const address = deaf.address() as { port: number }
    const { port } = await gate(address.port, { cluster: { protocol: 'http' } })
    const frames = await connectFrames(port)
    closers.push(() => frames.close())
    await frames.next(8)
    const piece = Buffer.alloc(16_000)
    // 80 streams of 240 KB are more than twice the window of the connection.
    for (let i = 0; i < 80; i++) {
      const id = i * 2 + 1
      frames.send(requestHead(id, 0, 'POST'), ...Array.from({ length: 15 }, () => frame(DATA, 0, id, piece)))
      await delay(2)
      frames.send(frame(RST_STREAM, 0, id, uint32(8)))
    }
    await delay(200)
    expect(frames.of(GOAWAY)).toEqual([])
    const given = frames.of(8, 0).reduce((sum, { payload }) => sum + payload.readUInt32BE(), 65_535)
    expect(given - 80 * 15 * piece.length).toBeGreaterThan(3 * MIB)
  })
  it('do not hold up the bodies of their neighbours between sidecars', async () => {
    const app = await startHttp2Server((stream, { ':path': path }) => {
      if (path === '/slow') return
      stream.resume().on('end', () => stream.respond({ ':status': 200 }, { endStream: true }))
    })
    closers.push(() => app.close())
    const pair = await startSidecarPair(app.port, 'http2', 'web.test')
    closers.push(() => pair.close())
    // Each from a connection of its own. 80 windows of streams are more than that of a connection.
    const post = async (path: string) => requestHttp2(await client(pair.port), { ...POST, ':path': path }, body)
    const body = Buffer.alloc(512 * 1024)
    expect(await post('/first')).toMatchObject({ status: 200 })
    for (let i = 0; i < 80; i++) void post('/slow')
    await delay(500)
    expect(await Promise.race([post('/fast'), delay(5_000)])).toMatchObject({ status: 200 })
    expect(pair.caller.serving.clusters.get('callee')!.connectionsOpen).toBe(2)
  })
  it('cost no memory: 256 MiB for a client that stops now and then', async () => {
    const total = 256 * MIB
    const chunk = Buffer.alloc(64 * 1024)
    const app = await startHttp2Server((stream) => {
      stream.respond({ ':status': 200 })
      Readable.from(repeat(chunk, total / chunk.length)).pipe(stream)
    })
    closers.push(() => app.close())
    // No request timeout: on a busy machine so much takes longer than the default of 15 s.
    const { port } = await gate(app.port, { timeouts: { requestMs: 0 } })
    const stream = (await client(port)).request(GET)
    collectGarbage()
    const before = process.memoryUsage.rss()
    let peak = before
    let received = 0
    let stops = 0
    stream.on('data', (data: Buffer) => {
      received += data.length
      if (received / (32 * MIB) < stops + 1) return
      stops++
      stream.pause()
      peak = Math.max(peak, process.memoryUsage.rss())
      setTimeout(() => stream.resume(), 100)
    })
    await once(stream, 'end')
    expect(received).toBe(total)
    expect(peak - before).toBeLessThan(96 * MIB)
  })
  it('that are idle cost little: 1,000 connections', async () => {
    const app = await startUpstream()
    closers.push(() => app.close())
    const { port, proxy } = await gate(app.port, { cluster: { protocol: 'http' } })
    const held = (): number => {
      collectGarbage()
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    const before = held()
    const clients = await Promise.all(Array.from({ length: 1_000 }, () => connectFrames(port)))
    closers.push(() => {
      for (const one of clients) one.close()
    })
    await Promise.all(clients.map((one) => one.next(4, 0, 15_000)))
    expect(proxy.count('weft_downstream_connections')).toBe(1_000)
    await delay(100)
    // Both ends of each, the test's own client too.
    expect((held() - before) / 1_000).toBeLessThan(32 * 1024)
  })
})

function* repeat(chunk: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i++) yield chunk
}

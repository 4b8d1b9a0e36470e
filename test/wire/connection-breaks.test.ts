import { createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Log } from '../../proxy-image/src/log.ts'
import { freePort } from '../support/free-port.ts'
import {
  connectFrames,
  END_STREAM,
  type FrameClient,
  frame,
  HEADERS,
  PING,
  requestHead,
  startFrameServer,
  uint32,
  WINDOW_UPDATE,
} from '../support/http2-frames.ts'
import { openHttp2, requestHttp2 } from '../support/http2-peers.ts'
import { connectRaw } from '../support/raw-client.ts'
import { startServing } from '../support/running-serving.ts'
import { startSidecarPair } from '../support/sidecar-pair.ts'
import { oneWay } from '../support/snapshots.ts'

const HOUR_MS = 3_600_000
const DOWNSTREAM = 'weft_downstream_connections_broken_total'
const UPSTREAM = 'weft_upstream_connections_broken_total'
const GET = { ':method': 'GET', ':path': '/x', ':authority': 'web.test' }

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A server that accepts and never answers. */
async function startDeaf(): Promise<number> {
  const port = await freePort()
  const sockets = new Set<{ destroy(): void }>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return port
}

async function gate(upstream: number, protocol: 'http' | 'http2' = 'http') {
  const lines: string[] = []
  const port = await freePort()
  const log = new Log('debug', (line) => lines.push(line))
  const proxy = await startServing(oneWay(port, upstream, { cluster: { protocol } }), { log })
  closers.push(() => proxy.close())
  const count = (reason: string): number => proxy.count(DOWNSTREAM, { listener: `gateway/gate:${port}`, reason })
  return { port, proxy, count, lines: () => lines.filter((line) => line.includes('broke a connection off')) }
}

async function framesTo(port: number): Promise<FrameClient> {
  const client = await connectFrames(port)
  closers.push(() => client.close())
  await client.next(4)
  return client
}

describe('a downstream connection that is broken off is counted by its reason', () => {
  it('when it is no HTTP/2 after the first line of the preface', async () => {
    const { port, proxy, count } = await gate(await startDeaf())
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send('PRI * HTTP/2.0\r\n\r\nnothing\r\n\r\n')
    await raw.ended()
    expect(count('protocol_error')).toBe(1)
    expect(proxy.count(DOWNSTREAM)).toBe(1)
  })
  it.each([
    ['protocol_error', () => requestHead(2, END_STREAM)],
    ['frame_size_error', () => frame(PING, 0, 0, 'short')],
    ['compression_error', () => frame(HEADERS, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))],
    ['flow_control_error', () => frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff_ffff))],
  ])('%s', async (reason, fault) => {
    const { port, proxy, count } = await gate(await startDeaf())
    const client = await framesTo(port)
    client.send(fault())
    await client.goaway()
    expect(count(reason)).toBe(1)
    expect(proxy.count(DOWNSTREAM)).toBe(1)
  })
  it('when its preface does not come to its end', async () => {
    const { port, proxy, count } = await gate(await startDeaf())
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send('PRI * HTTP/2.0\r\n\r\nS')
    // The server says hello as soon as it knows the version.
    await raw.until(() => raw.received !== '')
    proxy.serving.sweep(performance.now() + 11_000)
    await raw.ended()
    expect(count('slow_head')).toBe(1)
  })
  it('when it gives no sign of life while its request is under way', async () => {
    const { port, proxy, count } = await gate(await startDeaf())
    const client = await framesTo(port)
    client.send(requestHead(1, END_STREAM))
    await expect.poll(() => proxy.serving.busy).toBe(1)
    proxy.serving.sweep(performance.now() + 16_000)
    await client.next(PING)
    proxy.serving.sweep(performance.now() + 32_000)
    await client.raw.ended()
    expect(count('keep_alive_timeout')).toBe(1)
  })
  it('and not when it ends in peace: its client goes, it idles, or the proxy stops', async () => {
    const { port, proxy } = await gate(await startDeaf())
    const [gone, idle, last] = [await framesTo(port), await framesTo(port), await framesTo(port)]
    gone.close()
    await expect.poll(() => proxy.count('weft_downstream_connections')).toBe(2)
    last.send(requestHead(1, END_STREAM))
    await expect.poll(() => proxy.serving.busy).toBe(1)
    proxy.serving.closeIdle()
    await idle.raw.ended()
    proxy.serving.close()
    await last.raw.ended()
    expect(proxy.count(DOWNSTREAM)).toBe(0)
  })
})

it('an upstream connection that is broken off is counted by its reason, and its address is logged', async () => {
  const app = await startFrameServer(({ type }, c) => {
    if (type === HEADERS) c.send(frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff_ffff)))
  })
  closers.push(() => app.close())
  const { port, proxy, lines } = await gate(app.port, 'http2')
  const session = await openHttp2(port)
  closers.push(() => session.destroy())
  expect(await requestHttp2(session, GET)).toMatchObject({ status: 502 })
  expect(proxy.count(UPSTREAM, { cluster: 'app', reason: 'flow_control_error' })).toBe(1)
  expect(proxy.count(DOWNSTREAM)).toBe(0)
  expect(lines()).toHaveLength(1)
  expect(lines()[0]).toContain(
    `warning broke a connection off cluster="app" remote="127.0.0.1:${app.port}" reason="flow_control_error"`,
  )
})

it('requests that outlive a certificate lose their connection, which both sidecars count', async () => {
  const pair = await startSidecarPair(await startDeaf(), 'http', 'web.test')
  closers.push(() => pair.close())
  const session = await openHttp2(pair.port)
  closers.push(() => session.destroy())
  const answer = requestHttp2(session, GET)
  await expect.poll(() => pair.callee.serving.busy).toBe(1)
  pair.callee.serving.sweep(performance.now() + HOUR_MS)
  pair.caller.serving.sweep(performance.now() + HOUR_MS)
  expect((await answer).status).toBe(502)
  expect(pair.callee.count(DOWNSTREAM, { reason: 'certificate_expired' })).toBe(1)
  expect(pair.caller.count(UPSTREAM, { cluster: 'callee', reason: 'certificate_expired' })).toBe(1)
})

it('of a flood one line a minute is a warning, with the address and what was done; the others are for debugging', async () => {
  const { port, count, lines } = await gate(await startDeaf())
  for (let i = 0; i < 3; i++) {
    const client = await framesTo(port)
    client.send(frame(PING, 0, 0, 'short'))
    await client.goaway()
  }
  const local = /remote="127\.0\.0\.1:\d+" reason="frame_size_error" detail="PING of 5 octets"/
  expect(
    lines().map((line) => [line.split(' ')[1], local.test(line), line.includes(`listener="gateway/gate:${port}"`)]),
  ).toEqual([
    ['warning', true, true],
    ['debug', true, true],
    ['debug', true, true],
  ])
  expect(count('frame_size_error')).toBe(3)
})

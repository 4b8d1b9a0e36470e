import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { snapshot } from '../support/snapshots.ts'
import { echo, identityOf, listenTo, type TcpCaller } from '../support/tcp-pair.ts'
import { tcpRig } from '../support/tcp-rig.ts'

/** TCP connections between two sidecars are streams of a few HTTP/2 connections. */

const rig = tcpRig()
const { app, callee, caller, client, closers, tap } = rig

/** A pair of sidecars, and what one sees between them. */
async function pair(onSocket: (socket: Socket) => void, options: Parameters<typeof callee>[1] = {}) {
  const { port, sockets } = await app(onSocket)
  const answering = await callee(port, options)
  const between = await tap(answering.meshPort)
  return { via: await caller({ callee: [{ meshPort: between.port }] }), answering, between, sockets }
}

/** The same with twenty clients, of whose bytes none leaves the caller's sidecar for the time being. */
async function stalledPair(onSocket: (socket: Socket) => void) {
  const made = await pair(onSocket)
  const bulk = Array.from({ length: 20 }, () => client(made.via))
  for (const socket of bulk) {
    socket.on('error', () => {})
    socket.write('bulk')
  }
  await expect.poll(() => made.sockets.length).toBe(20)
  made.between.onward[0]!.pause()
  return { ...made, bulk }
}

async function says(via: TcpCaller, words: string): Promise<Socket> {
  const socket = client(via)
  const heard = listenTo(socket)
  socket.write(words)
  await expect.poll(heard.text, { timeout: 10_000 }).toBe(words)
  return socket
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('streams that share a connection', () => {
  it('are as many as may stall together, and more get another connection', async () => {
    const { via, between } = await pair(echo)
    for (let i = 0; i < 32; i++) await says(via, `${i}`)
    expect(between.connections).toHaveLength(1)
    await says(via, 'one more')
    expect(between.connections).toHaveLength(2)
  })

  it('are opened a thousand at once', { timeout: 60_000 }, async () => {
    const { via, between } = await pair(echo)
    const sockets = await Promise.all(Array.from({ length: 1_000 }, (_, i) => says(via, `number ${i}`)))
    expect(between.connections.length).toBeLessThan(50)
    expect(via.proxy.count('weft_downstream_connections')).toBe(1_000)
    for (const socket of sockets) socket.end()
    await expect.poll(() => via.proxy.count('weft_downstream_connections'), { timeout: 10_000 }).toBe(0)
    expect(via.proxy.count('weft_tcp_failures_total')).toBe(0)
    expect(via.proxy.count('weft_upstream_connections')).toBe(0)
  })

  it.each(['to the app', 'to the client'])('flow on beside 31 whose bytes %s nobody reads', async (way) => {
    const stalled: Socket[] = []
    const flood = Buffer.alloc(4 * 1024 * 1024)
    const { via, between } = await pair((socket) => {
      socket.once('data', (first) => {
        if (first.toString() !== 'stall') {
          socket.write(first)
          return echo(socket)
        }
        socket.pause()
        stalled.push(socket)
        if (way === 'to the client') socket.write(flood)
      })
    })
    const clients = Array.from({ length: 31 }, () => client(via))
    for (const socket of clients) {
      if (way === 'to the client') socket.pause()
      socket.write('stall')
    }
    await expect.poll(() => stalled.length).toBe(31)
    if (way === 'to the app') for (const socket of clients) socket.write(flood)
    await pause(500)
    const socket = client(via)
    let back = 0
    socket.on('data', (chunk) => {
      back += chunk.length
    })
    for (let i = 0; i < 8; i++) if (!socket.write(flood)) await once(socket, 'drain')
    await expect.poll(() => back, { timeout: 15_000 }).toBe(8 * flood.length)
    expect(between.connections).toHaveLength(1)
    // Those who read again get all of it.
    const received = way === 'to the app' ? stalled : clients
    for (const one of received) one.resume()
    const bytes = () => received.reduce((sum, { bytesRead }) => sum + bytesRead, 0)
    const words = way === 'to the app' ? 31 * 'stall'.length : 0
    await expect.poll(bytes, { timeout: 15_000 }).toBe(31 * flood.length + words)
  })

  it('are not cut off where others are reset at once, 2,000 times', { timeout: 60_000 }, async () => {
    const { via, between, answering } = await pair((socket) => {
      socket.write('220 hello\r\n')
      echo(socket)
    })
    const steady = client(via)
    const heard = listenTo(steady)
    for (let i = 0; i < 100; i++) {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const socket = via.connect()
          await once(socket, i % 2 === 0 ? 'connect' : 'data')
          socket.resetAndDestroy()
        }),
      )
    }
    steady.write('still here')
    await expect.poll(heard.text).toBe('220 hello\r\nstill here')
    for (const side of [via, answering]) {
      expect(side.proxy.count('weft_upstream_connections_broken_total')).toBe(0)
      expect(side.proxy.count('weft_downstream_connections_broken_total')).toBe(0)
    }
    expect(between.connections.length).toBeLessThan(4)
  })

  it('carry 50 MB each way, eight at a time, unchanged', { timeout: 60_000 }, async () => {
    const { via, between } = await pair(echo)
    const chunk = randomBytes(1_000_003)
    const passes = async (): Promise<void> => {
      const socket = client(via)
      const [sent, back] = [createHash('sha256'), createHash('sha256')]
      socket.on('data', (data) => back.update(data))
      for (let i = 0; i < 7; i++) {
        sent.update(chunk)
        if (!socket.write(chunk)) await once(socket, 'drain')
      }
      socket.end()
      await once(socket, 'end')
      expect(back.digest('hex')).toBe(sent.digest('hex'))
    }
    await Promise.all(Array.from({ length: 8 }, passes))
    expect(between.connections).toHaveLength(1)
  })
})

describe('a sidecar that takes no connection', () => {
  it('is passed over for another one when its own limit is reached', async () => {
    const { port } = await app(echo)
    const limits = { maxConnections: 1, maxPendingRequests: null, maxRequests: null }
    const [full, other] = [await callee(port, { cluster: { limits } }), await callee(port, { cluster: { limits } })]
    const via = await caller({ callee: [full, other] })
    await says(via, '1')
    await says(via, '2')
    expect(await listenTo(client(via)).over).toBe('ECONNRESET')
    expect(via.proxy.count('weft_tcp_failures_total', { reason: 'overflow' })).toBe(1)
    expect(full.proxy.count('weft_tcp_failures_total', { reason: 'overflow' })).toBeGreaterThan(0)
  })

  it('has the last word when it does not know the caller', async () => {
    const { port, sockets } = await app(echo)
    const origin = { kind: 'policy' as const, name: 'authorization/db' }
    const authorization = { allow: ['spiffe://weft.test/shop/other'], mode: 'enforce' as const, origin }
    const both = [await callee(port, { authorization }), await callee(port, { authorization })]
    const via = await caller({ callee: both })
    expect(await listenTo(client(via)).over).toBe('ECONNRESET')
    expect(via.proxy.count('weft_tcp_failures_total', { reason: 'unauthorized_caller' })).toBe(1)
    expect(via.proxy.count('weft_upstream_attempts_total', { outcome: 'unauthorized_caller' })).toBe(1)
    expect(sockets).toHaveLength(0)
  })

  it('is given up when it does not answer in time', async () => {
    const identity = await identityOf(rig.ca, 'callee')
    const settings = { enableConnectProtocol: true }
    const silent = http2.createSecureServer({ ...identity.serverOptions(), settings }).listen(0, '127.0.0.1')
    const asked = once(silent, 'stream')
    await once(silent, 'listening')
    closers.push(() => void silent.close())
    const { port } = silent.address() as AddressInfo
    const via = await caller({ callee: [{ meshPort: port }] }, { cluster: { connectTimeoutMs: 300 } })
    const socket = client(via)
    const [stream, headers] = await asked
    expect(headers).toMatchObject({ ':method': 'CONNECT', ':protocol': 'weft-tcp' })
    stream.on('error', () => {})
    expect(await listenTo(socket).over).toBe('ECONNRESET')
    await expect.poll(() => stream.destroyed).toBe(true)
    expect(via.proxy.count('weft_tcp_failures_total', { reason: 'connect_timeout' })).toBe(1)
    expect(via.proxy.count('weft_upstream_connections', { state: 'active' })).toBe(0)
  })
})

describe('the connection that streams share', () => {
  it('is left at a drain: streams under way go on, others get a new one', async () => {
    const { via, between, answering } = await pair(echo)
    const before = await says(via, 'before')
    answering.proxy.serving.drain()
    await pause(1_500)
    const heard = listenTo(before)
    before.write('and after')
    await expect.poll(heard.text).toBe('and after')
    await says(via, 'new')
    expect(between.connections).toHaveLength(2)
    before.end()
    expect(await heard.over).toBe('end')
    await expect.poll(() => between.connections[0]!.destroyed).toBe(true)
  })

  it('breaks, and resets its streams; others get a new one', async () => {
    const { via, between, sockets } = await pair(echo)
    const heard = listenTo(await says(via, 'x'))
    const appHeard = listenTo(sockets[0]!)
    between.connections[0]!.resetAndDestroy()
    expect(await heard.over).toBe('ECONNRESET')
    expect(await appHeard.over).toBe('ECONNRESET')
    expect(via.proxy.count('weft_tcp_failures_total', { reason: 'upstream_closed' })).toBe(1)
    await says(via, 'y')
  })

  it.each([
    ['is still known', () => {}],
    [
      'was taken away',
      (via: TcpCaller) => via.proxy.serving.updateEndpoints({ node: 'callee', revision: '2', endpoints: [] }),
    ],
  ])('is given up when its peer is gone without a word, which a PING shows, and %s', async (_case, change) => {
    const { via, between } = await pair(echo)
    const heard = listenTo(await says(via, 'x'))
    change(via)
    between.connections[0]!.unpipe()
    const now = performance.now()
    via.proxy.serving.sweep(now + 16_000)
    via.proxy.serving.sweep(now + 30_000)
    expect(via.proxy.count('weft_upstream_connections_broken_total')).toBe(0)
    via.proxy.serving.sweep(now + 32_000)
    expect(await heard.over).toBe('ECONNRESET')
    expect(via.proxy.count('weft_upstream_connections_broken_total', { reason: 'keep_alive_timeout' })).toBe(1)
  })

  it('takes new streams in the first tenth of its life, and ends before its certificates do', async () => {
    const { via, between, answering } = await pair(echo, { lifeMs: 5_000 })
    const heard = listenTo(await says(via, 'first'))
    const since = performance.now()
    await pause(700)
    await says(via, 'second')
    expect(between.connections).toHaveLength(2)
    expect(await heard.over).toBe('ECONNRESET')
    expect(performance.now() - since).toBeLessThan(5_000)
    // Both sides see the time come, and one of them is the first.
    const expired = () =>
      [via, answering].map(({ proxy }) => proxy.count('weft_tcp_failures_total', { reason: 'tls_failed' }))
    await expect.poll(() => Math.max(...expired())).toBeGreaterThan(0)
  })

  it('is closed when no stream has used it for a minute', async () => {
    const { via, between } = await pair(echo)
    const socket = await says(via, 'x')
    socket.end()
    await once(socket, 'end')
    await pause(50)
    via.proxy.serving.sweep(performance.now() + 59_000)
    await pause(50)
    expect(between.connections[0]!.destroyed).toBe(false)
    via.proxy.serving.sweep(performance.now() + 61_000)
    await expect.poll(() => between.connections[0]!.destroyed).toBe(true)
  })
})

describe('a connection that is busy with others', () => {
  it('carries a request with an end behind it, and its answer', { timeout: 30_000 }, async () => {
    const { via, between, bulk } = await stalledPair((socket) => {
      let heard = ''
      socket.on('data', (chunk) => {
        if (heard.length < 7) heard += chunk.toString('latin1', 0, 7)
      })
      socket.on('end', () => socket.end(`answer to ${heard}`))
    })
    const [carrier] = between.connections
    const small = client(via)
    const heard = listenTo(small)
    small.end('request')
    await pause(300)
    carrier!.pause()
    for (const socket of bulk) socket.write(Buffer.alloc(1024 * 1024))
    await pause(500)
    between.onward[0]!.resume()
    await pause(300)
    carrier!.resume()
    expect(await heard.over).toBe('end')
    expect(heard.text()).toBe('answer to request')
  })
})

describe('a port that the snapshot has no more', () => {
  it('is looked after as long as somebody uses it: a peer that is gone is found', async () => {
    const { via, answering, between, sockets } = await pair(echo)
    await says(via, 'x')
    const { serving } = answering.proxy
    await serving.apply(snapshot({ listeners: [], clusters: [] }))
    expect(serving.busy).toBe(1)
    between.connections[0]!.unpipe()
    between.connections[0]!.pause()
    const now = performance.now()
    serving.sweep(now + 16_000)
    serving.sweep(now + 32_000)
    await expect.poll(() => sockets[0]!.destroyed).toBe(true)
    expect(serving.busy).toBe(0)
  })
})

describe('health of a TCP port behind its sidecar', () => {
  const origin = { kind: 'virtual-node' as const, name: 'callee' }
  const every = { intervalMs: 30, timeoutMs: 1_000, healthyThreshold: 1, unhealthyThreshold: 1, port: null, origin }

  it.each([
    { protocol: 'tcp', path: null },
    { protocol: 'http', path: '/health' },
  ] as const)('is that of its app, asked by $protocol', async (asked) => {
    const { port, close } = await app((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
    })
    const { meshPort, proxy } = await callee(port)
    const healthCheck = { ...every, ...asked }
    const via = await caller({ callee: [{ meshPort }, { meshPort }] }, { cluster: { healthCheck } })
    const available = () => via.proxy.count('weft_endpoints', { state: 'available' })
    await pause(300)
    expect(available()).toBe(2)
    expect(proxy.count('weft_tcp_failures_total')).toBe(0)
    close()
    await expect.poll(available).toBe(0)
  })
})

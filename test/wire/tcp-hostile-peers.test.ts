import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import tls from 'node:tls'
import { describe, expect, it } from 'vitest'
import type { BlockWriter } from '../../proxy-image/src/socket/block-writer.ts'
import {
  block,
  END_HEADERS,
  type Frame,
  FrameConnection,
  frame,
  HEADERS,
  PREFACE,
  RST_STREAM,
  settings,
  uint32,
  WINDOW_UPDATE,
} from '../support/http2-frames.ts'
import { echo, identityOf, listenTo, sniOf, type TcpCallee } from '../support/tcp-pair.ts'
import { tcpRig } from '../support/tcp-rig.ts'

/** Sidecars with a certificate of the mesh that do not keep to the rules of tunnels. */

const MIB = 1024 * 1024
const rig = tcpRig()
const { app, callee, caller, client, closers } = rig
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const TAKES_CONNECT = settings(8, 1)
const CONNECT = block(
  [':method', 'CONNECT'],
  [':scheme', 'https'],
  [':path', '/'],
  [':authority', 'tcp'],
  [':protocol', 'weft-tcp'],
)

/** A callee's sidecar of frames. `greeting` null: it says nothing of itself. */
async function frameCallee(greeting: Buffer | null, onFrame: (one: Frame, connection: FrameConnection) => void) {
  const identity = await identityOf(rig.ca, 'callee')
  const connections: FrameConnection[] = []
  const server = tls.createServer({ ...identity.serverOptions(), ALPNProtocols: ['h2'] }, (socket) => {
    const connection = new FrameConnection(socket)
    connections.push(connection)
    socket.on('error', () => {})
    if (greeting !== null) connection.send(greeting)
    socket.on('data', (chunk: Buffer) => {
      for (const one of connection.take(chunk)) onFrame(one, connection)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const { socket } of connections) socket.destroy()
    server.close()
  })
  return { meshPort: (server.address() as AddressInfo).port, connections }
}

/** A caller's sidecar of frames, and how much waits for it at the callee's. */
async function frameCaller({ meshPort, proxy }: TcpCallee, ...greeting: Buffer[]) {
  const identity = await identityOf(rig.ca, 'caller')
  const socket = tls.connect({
    host: '127.0.0.1',
    port: meshPort,
    servername: sniOf('callee'),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    ...identity.serverOptions(),
  })
  await once(socket, 'secureConnect')
  closers.push(() => void socket.destroy())
  socket.on('error', () => {})
  const heard = new FrameConnection(socket, true)
  socket.on('data', (chunk: Buffer) => void heard.take(chunk))
  heard.send(PREFACE, ...greeting)
  await pause(100)
  return { socket, heard, unsent: () => unsentBytes(proxy.serving) }
}

/** Looks inside: nothing else tells this memory from that of the test. */
function unsentBytes(serving: unknown): number {
  const { works } = serving as {
    works: { doors: Map<string, { door: { peers?: { http2: Set<{ writer: BlockWriter }> } } }> }
  }
  const connections = [...works.doors.values()].flatMap(({ door }) => [...(door.peers?.http2 ?? [])])
  return connections.reduce((sum, { writer }) => sum + writer.unsentBytes, 0)
}

function stopReading(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.pause()
}

describe('a callee of bad faith', () => {
  it('that resets what it has just accepted fails a health check, and nothing else', async () => {
    let checks = 0
    const { meshPort } = await frameCallee(TAKES_CONNECT, ({ type, id }, connection) => {
      if (type !== HEADERS) return
      checks++
      const accepted = frame(HEADERS, END_HEADERS, id, block([':status', '200']))
      connection.socket.write(Buffer.concat([accepted, frame(RST_STREAM, 0, id, uint32(8))]))
    })
    const origin = { kind: 'virtual-node' as const, name: 'callee' }
    const times = { intervalMs: 30, timeoutMs: 1_000, healthyThreshold: 1, unhealthyThreshold: 1 }
    // An error that nobody listens to would end this process, as it would end the sidecar's.
    await caller(
      { callee: [{ meshPort }] },
      { cluster: { healthCheck: { protocol: 'tcp', path: null, port: null, origin, ...times } } },
    )
    await expect.poll(() => checks, { timeout: 5_000 }).toBeGreaterThan(5)
  })

  it('that never says its SETTINGS is left', { timeout: 60_000 }, async () => {
    const { meshPort, connections } = await frameCallee(null, () => {})
    const via = await caller({ callee: [{ meshPort }] }, { cluster: { connectTimeoutMs: 200 } })
    await Promise.all(Array.from({ length: 32 }, () => listenTo(client(via)).over))
    await Promise.all(Array.from({ length: 32 }, () => listenTo(client(via)).over))
    // The places of those who gave up are free again.
    expect(connections).toHaveLength(1)
    via.proxy.serving.sweep(performance.now() + 11_000)
    await expect.poll(() => connections[0]!.socket.destroyed || connections[0]!.socket.readableEnded).toBe(true)
  })
})

describe('a caller of bad faith', () => {
  it('that reads nothing gets no more for its WINDOW_UPDATEs', { timeout: 60_000 }, async () => {
    const { port } = await app((socket) => {
      const piece = Buffer.alloc(256 * 1024)
      const go = (): void => {
        while (!socket.destroyed && socket.write(piece));
        socket.once('drain', go)
      }
      go()
    })
    const wide = [settings(4, 2 ** 30), frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 30))]
    const { socket, heard, unsent } = await frameCaller(await callee(port), ...wide)
    heard.send(frame(HEADERS, END_HEADERS, 1, CONNECT))
    await expect.poll(() => heard.frames.some(({ type }) => type === HEADERS)).toBe(true)
    stopReading(socket)
    await pause(500)
    for (let i = 0; i < 1_000; i++) {
      heard.send(frame(WINDOW_UPDATE, 0, 1, uint32(1)))
      if (i % 10 === 0) await pause(5)
    }
    await pause(200)
    expect(unsent()).toBeGreaterThan(0)
    expect(unsent()).toBeLessThan(1 * MIB)
  })

  it('that reads nothing is cut off for streams over its limit', { timeout: 60_000 }, async () => {
    const { port } = await app(echo)
    const { socket, heard, unsent } = await frameCaller(await callee(port), settings())
    let id = 1
    for (; id < 65; id += 2) heard.send(frame(HEADERS, END_HEADERS, id, CONNECT))
    await expect.poll(() => heard.frames.filter(({ type }) => type === HEADERS).length).toBe(32)
    stopReading(socket)
    let most = 0
    for (let round = 0; round < 200 && !socket.destroyed; round++) {
      const over = Array.from({ length: 10_000 }, () => {
        id += 2
        return frame(HEADERS, END_HEADERS, id, Buffer.from([0x82]))
      })
      if (!socket.write(Buffer.concat(over))) await Promise.race([once(socket, 'drain'), pause(500)])
      most = Math.max(most, unsent())
    }
    expect(most).toBeLessThan(6 * MIB)
    expect(unsent()).toBe(0)
  })
})

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { Cluster } from '../../runtime/model/snapshot.ts'
import { freePort } from '../support/free-port.ts'
import { startHttp2Server } from '../support/http2-peers.ts'
import { connectRaw, type RawClient } from '../support/raw-client.ts'
import { startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { cluster, forwardRoute, inboundPort, oneWay, outbound, retry, snapshot, table } from '../support/snapshots.ts'
import { identityOf } from '../support/tcp-pair.ts'
import { tcpRig } from '../support/tcp-rig.ts'

const rig = tcpRig()
const { closers } = rig

/** A way to an app on `appPort`; requests go to `port` for the host `callee.mesh`. */
interface Way {
  readonly port: number
  readonly first: RunningServing
}

async function oneHop(
  appPort: number,
  part: { idleMs?: number; requestMs?: number; protocol?: Cluster['protocol']; path?: string } = {},
): Promise<Way> {
  const port = await freePort()
  const { idleMs, requestMs, protocol = 'http', path } = part
  const template = '%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%\n'
  const proxy = await startServing(
    oneWay(port, appPort, {
      retry: retry(),
      timeouts: { ...(idleMs === undefined ? {} : { idleMs }), ...(requestMs === undefined ? {} : { requestMs }) },
      cluster: { protocol },
      ...(path === undefined
        ? {}
        : { accessLogs: [{ path, format: { kind: 'text', template }, origin: { kind: 'virtual-node', name: 'a' } }] }),
    }),
  )
  closers.push(() => proxy.close())
  return { port, first: proxy }
}

async function pair(appPort: number, between: 'h2' | 'http/1.1'): Promise<Way> {
  const [meshPort, port] = [await freePort(), await freePort()]
  const sni = 'p8080.callee.weft.internal'
  const callee = await startServing(
    snapshot({
      listeners: [
        {
          kind: 'inbound',
          authorization: null,
          origin: { kind: 'virtual-node', name: 'callee' },
          port: meshPort,
          ports: [inboundPort({ port: appPort, cluster: 'local', sni })],
        },
      ],
      clusters: [cluster('local', { port: appPort, discovery: { kind: 'local' } })],
    }),
    { identity: await identityOf(rig.ca, 'callee') },
  )
  const caller = await startServing(
    snapshot({
      listeners: [outbound(port, [{ names: ['callee.mesh'], table: 'callee' }])],
      tables: [table('callee', [forwardRoute('all', 'callee', { retry: retry() })])],
      clusters: [
        cluster('callee', {
          port: 1,
          discovery: { kind: 'endpoints', node: 'callee' },
          tls: { mesh: { sni, spiffeId: 'spiffe://weft.test/shop/callee' }, plain: { kind: 'refuse' } },
        }),
        cluster('egress', { port: 1, discovery: { kind: 'passthrough' } }),
      ],
    }),
    { identity: await identityOf(rig.ca, 'caller') },
  )
  const sidecar = { port: meshPort, protocols: [between], version: '0' }
  caller.serving.updateEndpoints({
    node: 'callee',
    revision: '1',
    endpoints: [{ id: 'e0', address: '127.0.0.1', port: 1, sidecar, state: 'ready' }],
  })
  closers.push(
    () => callee.close(),
    () => caller.close(),
  )
  return { port, first: caller }
}

const ways = {
  'one hop': (appPort: number) => oneHop(appPort),
  'a pair that speaks HTTP/2': (appPort: number) => pair(appPort, 'h2'),
  'a pair that speaks HTTP/1.1': (appPort: number) => pair(appPort, 'http/1.1'),
}

/** A WebSocket server that says back what it hears. */
async function echoServer(): Promise<{ port: number; server: WebSocketServer }> {
  const http = createServer((_request, response) => response.end('plain'))
  const server = new WebSocketServer({ server: http, handleProtocols: (protocols) => [...protocols][0]! })
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  closers.push(() => {
    for (const client of server.clients) client.terminate()
    http.closeAllConnections()
    http.close()
  })
  return { port: (http.address() as AddressInfo).port, server }
}

function webSocket(port: number, protocols: string[] = []): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat?room=1`, protocols, { headers: { host: 'callee.mesh' } })
  socket.on('error', () => {})
  closers.push(() => socket.terminate())
  return socket
}

async function raw(port: number): Promise<RawClient> {
  const client = await connectRaw(port)
  closers.push(() => client.close())
  return client
}

async function upstream(script: UpstreamScript) {
  const app = await startUpstream(script)
  closers.push(() => app.close())
  return app
}

async function session(port: number): Promise<ClientHttp2Session> {
  const opened = connectHttp2(`http://127.0.0.1:${port}`)
  opened.on('error', () => {})
  await once(opened, 'remoteSettings')
  closers.push(() => opened.destroy())
  return opened
}

const UPGRADE = 'GET /x HTTP/1.1\r\nHost: callee.mesh\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n'
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n'

describe.each(Object.entries(ways))('an upgrade through %s', (_name, way) => {
  it('carries WebSocket messages of any size both ways, the subprotocol, and the close with its code', async () => {
    const app = await echoServer()
    const socket = webSocket((await way(app.port)).port, ['chat'])
    await once(socket, 'open')
    expect(socket.protocol).toBe('chat')
    const big = Buffer.alloc(3 * 1024 * 1024, 'x')
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('hello')
    socket.send(big)
    expect(((await once(socket, 'message'))[0] as Buffer).equals(big)).toBe(true)
    const closed = Promise.withResolvers<number>()
    for (const one of app.server.clients) one.once('close', closed.resolve)
    socket.close(4001, 'enough')
    expect((await once(socket, 'close'))[0]).toBe(4001)
    expect(await closed.promise).toBe(4001)
  })

  it('tells one side when the other one is gone', async () => {
    const app = await echoServer()
    const { port, first } = await way(app.port)
    const dropped = webSocket(port)
    await once(dropped, 'open')
    for (const one of app.server.clients) one.terminate()
    await once(dropped, 'close')
    const dropping = webSocket(port)
    await once(dropping, 'open')
    const [seen] = app.server.clients
    const gone = once(seen!, 'close')
    dropping.terminate()
    await gone
    await expect.poll(() => first.serving.busy).toBe(0)
  })

  it('carries any other protocol, what the app says at once, and the end of the client', async () => {
    const app = await upstream({
      onRequest: (seen, c) => {
        expect(seen.headers.connection?.toLowerCase()).toBe('upgrade')
        expect(seen.headers.upgrade).toBe('talk')
        c.socket.allowHalfOpen = true
        c.socket.prependOnceListener('end', () => c.socket.end('bye'))
        c.send(`${SWITCH}welcome `)
      },
    })
    const client = await raw((await way(app.port)).port)
    client.send(UPGRADE)
    await client.until(() => client.received.endsWith('\r\n\r\nwelcome '))
    expect(client.received).toMatch(/^HTTP\/1.1 101 Switching Protocols\r\n/)
    expect(client.received).toMatch(/\r\nconnection: upgrade\r\nupgrade: talk\r\n/)
    client.socket.end('hello')
    await client.until(() => client.received.endsWith('welcome bye'))
    expect(app.connections[0]!.seen).toMatch(/\r\n\r\nhello$/)
    expect(await client.ended()).toBe('fin')
  })

  it('answers a refused upgrade like any request: 426 and 200, and the connection is used again', async () => {
    const app = await upstream({
      onRequest: (seen, c) => (seen.headers.upgrade === undefined ? c.answer(200, 'next') : c.answer(status, 'no')),
    })
    let status = 426
    const { port } = await way(app.port)
    const client = await raw(port)
    client.send(UPGRADE)
    expect(await client.answer()).toMatchObject({ status: 426, body: 'no' })
    status = 200
    client.send(UPGRADE)
    expect((await client.answers(2)).at(-1)).toMatchObject({ status: 200, body: 'no' })
    client.send('GET /next HTTP/1.1\r\nHost: callee.mesh\r\n\r\n')
    expect((await client.answers(3)).at(-1)).toMatchObject({ status: 200, body: 'next' })
  })

  it('never lets bytes behind a refused upgrade reach an app: not as its protocol, and not as a request', async () => {
    const app = await upstream({ onRequest: (_seen, c) => setTimeout(() => c.answer(400, 'no'), 50) })
    const client = await raw((await way(app.port)).port)
    client.send(`${UPGRADE}GET /smuggled HTTP/1.1\r\nHost: callee.mesh\r\n\r\n`)
    expect(await client.answer()).toMatchObject({ status: 400 })
    expect(await client.ended()).not.toBe('open')
    expect(app.requests.map(({ target }) => target)).toEqual(['/x'])
    expect(app.connections.map(({ seen }) => seen).join('')).not.toContain('smuggled')
  })

  it('hands early bytes to the app once it has taken the upgrade, and not before', async () => {
    const early: boolean[] = []
    const app = await upstream({
      onRequest: (_seen, c) =>
        setTimeout(() => {
          early.push(c.seen.includes('early'))
          c.send(SWITCH)
        }, 50),
    })
    const client = await raw((await way(app.port)).port)
    client.send(`${UPGRADE}early words`)
    await client.until(() => client.received.includes('101'))
    await expect.poll(() => app.connections[0]!.seen).toMatch(/\r\n\r\nearly words$/)
    expect(early).toEqual([false])
  })

  it('never passes h2c on, nor a 101 that nobody asked for', async () => {
    const app = await upstream({
      onRequest: (seen, c) => (seen.target === '/x' ? c.send(SWITCH) : c.answer(200, String(seen.headers.upgrade))),
    })
    const client = await raw((await way(app.port)).port)
    client.send(
      'GET /h2c HTTP/1.1\r\nHost: callee.mesh\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n',
    )
    expect(await client.answer()).toMatchObject({ status: 200, body: 'undefined' })
    client.send('GET /x HTTP/1.1\r\nHost: callee.mesh\r\n\r\n')
    expect((await client.answers(2)).at(-1)).toMatchObject({ status: 502 })
  })
})

describe('extended CONNECT from clients of HTTP/2', () => {
  const CONNECT = {
    ':method': 'CONNECT',
    ':protocol': 'talk',
    ':scheme': 'http',
    ':path': '/x',
    ':authority': 'callee.mesh',
  }

  it('becomes an upgrade at an app of HTTP/1.1, with a key for WebSocket that the client need not know of', async () => {
    const app = await echoServer()
    const client = await session((await oneHop(app.port)).port)
    expect(client.remoteSettings.enableConnectProtocol).toBe(true)
    const stream = client.request({ ...CONNECT, ':protocol': 'websocket' })
    const [head] = await once(stream, 'response')
    expect(head).toMatchObject({ ':status': 200 })
    // A masked text frame (RFC 6455, section 5.2): "hi" with a mask of zeros.
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]))
    expect([...((await once(stream, 'data'))[0] as Buffer)]).toEqual([0x81, 2, 0x68, 0x69])
    stream.destroy()
    await expect.poll(() => app.server.clients.size).toBe(0)
  })

  it('goes on as such to an app of HTTP/2 that offers it', async () => {
    const app = await startHttp2Server((stream, headers) => {
      expect(headers[':protocol']).toBe('talk')
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    app.server.updateSettings({ enableConnectProtocol: true })
    closers.push(() => app.close())
    const way = await oneHop(app.port, { protocol: 'http2' })
    const stream = (await session(way.port)).request(CONNECT)
    stream.setEncoding('utf8')
    stream.write('hello')
    expect((await once(stream, 'response'))[0]).toMatchObject({ ':status': 200 })
    expect((await once(stream, 'data'))[0]).toBe('hello')
    const client = await raw(way.port)
    client.send(`${UPGRADE}over http1`)
    await client.until(() => client.received.endsWith('\r\n\r\nover http1'))
  })

  it('is refused with 501 by an app of HTTP/2 that does not offer it', async () => {
    const app = await startHttp2Server((stream) => stream.respond({ ':status': 200 }))
    closers.push(() => app.close())
    const client = await raw((await oneHop(app.port, { protocol: 'http2' })).port)
    client.send(UPGRADE)
    expect((await client.answer()).status).toBe(501)
  })

  it('tells a client of HTTP/2 by 502 that the app answered 200 and took no upgrade', async () => {
    const app = await upstream({ onRequest: (_seen, c) => c.answer(200, 'no') })
    const stream = (await session((await oneHop(app.port)).port)).request(CONNECT)
    expect((await once(stream, 'response'))[0]).toMatchObject({ ':status': 502 })
  })

  it('stays 501 without a protocol: nobody tunnels through as through a proxy', async () => {
    const app = await upstream({})
    const stream = (await session((await oneHop(app.port)).port)).request({
      ':method': 'CONNECT',
      ':authority': 'callee.mesh:22',
    })
    expect((await once(stream, 'response'))[0]).toMatchObject({ ':status': 501 })
  })
})

describe('the time of an upgrade', () => {
  const talking = (): Promise<{ port: number; connections: readonly { socket: Socket }[] }> =>
    upstream({
      onRequest: (_seen, c) => {
        c.socket.allowHalfOpen = true
        c.socket.prependOnceListener('end', () => c.socket.end('bye'))
        c.send(SWITCH)
      },
    })

  it('outlives the request timeout, and ends when nothing moves', async () => {
    const app = await talking()
    const { port, first } = await oneHop(app.port, { requestMs: 100, idleMs: 300 })
    const client = await raw(port)
    client.send(UPGRADE)
    await client.until(() => client.received.includes('101'))
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      client.send('.')
    }
    expect(client.ending).toBe('open')
    expect(await client.ended(2_000)).not.toBe('open')
    expect(first.count('weft_request_errors_total', { reason: 'idle_timeout' })).toBe(1)
  })

  it('is bounded by the request timeout until it is taken', async () => {
    const app = await upstream({ onRequest() {} })
    const client = await raw((await oneHop(app.port, { requestMs: 150 })).port)
    client.send(UPGRADE)
    expect((await client.answer()).status).toBe(504)
  })

  it('is one line of the access log and one request of the metrics, with status 101', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'weft-upgrade-')), 'access.log')
    const app = await talking()
    const { port, first } = await oneHop(app.port, { path })
    const client = await raw(port)
    client.send(`${UPGRADE}12345`)
    await client.until(() => client.received.includes('101'))
    client.socket.end()
    await client.ended()
    expect(first.count('weft_requests_total', { status: '101' })).toBe(1)
    await first.accessLogs.close()
    expect(readFileSync(path, 'utf8')).toBe('HTTP/1.1 101 - 5 3\n')
  })
})

it('an upgrade is tried again where its instance can not be reached, and the early bytes go to the one that takes it', async () => {
  const app = await upstream({ onRequest: (_seen, c) => c.send(SWITCH) })
  const port = await freePort()
  const proxy = await startServing(
    oneWay(port, 1, { retry: retry(), cluster: { discovery: { kind: 'endpoints', node: 'app' } } }),
  )
  closers.push(() => proxy.close())
  const ports = [await freePort(), app.port]
  proxy.serving.updateEndpoints({
    node: 'app',
    revision: '1',
    endpoints: ports.map((one) => ({
      id: `e${one}`,
      address: '127.0.0.1',
      port: one,
      sidecar: null,
      state: 'ready' as const,
    })),
  })
  for (let i = 0; i < 6; i++) {
    const client = await raw(port)
    client.send(`${UPGRADE}early`)
    await client.until(() => client.received.includes('101'))
    await expect.poll(() => app.connections.at(-1)!.seen).toMatch(/\r\n\r\nearly$/)
    client.close()
  }
})

import { afterEach, describe, expect, it } from 'vitest'
import type { Cluster } from '../../runtime/model/snapshot.ts'
import { freePort } from '../support/free-port.ts'
import {
  connectFrames,
  DATA,
  END_STREAM,
  type Frame,
  type FrameClient,
  type FrameConnection,
  frame,
  HEADERS,
  PING,
  RST_STREAM,
  requestHead,
  startFrameServer,
} from '../support/http2-frames.ts'
import { openHttp2, requestHttp2, startHttp2Server } from '../support/http2-peers.ts'
import { connectRaw, type RawClient } from '../support/raw-client.ts'
import { startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { startServing } from '../support/running-serving.ts'
import { gateway, oneWay } from '../support/snapshots.ts'

const PROTOCOL_ERROR = 1
const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function gate(
  upstream: number,
  cluster: Partial<Cluster> = {},
  protocol: 'http' | 'http2' = 'http',
): Promise<number> {
  const port = await freePort()
  const way = oneWay(port, upstream, { cluster })
  const proxy = await startServing({ ...way, listeners: [gateway(port, { protocol })] })
  closers.push(() => proxy.close())
  return port
}

async function beforeHttp1(script: UpstreamScript = {}) {
  const app = await startUpstream(script)
  closers.push(() => app.close())
  return { app, port: await gate(app.port) }
}

async function beforeFrames(onFrame: (one: Frame, connection: FrameConnection) => void) {
  const app = await startFrameServer(onFrame)
  closers.push(() => app.close())
  return { app, port: await gate(app.port, { protocol: 'http2' }) }
}

async function frames(port: number): Promise<FrameClient> {
  const client = await connectFrames(port)
  closers.push(() => client.close())
  return client
}

async function http1(port: number, text: string): Promise<RawClient> {
  const raw = await connectRaw(port)
  closers.push(() => raw.close())
  raw.send(text)
  return raw
}

async function resetCode(client: FrameClient, id: number): Promise<number> {
  return (await client.next(RST_STREAM, id)).payload.readUInt32BE()
}

describe('a request that breaks the rules', () => {
  it('has no body where it said that there is none', async () => {
    const { app, port } = await beforeHttp1()
    const client = await frames(port)
    client.send(requestHead(1, 0, 'POST', ['content-length', '0']), frame(DATA, END_STREAM, 1, 'x'))
    expect(await resetCode(client, 1)).toBe(PROTOCOL_ERROR)
    client.send(requestHead(3, 0, 'POST', ['content-length', '2']), frame(DATA, END_STREAM, 3, 'x'))
    expect(await resetCode(client, 3)).toBe(PROTOCOL_ERROR)
    client.send(requestHead(5, 0, 'POST', ['content-length', '0']), frame(DATA, END_STREAM, 5))
    await client.next(HEADERS, 5)
    expect(app.requests.at(-1)!.body).toBe('')
  })
  it.each([
    ['a request line in its method', 'GET /admin HTTP/1.1', []],
    ['an upper-case field', 'GET', [['X-Upper', '1']]],
    ['a field of one HTTP/1 connection', 'GET', [['connection', 'close']]],
    ['transfer-encoding', 'POST', [['transfer-encoding', 'chunked']]],
    ['a line break in a value', 'GET', [['x-a', 'b\r\nx-c: d']]],
    ['te for more than trailers', 'GET', [['te', 'gzip']]],
    [':protocol, which was not offered', 'GET', [[':protocol', 'websocket']]],
    ['two names for one place', 'GET', [['host', 'other.test']]],
    [
      'two lengths',
      'POST',
      [
        ['content-length', '1'],
        ['content-length', '2'],
      ],
    ],
  ] as const)('is reset for %s', async (_what, method, more) => {
    const { app, port } = await beforeHttp1()
    const client = await frames(port)
    client.send(requestHead(1, END_STREAM, method, ...more))
    expect(await resetCode(client, 1)).toBe(PROTOCOL_ERROR)
    expect(app.requests.length).toBe(0)
  })
  it('is answered within the windows of its client only', async () => {
    const { port } = await beforeHttp1()
    const client = await connectFrames(port, Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]))
    closers.push(() => client.close())
    client.send(requestHead(1, END_STREAM, 'CONNECT'))
    await client.next(RST_STREAM, 1)
    expect(client.of(DATA, 1)).toEqual([])
  })
  it('never reaches a listener of HTTP/2 in HTTP/1.1', async () => {
    const { app } = await beforeHttp1()
    const raw = await http1(await gate(app.port, {}, 'http2'), 'GET / HTTP/1.1\r\nHost: web.test\r\n\r\n')
    await raw.ended()
    expect(raw.received).not.toContain('HTTP/1.1')
    expect(app.requests.length).toBe(0)
  })
})

describe('an answer that breaks the rules', () => {
  const answers: readonly (readonly [string, string, (id: number, c: FrameConnection) => void])[] = [
    ['DATA before its head', 'GET', (id, c) => c.send(frame(DATA, END_STREAM, id, 'HTTP/1.1 200 OK\r\n\r\n'))],
    ['an end before its head', 'GET', (id, c) => c.send(frame(DATA, END_STREAM, id))],
    ['no status', 'GET', (id, c) => c.head(id, END_STREAM, ['x-a', 'b'])],
    [
      'a line break in a value',
      'GET',
      (id, c) => c.head(id, END_STREAM, [':status', '200'], ['x-a', 'b\r\n\r\nsplit']),
    ],
    ['an end in an interim answer', 'GET', (id, c) => c.head(id, END_STREAM, [':status', '103'])],
  ]
  it.each(answers)('is a 502 for %s', async (_what, method, answer) => {
    const { port } = await beforeFrames(({ type, id }, c) => type === HEADERS && answer(id, c))
    const raw = await http1(port, `${method} / HTTP/1.1\r\nHost: web.test\r\n\r\n`)
    const [first] = await raw.answers(1, [method])
    expect(first).toMatchObject({ status: 502 })
    expect(raw.received).not.toContain('split')
  })
  it.each([
    ['HEAD', '200'],
    ['GET', '204'],
    ['GET', '304'],
  ])('is cut when it has a body after %s and %s', async (method, status) => {
    const { port } = await beforeFrames(({ type, id }, c) => {
      if (type !== HEADERS) return
      c.head(id, 0, [':status', status])
      c.send(frame(DATA, END_STREAM, id, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
    })
    const raw = await http1(port, `${method} / HTTP/1.1\r\nHost: web.test\r\n\r\n`)
    await raw.ended()
    expect(raw.received.match(/HTTP\/1\.1 /g)?.length).toBe(1)
  })
  it('is cut when it is shorter or longer than it said', async () => {
    const { port } = await beforeFrames(({ type, id }, c) => {
      if (type !== HEADERS) return
      c.head(id, 0, [':status', '200'], ['content-length', '5'])
      c.send(frame(DATA, END_STREAM, id, c.frames.length % 2 === 0 ? 'four' : 'sixsix'))
    })
    for (let i = 0; i < 2; i++) {
      const raw = await http1(port, 'GET / HTTP/1.1\r\nHost: web.test\r\n\r\n')
      await raw.ended()
      expect((await raw.answers(0))[0]!.complete).toBe(false)
    }
  })
})

describe('what travels between HTTP/1 and HTTP/2', () => {
  it('is every octet of a field value, both ways', async () => {
    const { app, port } = await beforeHttp1({ onRequest: (_seen, c) => c.answer(200, 'ok', 'X-Back: \xe4\xff\r\n') })
    const client = await frames(port)
    client.send(requestHead(1, END_STREAM, 'GET', ['x-there', '\xfc\x80']))
    expect((await client.next(HEADERS, 1)).payload.toString('latin1')).toContain('\xe4\xff')
    expect(app.requests[0]!.headers['x-there']).toBe('\xfc\x80')
  })
  it('is none of the fields of one HTTP/1 connection', async () => {
    const hop =
      'Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nUpgrade: h3\r\n'
    const { port } = await beforeHttp1({ onRequest: (_seen, c) => c.answer(200, 'ok', `${hop}X-End: 1\r\n`) })
    const session = await openHttp2(port)
    closers.push(() => session.destroy())
    const { headers } = await requestHttp2(session, { ':path': '/', ':authority': 'web.test' })
    expect(Object.keys(headers).sort()).toEqual([':status', 'content-length', 'x-end'])
  })
  it('is a request of HTTP/1.1 without its hop, with its name as :authority', async () => {
    const seen: Record<string, unknown>[] = []
    const app = await startHttp2Server((stream, headers) => {
      seen.push({ ...headers })
      stream.respond({ ':status': 200 }, { endStream: true })
    })
    closers.push(() => app.close())
    const port = await gate(app.port, { protocol: 'http2' })
    const raw = await http1(
      port,
      'GET /y HTTP/1.1\r\nHost: web.test\r\nTE: trailers, gzip\r\nConnection: te, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 1\r\n\r\n',
    )
    await raw.answer()
    expect(seen[0]).toMatchObject({ ':authority': 'web.test', ':path': '/y', 'x-end': '1' })
    for (const name of ['te', 'connection', 'x-hop', 'keep-alive', 'host']) expect(seen[0]).not.toHaveProperty(name)
  })
  it('ends with its connection for a client of HTTP/1.0', async () => {
    const app = await startHttp2Server((stream) => {
      stream.respond({ ':status': 200 })
      stream.end('whole')
    })
    closers.push(() => app.close())
    const raw = await http1(await gate(app.port, { protocol: 'http2' }), 'GET / HTTP/1.0\r\nHost: web.test\r\n\r\n')
    await raw.ended()
    expect(raw.received).toContain('whole')
    expect(raw.received).not.toContain('chunked')
  })
  it('is 100 (Continue), from either to either', async () => {
    const { port } = await beforeHttp1({ onRequest: (seen, c) => c.answer(200, seen.body) })
    const session = await openHttp2(port)
    closers.push(() => session.destroy())
    const answer = await requestHttp2(
      session,
      { ':method': 'POST', ':path': '/', ':authority': 'web.test', expect: '100-continue' },
      'body',
    )
    expect(answer).toMatchObject({ status: 200, body: 'body' })
    const app = await startHttp2Server((stream) => {
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    app.server.on('checkContinue', (request, response) => {
      response.writeContinue()
      request.pipe(response)
    })
    closers.push(() => app.close())
    const raw = await http1(
      await gate(app.port, { protocol: 'http2' }),
      'POST / HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n',
    )
    await raw.until(() => raw.received.includes('HTTP/1.1 '))
    raw.send('body')
    await raw.until(() => raw.received.includes('body'))
  })
  it('is the empty DATA of a body without content, which gRPC servers wait for', async () => {
    const { app, port } = await beforeFrames(({ flags, id }, c) => {
      if ((flags & END_STREAM) !== 0 && id !== 0) c.head(id, END_STREAM, [':status', '200'])
    })
    const client = await frames(port)
    client.send(requestHead(1, 0, 'POST'), frame(DATA, END_STREAM, 1))
    await client.next(HEADERS, 1)
    const sent = app.connections[0]!.frames.filter(({ id }) => id !== 0)
    expect(sent.map(({ type, flags }) => [type, flags & END_STREAM])).toEqual([
      [HEADERS, 0],
      [DATA, END_STREAM],
    ])
  })
  it('is answered PING by PING, though frames are cut in two', async () => {
    const { port } = await beforeHttp1()
    const client = await frames(port)
    const ping = frame(PING, 0, 0, '12345678')
    client.send(ping.subarray(0, 11))
    await new Promise((resolve) => setTimeout(resolve, 20))
    client.send(ping.subarray(11))
    expect((await client.next(PING)).payload.toString()).toBe('12345678')
  })
})

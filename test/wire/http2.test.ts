import type { ClientHttp2Session } from 'node:http2'
import { afterEach, describe, expect, it } from 'vitest'
import type { Cluster } from '../../runtime/model/snapshot.ts'
import { freePort } from '../support/free-port.ts'
import { openHttp2, requestHttp2, startHttp2Server } from '../support/http2-peers.ts'
import { connectRaw } from '../support/raw-client.ts'
import { startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay, retry } from '../support/snapshots.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const GET = { ':method': 'GET', ':path': '/x?y=1', ':authority': 'web.test' }
const POST = { ':method': 'POST', ':path': '/x', ':authority': 'web.test' }

/** A gateway before a server of HTTP/1.1, and a client of HTTP/2. */
async function beforeHttp1(script: UpstreamScript = {}, options: Parameters<typeof oneWay>[2] = {}) {
  const app = await startUpstream(script)
  closers.push(() => app.close())
  return { app, ...(await gateway(app.port, options)) }
}

/** A gateway before a server of HTTP/2, and a client of HTTP/2. */
async function beforeHttp2(
  onStream: Parameters<typeof startHttp2Server>[0],
  options: Parameters<typeof oneWay>[2] = {},
  protocol: Cluster['protocol'] = 'http2',
) {
  const app = await startHttp2Server(onStream)
  closers.push(() => app.close())
  const gate = await gateway(app.port, { ...options, cluster: { protocol, ...options.cluster } })
  return { app, ...gate }
}

async function gateway(
  upstream: number,
  options: Parameters<typeof oneWay>[2],
): Promise<{ port: number; proxy: RunningServing; session: ClientHttp2Session }> {
  const port = await freePort()
  const proxy = await startServing(oneWay(port, upstream, options))
  closers.push(() => proxy.close())
  const session = await openHttp2(port)
  closers.push(() => session.destroy())
  return { port, proxy, session }
}

describe('HTTP/2 from the client, HTTP/1.1 to the app', () => {
  it('carries a request and its answer', async () => {
    const { app, session } = await beforeHttp1({ onRequest: (_seen, c) => c.answer(200, 'hello', 'X-App: 1\r\n') })
    const answer = await requestHttp2(session, { ...GET, 'x-a': '1', cookie: 'a=1; b=2' })
    expect(answer).toMatchObject({ status: 200, body: 'hello' })
    expect(answer.headers['x-app']).toBe('1')
    const { target, headers, method } = app.requests[0]!
    expect({ method, target, host: headers.host, cookie: headers.cookie }).toEqual({
      method: 'GET',
      target: '/x?y=1',
      host: 'web.test',
      cookie: 'a=1; b=2',
    })
  })
  it('has one Host when the app breaks off and the request is sent again', async () => {
    const { app, session } = await beforeHttp1(
      { onRequest: (_seen, c) => (app.requests.length < 3 ? c.socket.destroy() : c.answer(200, 'hello')) },
      { retry: retry() },
    )
    expect(await requestHttp2(session, GET)).toMatchObject({ status: 200, body: 'hello' })
    expect(app.requests.map(({ head }) => head.match(/^host:.*/gim))).toEqual(Array(3).fill(['host: web.test']))
  })
  it('carries bodies without a length, and trailers both ways', async () => {
    const { app, session } = await beforeHttp1({
      onRequest: (seen, c) =>
        c.send(
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${seen.body}\r\n0\r\nX-Sum: ${seen.trailers}\r\n\r\n`,
        ),
    })
    const answer = await requestHttp2(session, POST, 'hello', { 'x-tail': '7' })
    expect(answer).toMatchObject({ status: 200, body: 'hello' })
    expect(String(answer.trailers['x-sum'])).toContain('7')
    expect(app.requests[0]!.headers['transfer-encoding']).toBe('chunked')
  })
  it('carries 3 MB both ways', async () => {
    const { session } = await beforeHttp1({ onRequest: (seen, c) => c.answer(200, seen.body) })
    const body = 'abcdefghij'.repeat(300_000)
    const answer = await requestHttp2(session, { ...POST, 'content-length': body.length }, body)
    expect(answer.body === body).toBe(true)
  })
  it('serves many requests at a time on one connection', async () => {
    const { session } = await beforeHttp1({ onRequest: (seen, c) => c.answer(200, seen.target) })
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => requestHttp2(session, { ...GET, ':path': `/${i}` })),
    )
    expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 200 }, (_, i) => `/${i}`))
  })
  it('answers HEAD, 204 and 304 without a body', async () => {
    const { session } = await beforeHttp1({
      onRequest: (seen, c) => {
        if (seen.method === 'HEAD') c.send('HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n')
        else c.send(`HTTP/1.1 ${seen.target.slice(1)} X\r\n\r\n`)
      },
    })
    const head = await requestHttp2(session, { ...GET, ':method': 'HEAD' })
    expect(head).toMatchObject({ status: 200, body: '' })
    expect(head.headers['content-length']).toBe('42')
    expect(await requestHttp2(session, { ...GET, ':path': '/204' })).toMatchObject({ status: 204, body: '' })
    expect(await requestHttp2(session, { ...GET, ':path': '/304' })).toMatchObject({ status: 304, body: '' })
  })
  it('carries a body that ends with its connection, and resets when it was cut', async () => {
    const { session } = await beforeHttp1({
      onRequest: (seen, c) => {
        c.send('HTTP/1.1 200 OK\r\n\r\nhalf')
        if (seen.target === '/whole') c.socket.end()
        else setTimeout(() => c.reset(), 30)
      },
    })
    expect(await requestHttp2(session, { ...GET, ':path': '/whole' })).toMatchObject({ status: 200, body: 'half' })
    const cut = await requestHttp2(session, { ...GET, ':path': '/cut' })
    expect(cut.resetCode).toBe(2)
  })
  it('answers what it can not route or take, and goes on', async () => {
    const { session } = await beforeHttp1({ onRequest: (_seen, c) => c.answer(200, 'fine') })
    // Node's client counts the text of fields alone; the limit counts 32 octets more for each.
    const many = Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [`x-${i}`, 'abcdefgh']))
    expect((await requestHttp2(session, { ...GET, ...many })).status).toBe(431)
    expect(await requestHttp2(session, { ...GET, ':method': 'CONNECT', ':path': undefined })).toMatchObject({
      status: 501,
    })
    expect((await requestHttp2(session, GET)).body).toBe('fine')
  })
})

describe('HTTP/2 from the client, HTTP/2 to the app', () => {
  it('carries a request, its answer, informational answers and trailers', async () => {
    const seen: unknown[] = []
    const { session } = await beforeHttp2((stream, headers) => {
      seen.push(headers[':authority'], headers[':path'], headers.te)
      stream.additionalHeaders({ ':status': 103, link: '</a>' })
      stream.respond({ ':status': 200, 'x-app': '1' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.pipe(stream)
    })
    const answer = await requestHttp2(session, { ...POST, te: 'trailers' }, 'hello', { 'x-tail': '1' })
    expect(answer).toMatchObject({ status: 200, body: 'hello' })
    expect(answer.trailers['grpc-status']).toBe('0')
    expect(seen).toEqual(['web.test', '/x', 'trailers'])
  })
  it('carries 3 MB both ways against small windows', async () => {
    const { session } = await beforeHttp2((stream) => {
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    const body = 'abcdefghij'.repeat(300_000)
    expect((await requestHttp2(session, POST, body)).body === body).toBe(true)
  })
  it('puts many requests on one connection upstream', async () => {
    const sessions = new Set<unknown>()
    const { proxy, session } = await beforeHttp2((stream, headers) => {
      sessions.add(stream.session)
      stream.respond({ ':status': 200 })
      setTimeout(() => stream.end(headers[':path']), 20)
    })
    const answers = await Promise.all(
      Array.from({ length: 80 }, (_, i) => requestHttp2(session, { ...GET, ':path': `/${i}` })),
    )
    expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 80 }, (_, i) => `/${i}`))
    expect(sessions.size).toBe(1)
    expect(proxy.count('weft_upstream_connections')).toBe(1)
  })
  it('tries a refused stream again, POST too, because it was not processed', async () => {
    let refused = 0
    const { session } = await beforeHttp2(
      (stream) => {
        if (refused++ === 0) return stream.close(7)
        stream.respond({ ':status': 200 })
        stream.pipe(stream)
      },
      { retry: retry() },
    )
    expect(await requestHttp2(session, POST, 'hello')).toMatchObject({ status: 200, body: 'hello' })
    expect(refused).toBe(2)
  })
  it('passes a reset of the client on', async () => {
    const closed = Promise.withResolvers<number>()
    const { session } = await beforeHttp2((stream) => {
      stream.on('close', () => closed.resolve(stream.rstCode))
    })
    const stream = session.request(POST)
    stream.on('error', () => {})
    stream.write('x')
    setTimeout(() => stream.close(8), 50)
    expect(await closed.promise).toBe(8)
  })
  it('stops reading from the app when the client does not read', async () => {
    let sent = 0
    const { session } = await beforeHttp2((stream) => {
      stream.respond({ ':status': 200 })
      const chunk = Buffer.alloc(64 * 1024)
      const more = (): void => {
        while (!stream.destroyed && sent < 64 * 1024 * 1024 && stream.write(chunk)) sent += chunk.length
      }
      stream.on('drain', more)
      more()
    })
    const stream = session.request(GET)
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('response', resolve))
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(sent).toBeLessThan(4 * 1024 * 1024)
    stream.close(8)
  })
})

describe('HTTP/1.1 from the client, HTTP/2 to the app', () => {
  it('carries a request and its answer, chunked where no length is known', async () => {
    const { port } = await beforeHttp2((stream, headers) => {
      stream.respond({ ':status': 200, 'x-host': headers[':authority'] ?? '' })
      stream.pipe(stream)
    })
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send('POST /x HTTP/1.1\r\nHost: web.test\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\nhello')
    const answer = await raw.answer('POST')
    expect(answer).toMatchObject({ status: 200, body: 'hello' })
    expect(answer.headers['x-host']).toBe('web.test')
    expect(answer.headers['transfer-encoding']).toBe('chunked')
  })
  it('says how long an answer without a body is', async () => {
    const { port } = await beforeHttp2((stream) => stream.respond({ ':status': 200 }, { endStream: true }))
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send('GET / HTTP/1.1\r\nHost: web.test\r\n\r\n')
    const answer = await raw.answer()
    expect(answer).toMatchObject({ status: 200, body: '' })
    expect(answer.headers['content-length']).toBe('0')
  })
  it('cuts the answer when the app resets it', async () => {
    const { port } = await beforeHttp2((stream) => {
      stream.respond({ ':status': 200 })
      stream.write('half')
      setTimeout(() => stream.destroy(new Error('cut')), 30)
    })
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send('GET / HTTP/1.1\r\nHost: web.test\r\n\r\n')
    await raw.ended()
    expect((await raw.answers(0))[0]!.complete).toBe(false)
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

let upstream: RawUpstream
let proxy: RunningServing
let port: number

beforeAll(async () => {
  upstream = await startUpstream({
    onRequest: (request, connection) => connection.answer(200, `${request.target}|${request.body}`),
  })
  port = await freePort()
  proxy = await startServing(oneWay(port, upstream.port))
})
afterAll(async () => {
  await proxy.close()
  upstream.close()
})

const TWO =
  'POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n' +
  'PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody'

describe('where a request is cut into packets makes no difference', () => {
  it('two pipelined requests in one packet are answered in order', async () => {
    const client = await connectRaw(port)
    client.send(TWO)
    const answers = await client.answers(2)
    expect(answers.map(({ body }) => body)).toEqual(['/1|hello world', '/2|body'])
    client.close()
  })

  it('one byte a packet', async () => {
    const client = await connectRaw(port)
    for (const byte of TWO) {
      client.send(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const answers = await client.answers(2)
    expect(answers.map(({ body }) => body)).toEqual(['/1|hello world', '/2|body'])
    client.close()
  })

  it('two packets, cut at any byte', async () => {
    await Promise.all(
      Array.from({ length: TWO.length - 1 }, async (_, i) => {
        const client = await connectRaw(port)
        client.send(TWO.slice(0, i + 1))
        await new Promise((resolve) => setTimeout(resolve, 5 + (i % 20)))
        client.send(TWO.slice(i + 1))
        const answers = await client.answers(2)
        expect(answers.map(({ body }) => body)).toEqual(['/1|hello world', '/2|body'])
        client.close()
      }),
    )
  })
})

it('1,000 pipelined requests are answered in order on one connection', async () => {
  const client = await connectRaw(port)
  const requests = Array.from({ length: 1000 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`)
  client.send(requests.join(''))
  const answers = await client.answers(1000, [], 15_000)
  expect(answers.map(({ body }) => body)).toEqual(requests.map((_, i) => `/${i}|`))
  client.close()
})

it('1,000 pipelined requests that the proxy answers itself are answered in order', async () => {
  const client = await connectRaw(port)
  client.send('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000))
  const answers = await client.answers(1000, [], 15_000)
  expect(answers.every(({ status }) => status === 404)).toBe(true)
  client.close()
})

it('a request behind one that is refused is not served', async () => {
  const client = await connectRaw(port)
  client.send(
    'GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  )
  await client.ended()
  const answers = await client.answers(2)
  expect(answers.map(({ status }) => status)).toEqual([200, 400])
  expect(upstream.seen).not.toContain('/smuggled')
  client.close()
})

it('a request behind Connection: close is not served', async () => {
  const client = await connectRaw(port)
  client.send('GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /beyond HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(await client.ended()).toBe('fin')
  const answers = await client.answers(1)
  expect(answers).toHaveLength(1)
  expect(answers[0]!.headers.connection).toBe('close')
  expect(upstream.seen).not.toContain('/beyond')
  client.close()
})

it('a client that pipelines for ever and never reads costs bounded memory', { timeout: 60_000 }, async () => {
  const client = await connectRaw(port)
  client.socket.pause()
  const before = process.memoryUsage().rss
  const served = upstream.requests.length
  const burst = Buffer.from('GET /never-read HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2000), 'latin1')
  let sent = 0
  const until = performance.now() + 4_000
  while (performance.now() < until && sent < 400_000_000) {
    if (client.socket.write(burst)) sent += burst.length
    else {
      sent += burst.length
      const drained = new Promise<boolean>((resolve) => client.socket.once('drain', () => resolve(true)))
      const stuck = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500))
      if (!(await Promise.race([drained, stuck]))) break
    }
  }
  // The kernel's buffers on loopback hold a few MB each way; beyond them, the sender must have been stopped.
  expect(performance.now()).toBeLessThan(until)
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
  expect(upstream.requests.length).toBeGreaterThan(served)
  let stopped = -1
  for (let look = 0; look < 200 && stopped !== upstream.requests.length; look++) {
    stopped = upstream.requests.length
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  expect(upstream.requests.length).toBe(stopped)
  client.close()
})

it('an empty line after a body, as old clients send it, does not begin a request', async () => {
  const client = await connectRaw(port)
  client.send('POST /old HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n')
  await client.answers(1)
  client.send('\r')
  await new Promise((resolve) => setTimeout(resolve, 20))
  client.send('\n')
  await new Promise((resolve) => setTimeout(resolve, 20))
  // What has begun no request is idle: a drain need not wait for it.
  expect(proxy.serving.busy).toBe(0)
  client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
  expect((await client.answers(2))[1]!.body).toBe('/next|')
  client.close()
})

describe('a sender that is too slow', () => {
  it('gets 408 for a head that is not complete after 10 s, once, and is counted once', {
    timeout: 15_000,
  }, async () => {
    const client = await connectRaw(port)
    client.send('GET / HTTP/1.1\r\nHost')
    const trickle = setInterval(() => client.send('a'), 500)
    expect(await client.ended(12_500)).toBe('fin')
    clearInterval(trickle)
    expect((await client.answer()).status).toBe(408)
    // The sweep passes once more while the connection lingers.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(proxy.count('weft_request_errors_total', { reason: 'request_timeout' })).toBe(1)
    expect(proxy.count('weft_downstream_connections_broken_total', { reason: 'slow_head' })).toBe(1)
    client.close()
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw, type RawClient } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { cluster, delegateRoute, forwardRoute, gateway, oneWay, retry, snapshot, table } from '../support/snapshots.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})
async function upstreamOf(script: UpstreamScript = {}): Promise<RawUpstream> {
  const upstream = await startUpstream(script)
  closers.push(() => upstream.close())
  return upstream
}
async function servingOf(one: Parameters<typeof startServing>[0]): Promise<RunningServing> {
  const proxy = await startServing(one)
  closers.push(() => proxy.close())
  return proxy
}
async function client(port: number): Promise<RawClient> {
  const raw = await connectRaw(port)
  closers.push(() => raw.close())
  return raw
}
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi'

/** A port that answers no SYN: its process is stopped and its queue of connections full. */
async function blackHole(): Promise<number> {
  const script = `const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    console.log(s.address().port); process.kill(process.pid, 'SIGSTOP') })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  closers.push(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(String(line))
  for (let i = 0; i < 8; i++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    closers.push(() => void socket.destroy())
  }
  await new Promise((resolve) => setTimeout(resolve, 100))
  return port
}

describe.skipIf(process.platform !== 'linux')('an upstream that answers no SYN', () => {
  it('is 503 after the connect timeout, with its reason', async () => {
    const hole = await blackHole()
    const port = await freePort()
    const proxy = await servingOf(oneWay(port, hole, { cluster: { connectTimeoutMs: 200 } }))
    const raw = await client(port)
    const began = performance.now()
    raw.send(POST)
    expect((await raw.answer('POST')).status).toBe(503)
    expect(performance.now() - began).toBeGreaterThan(190)
    expect(performance.now() - began).toBeLessThan(1_000)
    expect(proxy.count('weft_request_errors_total', { reason: 'connect_timeout' })).toBe(1)
    expect(proxy.count('weft_upstream_connections')).toBe(0)
  })
  it('costs no POST when there is another endpoint', async () => {
    const hole = await blackHole()
    const alive = await upstreamOf()
    const port = await freePort()
    const proxy = await servingOf(
      oneWay(port, 1, {
        retry: retry(),
        cluster: { connectTimeoutMs: 100, discovery: { kind: 'endpoints', node: 'app' } },
      }),
    )
    const endpoint = (id: string, at: number) =>
      ({ id, address: '127.0.0.1', port: at, sidecar: null, state: 'ready' }) as const
    proxy.serving.updateEndpoints({
      node: 'app',
      revision: '1',
      endpoints: [endpoint('hole', hole), endpoint('alive', alive.port)],
    })
    for (let i = 0; i < 6; i++) {
      const raw = await client(port)
      raw.send(POST)
      expect((await raw.answer('POST')).status).toBe(200)
    }
  })
  it('gives its place back when the client goes away while it is dialled', async () => {
    const hole = await blackHole()
    const port = await freePort()
    const proxy = await servingOf(oneWay(port, hole, { cluster: { connectTimeoutMs: 60_000 } }))
    const raw = await client(port)
    raw.send(GET)
    await raw.until(() => proxy.count('weft_upstream_connections') === 1)
    raw.close()
    await raw.until(() => proxy.count('weft_upstream_connections') === 0)
    expect(proxy.count('weft_requests_total', { status: '499' })).toBe(1)
  })
})

describe('a new snapshot', () => {
  const to = (port: number, upstream: number) =>
    snapshot({
      listeners: [gateway(port)],
      tables: [table('gate', [delegateRoute('all', 'web')]), table('web', [forwardRoute('all', `c${upstream}`)])],
      clusters: [cluster(`c${upstream}`, { port: upstream })],
    })
  it('is obeyed by the next request of a connection that stands, and what is under way ends as it began', async () => {
    const held: (() => void)[] = []
    const before = await upstreamOf({ onRequest: (_r, c) => void held.push(() => c.answer(200, 'before')) })
    const after = await upstreamOf({ onRequest: (_r, c) => c.answer(200, 'after') })
    const port = await freePort()
    const proxy = await servingOf(to(port, before.port))
    const raw = await client(port)
    raw.send(GET)
    await raw.until(() => held.length === 1)
    await proxy.serving.apply(to(port, after.port))
    await new Promise((resolve) => setTimeout(resolve, 20))
    raw.send(GET)
    for (const go of held) go()
    expect((await raw.answers(2)).map(({ body }) => body)).toEqual(['before', 'after'])
    await raw.until(() => before.open === 0)
  })
  it('with the same cluster keeps its connections', async () => {
    const upstream = await upstreamOf()
    const port = await freePort()
    const proxy = await servingOf(to(port, upstream.port))
    const raw = await client(port)
    for (let i = 1; i <= 5; i++) {
      raw.send(GET)
      await raw.answers(i)
      await proxy.serving.apply(to(port, upstream.port))
    }
    expect(upstream.connections).toHaveLength(1)
  })
})

it('a drain ends each connection with its next answer, and idle ones when told', async () => {
  const upstream = await upstreamOf()
  const port = await freePort()
  const proxy = await servingOf(oneWay(port, upstream.port))
  const [busy, idle] = [await client(port), await client(port)]
  idle.send(GET)
  await idle.answer()
  proxy.serving.drain()
  busy.send(GET)
  expect((await busy.answer()).headers.connection).toBe('close')
  expect(await busy.ended()).toBe('fin')
  expect(idle.ending).toBe('open')
  proxy.serving.closeIdle()
  expect(await idle.ended()).toBe('fin')
})

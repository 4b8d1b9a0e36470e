import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { UpstreamEndpoint } from '../../../../proxy-image/src/upstream/endpoint.ts'
import { HealthChecker, type HealthCheckerOptions } from '../../../../proxy-image/src/upstream/health.ts'
import type { HealthCheck } from '../../../../runtime/model/snapshot.ts'
import { startHttp2Server } from '../../../support/http2-peers.ts'

const POLICY: HealthCheck = {
  protocol: 'http',
  path: '/ping',
  port: null,
  intervalMs: 15,
  timeoutMs: 2000,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
  origin: { kind: 'virtual-node', name: 'orders' },
}

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** An app whose raw answer can be changed, and which remembers what it was asked. */
async function app(answer: string | null) {
  const state = { answer, requests: [] as string[], connections: 0, open: 0 }
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    state.connections++
    state.open++
    sockets.add(socket)
    socket.on('close', () => state.open--)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      state.requests.push(chunk.toString('latin1'))
      if (state.answer !== null) socket.write(state.answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const endpoint = new UpstreamEndpoint({ id: `e${port}`, address: '127.0.0.1', port, sidecar: null, state: 'ready' })
  return { state, endpoint, server }
}

/** A server of HTTP/2, and the endpoint that it is. */
async function http2App(onStream: Parameters<typeof startHttp2Server>[0]) {
  const { port, close } = await startHttp2Server(onStream)
  cleanups.push(close)
  return {
    endpoint: new UpstreamEndpoint({ id: `e${port}`, address: '127.0.0.1', port, sidecar: null, state: 'ready' }),
  }
}

const connect: HealthCheckerOptions<UpstreamEndpoint>['connect'] = (endpoint, port, signal) =>
  new Promise((resolve, reject) => {
    const socket = tcpConnect({ host: endpoint.address, port: port ?? endpoint.port, signal })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })

function check(endpoints: readonly UpstreamEndpoint[], options: Partial<HealthCheckerOptions<UpstreamEndpoint>> = {}) {
  const changes: string[] = []
  const checker = new HealthChecker({
    policy: POLICY,
    host: 'orders',
    connect,
    onChange: (endpoint) => changes.push(`${endpoint.id} ${endpoint.healthy}`),
    random: () => 0,
    ...options,
  })
  cleanups.push(() => checker.stop())
  checker.update(endpoints)
  return { checker, changes }
}

const until = (condition: () => boolean) => expect.poll(condition, { timeout: 5000, interval: 2 }).toBe(true)
const status = (line: string) => `HTTP/1.1 ${line}\r\ncontent-length: 0\r\n\r\n`

describe('an http health check', () => {
  it('asks the path of the policy with the name of the cluster as Host, on a connection of its own', async () => {
    const { state, endpoint } = await app(status('200 OK'))
    check([endpoint])
    await until(() => state.requests.length >= 3)
    expect(state.requests[0]).toMatch(/^GET \/ping HTTP\/1\.1\r\n/)
    expect(state.requests[0]).toMatch(/\r\nhost: orders\r\n/i)
    expect(state.connections).toBeGreaterThanOrEqual(3)
    await until(() => state.open <= 1)
    expect(endpoint.healthy).toBe(true)
  })

  it.each([
    ['204 No Content', status('204 No Content')],
    ['302 Found', status('302 Found')],
    ['503', status('503 Service Unavailable')],
    ['no HTTP', 'SSH-2.0-x\r\n'],
    ['an unasked-for upgrade', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['a head of 20 KiB', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`],
  ])('fails on %s', async (_title, answer) => {
    const { endpoint } = await app(answer)
    check([endpoint])
    await until(() => !endpoint.healthy)
  })

  it('does not wait for the body of the answer', async () => {
    const { state, endpoint } = await app('HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx')
    check([endpoint])
    await until(() => state.requests.length >= 3)
    expect(endpoint.healthy).toBe(true)
  })

  it('fails when there is no answer in time, and closes its connection', async () => {
    const { state, endpoint } = await app(null)
    check([endpoint], { policy: { ...POLICY, timeoutMs: 30, intervalMs: 10_000 } })
    await until(() => !endpoint.healthy)
    await until(() => state.open === 0)
  })

  it('takes a timeout that is off for the interval', async () => {
    const { endpoint } = await app(null)
    check([endpoint], { policy: { ...POLICY, timeoutMs: 0 } })
    await until(() => !endpoint.healthy)
  })
})

describe('the thresholds', () => {
  it('decide at once on the first check, and later only after so many results in a row', async () => {
    const good = status('200 OK')
    const bad = status('500 No')
    // Healthy again after 2 in a row, unhealthy after 3; the broken rows in between count for nothing.
    const script = [bad, good, bad, good, good, bad, bad, good, bad, bad, bad, bad]
    const { state, endpoint } = await app(good)
    const answered = state.requests.push.bind(state.requests)
    state.requests.push = (request: string) => {
      state.answer = script[state.requests.length] ?? bad
      return answered(request)
    }
    const seen: [healthy: boolean, checks: number][] = []
    check([endpoint], { onChange: ({ healthy }) => seen.push([healthy, state.requests.length]) })
    await until(() => state.requests.length >= script.length)
    expect(seen).toEqual([
      [false, 1],
      [true, 5],
      [false, 11],
    ])
  })
})

describe('a tcp health check', () => {
  it('passes when the connection opens, sending nothing', async () => {
    const { state, endpoint } = await app(null)
    check([endpoint], { policy: { ...POLICY, protocol: 'tcp' } })
    await until(() => state.connections >= 3)
    expect(endpoint.healthy).toBe(true)
    expect(state.requests).toEqual([])
  })

  it('fails when nobody listens', async () => {
    const { endpoint, server } = await app(null)
    await new Promise((resolve) => server.close(resolve))
    check([endpoint], { policy: { ...POLICY, protocol: 'tcp' } })
    await until(() => !endpoint.healthy)
  })
})

describe('an http2 health check', () => {
  it('asks the path of the policy, and follows the status', async () => {
    let status = 200
    const asked: unknown[] = []
    const { endpoint } = await http2App((stream, headers) => {
      asked.push([headers[':method'], headers[':path'], headers[':authority']])
      stream.respond({ ':status': status })
      stream.write('a body that goes on')
    })
    const { changes } = check([endpoint], { policy: { ...POLICY, protocol: 'http2' } })
    await until(() => asked.length >= 3)
    expect(asked[0]).toEqual(['GET', '/ping', 'orders'])
    status = 503
    await until(() => !endpoint.healthy)
    status = 200
    await until(() => endpoint.healthy)
    expect(changes).toEqual([`${endpoint.id} false`, `${endpoint.id} true`])
  })

  it('fails on what is no HTTP/2, and on silence', async () => {
    const other = await app('HTTP/1.1 400 Bad Request\r\n\r\n')
    const silent = await app(null)
    check([other.endpoint, silent.endpoint], { policy: { ...POLICY, protocol: 'http2', timeoutMs: 50 } })
    await until(() => !other.endpoint.healthy && !silent.endpoint.healthy)
  })
})

describe('a grpc health check', () => {
  const policy: HealthCheck = { ...POLICY, protocol: 'grpc', path: null }

  it('asks grpc.health.v1.Health/Check for the whole server, and takes SERVING alone for healthy', async () => {
    let serving = true
    const asked: unknown[] = []
    const { endpoint } = await http2App((stream, headers) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        asked.push([headers[':path'], headers['content-type'], Buffer.concat(chunks).toString('hex')])
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving ? 1 : 2]))
      })
    })
    check([endpoint], { policy })
    await until(() => asked.length >= 3)
    expect(asked[0]).toEqual(['/grpc.health.v1.Health/Check', 'application/grpc', '0000000000'])
    expect(endpoint.healthy).toBe(true)
    serving = false
    await until(() => !endpoint.healthy)
    serving = true
    await until(() => endpoint.healthy)
  })

  it('fails where the service is not there', async () => {
    const { endpoint } = await http2App((stream) => {
      const head = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }
      stream.respond(head, { endStream: true })
    })
    check([endpoint], { policy })
    await until(() => !endpoint.healthy)
  })
})

describe('the checker', () => {
  it('dials the port of the policy when there is one', async () => {
    const { endpoint } = await app(null)
    const asked: (number | null)[] = []
    const dial: typeof connect = (_endpoint, port) => {
      asked.push(port)
      return Promise.reject(new Error('refused'))
    }
    check([endpoint], { policy: { ...POLICY, port: 9000 }, connect: dial })
    await until(() => asked.length > 0)
    expect(asked[0]).toBe(9000)
  })

  it('checks exactly the endpoints it was last told', async () => {
    const one = await app(status('200 OK'))
    const two = await app(status('200 OK'))
    const { checker } = check([one.endpoint])
    await until(() => one.state.requests.length > 0)
    checker.update([two.endpoint])
    const asked = one.state.requests.length
    await until(() => two.state.requests.length >= 4)
    expect(one.state.requests.length).toBeLessThanOrEqual(asked + 1)
  })

  it('leaves no connection behind when it stops, and does not touch the endpoint any more', async () => {
    const { state, endpoint } = await app(null)
    const { checker, changes } = check([endpoint], { policy: { ...POLICY, timeoutMs: 60_000 } })
    await until(() => state.open === 1)
    checker.stop()
    await until(() => state.open === 0)
    checker.update([endpoint])
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(state.connections).toBe(1)
    expect(endpoint.healthy).toBe(true)
    expect(changes).toEqual([])
  })
})

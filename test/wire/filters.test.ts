import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { MiddlewareHandler } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpChain } from '../../proxy-image/src/chain/chain.ts'
import { HttpDoor } from '../../proxy-image/src/listen/door.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { ConnectionBreaks } from '../../proxy-image/src/telemetry/connection-breaks.ts'
import { Metrics } from '../../proxy-image/src/telemetry/metrics.ts'
import { ListenerMetrics, RequestMetrics } from '../../proxy-image/src/telemetry/request-metrics.ts'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import { UpstreamCluster } from '../../proxy-image/src/upstream/cluster.ts'
import { connectRaw } from '../support/raw-client.ts'
import { startUpstream } from '../support/raw-upstream.ts'
import { cluster as clusterSpec } from '../support/snapshots.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A listener with filters in front of one upstream. */
async function start(filters: readonly MiddlewareHandler[]) {
  const upstream = await startUpstream()
  const metrics = new Metrics()
  const cluster = new UpstreamCluster(clusterSpec('app', { port: upstream.port }), {
    identity: new WorkloadIdentity(),
    metrics,
    log: new Log('error'),
    actualPort: (designed) => designed,
  })
  const origin = { kind: 'default', name: 'default' } as const
  const counted = new RequestMetrics(metrics, { listener: 'test', route: 'all', cluster: 'app' })
  const plan = {
    route: 'all',
    targets: [{ cluster, weight: 1, metrics: counted }],
    totalWeight: 1,
    timeouts: { requestMs: 2_000, idleMs: 0, origin },
    retry: null,
  }
  const door = new HttpDoor(
    new HttpChain({
      listener: new ListenerMetrics(metrics, 'test'),
      unrouted: counted,
      logAccess: null,
      scheme: 'http',
      port: 80,
      edge: 'outbound',
      filters,
      choose: () => ({ plan, endpoint: null }),
    }),
    ConnectionBreaks.ofListener(metrics, new Log('error'), 'test'),
  )
  const server = createServer((socket) => door.take(socket, null)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await new Promise((resolve) => setTimeout(resolve, 5))
  closers.push(() => {
    server.close()
    door.closeAll()
    cluster.close()
    upstream.close()
  })
  return { upstream, port: (server.address() as AddressInfo).port }
}

describe('ordinary Hono middleware in front of a route', () => {
  it('stops a request with an answer of its own, and lets the next one pass', async () => {
    const { upstream, port } = await start([bearerAuth({ token: 'secret' })])
    const client = await connectRaw(port)
    client.send('GET /a HTTP/1.1\r\nHost: a\r\n\r\n')
    const refused = await client.answer()
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toContain('Bearer')
    expect(upstream.requests).toEqual([])
    client.send('GET /b HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n\r\n')
    expect((await client.answers(2))[1]!.status).toBe(200)
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/b'])
    client.close()
  })

  it('may take its time while the body arrives, and none of it is lost', async () => {
    const slow: MiddlewareHandler = async (_context, next) => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await next()
    }
    const { upstream, port } = await start([slow])
    const body = 'x'.repeat(300_000)
    const client = await connectRaw(port)
    client.send(`POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    expect((await client.answer('POST')).status).toBe(200)
    expect(upstream.requests[0]!.body).toHaveLength(body.length)
    client.close()
  })

  it('sees every HEAD as such, and its answer has no body', async () => {
    const { upstream, port } = await start([(_context, next) => next()])
    const client = await connectRaw(port)
    client.send('HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await client.answer('HEAD')).status).toBe(200)
    expect(upstream.requests[0]!.method).toBe('HEAD')
    client.close()
  })

  it('answers 500 when a filter throws, and goes on', async () => {
    const broken: MiddlewareHandler = async (context, next) => {
      if (context.req.header('x-break') !== undefined) throw new Error('broken filter')
      await next()
    }
    const { port } = await start([broken])
    const client = await connectRaw(port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\nX-Break: 1\r\n\r\n')
    expect(await client.answer()).toMatchObject({ status: 500 })
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await client.answers(2))[1]).toMatchObject({ status: 200 })
    client.close()
  })
})

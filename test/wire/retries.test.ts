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

const request = (method: string, body = ''): string =>
  `${method} / HTTP/1.1\r\nHost: a\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`

/** Two endpoints of one cluster, known by address and port. */
async function twoEndpoints(
  first: UpstreamScript,
  second: UpstreamScript,
  part: Parameters<typeof oneWay>[2] = {},
): Promise<{ upstreams: RawUpstream[]; proxy: RunningServing; port: number }> {
  const upstreams = [await upstreamOf(first), await upstreamOf(second)]
  const port = await freePort()
  const proxy = await servingOf(
    oneWay(port, 1, { ...part, cluster: { discovery: { kind: 'endpoints', node: 'app' }, ...part.cluster } }),
  )
  proxy.serving.updateEndpoints({
    node: 'app',
    revision: '1',
    endpoints: upstreams.map((one, i) => ({
      id: `e${i}`,
      address: '127.0.0.1',
      port: one.port,
      sidecar: null,
      state: 'ready' as const,
    })),
  })
  return { upstreams, proxy, port }
}

describe('what a policy retries', () => {
  const status = (code: number): UpstreamScript => ({ onRequest: (_r, c) => c.answer(code, 'bad') })
  const reset: UpstreamScript = { onRequest: (_r, c) => c.reset() }
  const close: UpstreamScript = { onRequest: (_r, c) => void c.socket.end() }
  const cases: readonly (readonly [string, UpstreamScript, Parameters<typeof retry>[0], string, boolean])[] = [
    ['5xx: 500', status(500), { on: ['5xx'] }, 'GET', true],
    ['5xx: 599', status(599), { on: ['5xx'] }, 'GET', true],
    ['5xx: not 404', status(404), { on: ['5xx'] }, 'GET', false],
    ['gateway-error: 502', status(502), { on: ['gateway-error'] }, 'GET', true],
    ['gateway-error: 504', status(504), { on: ['gateway-error'] }, 'GET', true],
    ['gateway-error: not 500', status(500), { on: ['gateway-error'] }, 'GET', false],
    ['gateway-error: not 505', status(505), { on: ['gateway-error'] }, 'GET', false],
    ['503', status(503), { on: ['503'] }, 'GET', true],
    ['503: not 502', status(502), { on: ['503'] }, 'GET', false],
    ['409', status(409), { on: ['409'] }, 'GET', true],
    ['409: not 503', status(503), { on: ['409'] }, 'GET', false],
    ['reset', reset, { on: ['reset'] }, 'GET', true],
    ['reset: a close without an answer', close, { on: ['reset'] }, 'DELETE', true],
    ['reset: not an answer', status(503), { on: ['reset'] }, 'GET', false],
    ['5xx includes resets, as in Envoy', reset, { on: ['5xx'] }, 'GET', true],
    ['409 does not include resets', reset, { on: ['409'] }, 'GET', false],
    ['nothing without an event', status(503), { on: [] }, 'GET', false],
    ['not a POST by default', status(503), { on: ['503'] }, 'POST', false],
    ['not a PATCH by default', reset, { on: ['reset'] }, 'PATCH', false],
    ['not a method that it does not know', reset, { on: ['reset'] }, 'get', false],
    ['PUT and DELETE, which are idempotent', status(503), { on: ['503'] }, 'PUT', true],
    ['POST when the user said any method', status(503), { on: ['503'], methods: 'any' }, 'POST', true],
    ['no retry of zero', status(503), { on: ['503'], maxRetries: 0 }, 'GET', false],
  ]
  it.each(cases)('%s', async (_name, bad, policy, method, retried) => {
    let asked = 0
    const script: UpstreamScript = {
      onRequest: (seen, connection) => {
        if (asked++ === 0) bad.onRequest!(seen, connection)
        else connection.answer()
      },
    }
    const { proxy, port } = await twoEndpoints(script, script, { retry: retry(policy) })
    const raw = await client(port)
    raw.send(request(method, method === 'GET' ? '' : 'body'))
    const answer = await raw.answer(method)
    expect(answer.status === 200).toBe(retried)
    expect(asked).toBe(retried ? 2 : 1)
    expect(proxy.count('weft_retries_total', { outcome: 'performed' })).toBe(retried ? 1 : 0)
  })
})

describe('how a retry goes', () => {
  it('to another endpoint when there is one', async () => {
    for (let round = 0; round < 10; round++) {
      const { upstreams, port } = await twoEndpoints(
        { onRequest: (_r, c) => c.answer(503, 'bad') },
        {},
        { retry: retry({ maxRetries: 1 }) },
      )
      const raw = await client(port)
      raw.send(request('GET'))
      expect((await raw.answer()).status).toBe(200)
      expect(upstreams[0]!.requests.length).toBeLessThan(2)
    }
  })
  it('at once, and with POST too, when nobody listened at the first endpoint', async () => {
    const { upstreams, proxy, port } = await twoEndpoints({}, {}, { retry: retry() })
    upstreams[0]!.close()
    for (let i = 0; i < 10; i++) {
      const raw = await client(port)
      raw.send(request('POST', 'hello'))
      expect((await raw.answer('POST')).status).toBe(200)
      raw.close()
    }
    expect(upstreams[1]!.requests.every(({ body }) => body === 'hello')).toBe(true)
    expect(upstreams[1]!.requests).toHaveLength(10)
    expect(proxy.count('weft_retries_total', { outcome: 'performed' })).toBeGreaterThan(0)
  })
  it('not when nobody listened, if the policy has refused streams alone, as in Envoy', async () => {
    const { upstreams, proxy, port } = await twoEndpoints({}, {}, { retry: retry({ on: ['refused-stream'] }) })
    for (const upstream of upstreams) upstream.close()
    const raw = await client(port)
    raw.send(request('GET'))
    expect((await raw.answer()).status).toBe(503)
    expect(proxy.count('weft_upstream_attempts_total', { outcome: 'connect_failed' })).toBe(1)
  })
  it('no more often than the policy says, and the last answer is passed on', async () => {
    const upstream = await upstreamOf({ onRequest: (_r, c) => c.answer(503, `try ${c.requests}`) })
    const port = await freePort()
    const proxy = await servingOf(oneWay(port, upstream.port, { retry: retry({ maxRetries: 3 }) }))
    const raw = await client(port)
    raw.send(request('GET'))
    expect((await raw.answer()).body).toMatch(/^try/)
    expect(upstream.requests).toHaveLength(4)
    expect(proxy.count('weft_retries_total', { outcome: 'limit_reached' })).toBe(1)
    expect(proxy.count('weft_requests_total', { status: '503' })).toBe(1)
    expect(proxy.count('weft_upstream_requests_total', { status: '503' })).toBe(4)
  })
  it('after the per-try timeout, which does not add up over the request timeout', async () => {
    let asked = 0
    const upstream = await upstreamOf({
      onRequest: (_r, c) => {
        if (asked++ > 0) c.answer()
      },
    })
    const port = await freePort()
    const proxy = await servingOf(
      oneWay(port, upstream.port, { retry: retry({ on: ['reset'], perTryTimeoutMs: 100 }) }),
    )
    const raw = await client(port)
    raw.send(request('GET'))
    expect((await raw.answer()).status).toBe(200)
    expect(proxy.count('weft_upstream_attempts_total', { outcome: 'per_try_timeout' })).toBe(1)
    await raw.until(() => upstream.open === 1)
  })
  it('with the body as it came, chunks and trailers too', async () => {
    const bodies: string[] = []
    const upstream = await upstreamOf({
      onRequest: (seen, connection) => {
        bodies.push(`${seen.body}|${seen.trailers}`)
        if (bodies.length === 1) connection.answer(503, 'no')
        else connection.answer()
      },
    })
    const port = await freePort()
    await servingOf(oneWay(port, upstream.port, { retry: retry() }))
    const raw = await client(port)
    raw.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    await new Promise((resolve) => setTimeout(resolve, 20))
    raw.send('4\r\ndefg\r\n0\r\nX-Sum: 9\r\n\r\n')
    expect((await raw.answer('PUT')).status).toBe(200)
    expect(bodies).toEqual(['abcdefg|X-Sum: 9', 'abcdefg|X-Sum: 9'])
  })
  it('with a body whose rest comes only after the first attempt has failed', async () => {
    let connections = 0
    const upstream = await upstreamOf({
      onBytes: (connection) => {
        if (connection === upstream.connections[0]) {
          if (connections++ === 0) connection.reset()
          return
        }
        const seen = connection.take()
        if (seen === undefined) return
        upstream.requests.push(seen)
        connection.answer()
      },
    })
    const port = await freePort()
    await servingOf(oneWay(port, upstream.port, { retry: retry({ on: ['reset'] }) }))
    const raw = await client(port)
    raw.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst')
    await raw.until(() => upstream.connections[0]?.closed === true)
    raw.send('later')
    expect((await raw.answer('PUT')).status).toBe(200)
    expect(upstream.requests[0]!.body).toBe('firstlater')
  })
  it.each([
    [64 * 1024, 200, 2],
    [64 * 1024 + 1, 503, 1],
  ])('a body of %i bytes', async (bytes, status, attempts) => {
    let asked = 0
    const upstream = await upstreamOf({
      onRequest: (_r, connection) => {
        if (asked++ === 0) connection.answer(503, 'no')
        else connection.answer()
      },
    })
    const port = await freePort()
    const proxy = await servingOf(oneWay(port, upstream.port, { retry: retry() }))
    const raw = await client(port)
    raw.send(request('PUT', 'x'.repeat(bytes)))
    expect((await raw.answer('PUT')).status).toBe(status)
    expect(asked).toBe(attempts)
    expect(upstream.requests.every(({ body }) => body.length === bytes)).toBe(true)
    expect(proxy.count('weft_retries_total', { outcome: 'not_replayable' })).toBe(status === 200 ? 0 : 1)
  })
  it('not after the head of an answer went out', async () => {
    const upstream = await upstreamOf({
      onRequest: (_r, connection) => {
        connection.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')
        setTimeout(() => connection.reset(), 20)
      },
    })
    const port = await freePort()
    await servingOf(oneWay(port, upstream.port, { retry: retry({ on: ['reset', '5xx'] }) }))
    const raw = await client(port)
    raw.send(request('GET'))
    await raw.ended()
    expect(upstream.requests).toHaveLength(1)
  })
})

it('retries of 200 clients whose upstream always fails stay within the budget', async () => {
  const upstream = await upstreamOf({ onRequest: (_r, c) => setTimeout(() => c.answer(503, 'no'), 5) })
  const port = await freePort()
  const proxy = await servingOf(oneWay(port, upstream.port, { retry: retry({ maxRetries: 3 }) }))
  let sent = 0
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      const raw = await client(port)
      for (let i = 1; i <= 10; i++) {
        sent++
        raw.send(request('GET'))
        expect((await raw.answers(i, [], 15_000)).at(-1)!.status).toBe(503)
      }
    }),
  )
  const attempts = proxy.count('weft_upstream_attempts_total')
  expect(attempts).toBe(upstream.requests.length)
  expect(attempts).toBeGreaterThan(sent)
  // The snapshot's 20 %, and 10 a second in a window of 10 s.
  expect(attempts).toBeLessThanOrEqual(1.2 * sent + 100)
  expect(proxy.count('weft_retries_total', { outcome: 'budget_exhausted' })).toBeGreaterThan(0)
})

describe('weights', () => {
  async function split(weights: Readonly<Record<string, number>>) {
    const a = await upstreamOf()
    const b = await upstreamOf()
    const port = await freePort()
    const proxy = await servingOf(
      snapshot({
        listeners: [gateway(port)],
        tables: [table('gate', [delegateRoute('all', 'web')]), table('web', [forwardRoute('split', weights)])],
        clusters: [cluster('a', { port: a.port }), cluster('b', { port: b.port })],
      }),
    )
    const raw = await client(port)
    return { a, b, proxy, raw }
  }
  it('90 to 10 holds over 2,000 requests', { timeout: 60_000 }, async () => {
    const { a, b, raw } = await split({ a: 90, b: 10 })
    raw.send(request('GET').repeat(2000))
    await raw.answers(2000, [], 40_000)
    expect(a.requests.length + b.requests.length).toBe(2000)
    // Standard deviation 13.4: five of them, so that chance fails this once in a million runs.
    expect(Math.abs(b.requests.length - 200)).toBeLessThan(67)
  })
  it('0 gets nothing', async () => {
    const { b, raw } = await split({ a: 1, b: 0 })
    raw.send(request('GET').repeat(300))
    await raw.answers(300)
    expect(b.requests).toHaveLength(0)
  })
  it('0 everywhere is 503', async () => {
    const { proxy, raw } = await split({ a: 0, b: 0 })
    raw.send(request('GET'))
    expect((await raw.answer()).status).toBe(503)
    expect(proxy.count('weft_request_errors_total', { reason: 'no_target' })).toBe(1)
  })
})

describe('protection', () => {
  it('an endpoint that fails is ejected, and comes back after its time', async () => {
    const { upstreams, proxy, port } = await twoEndpoints(
      { onRequest: (_r, c) => c.answer(500, 'bad') },
      {},
      {
        cluster: {
          outlierDetection: {
            maxServerErrors: 3,
            intervalMs: 10_000,
            baseEjectionMs: 400,
            maxEjectionPercent: 50,
            origin: { kind: 'default', name: 'default' },
          },
        },
      },
    )
    const raw = await client(port)
    raw.send(request('GET').repeat(100))
    await raw.answers(100)
    expect(upstreams[0]!.requests).toHaveLength(3)
    expect(proxy.count('weft_outlier_ejections_total')).toBe(1)
    upstreams[0]!.script = {}
    await new Promise((resolve) => setTimeout(resolve, 450))
    raw.send(request('GET').repeat(100))
    await raw.answers(200)
    expect(upstreams[0]!.requests.length).toBeGreaterThan(20)
  })

  it('maxConnections and maxPendingRequests: the rest gets 503 at once', async () => {
    const held: (() => void)[] = []
    const upstream = await upstreamOf({ onRequest: (_r, c) => void held.push(() => c.answer()) })
    const port = await freePort()
    const proxy = await servingOf(
      oneWay(port, upstream.port, {
        retry: retry(),
        cluster: { limits: { maxConnections: 2, maxPendingRequests: 3, maxRequests: null } },
      }),
    )
    const raws = await Promise.all(Array.from({ length: 8 }, () => client(port)))
    for (const raw of raws) raw.send(request('GET'))
    await raws[0]!.until(() => raws.filter(({ received }) => received !== '').length === 3)
    expect(upstream.connections).toHaveLength(2)
    expect(proxy.count('weft_request_errors_total', { reason: 'overflow' })).toBe(3)
    expect(proxy.count('weft_upstream_pending')).toBe(3)
    // The limit is the whole cluster's: trying again would only add to the crowd.
    expect(proxy.count('weft_retries_total')).toBe(0)
    const release = setInterval(() => {
      for (const go of held.splice(0)) go()
    }, 5)
    const statuses = await Promise.all(raws.map(async (raw) => (await raw.answer()).status))
    clearInterval(release)
    expect(statuses.sort()).toEqual([200, 200, 200, 200, 200, 503, 503, 503])
    expect(upstream.connections).toHaveLength(2)
    expect(proxy.count('weft_upstream_pending')).toBe(0)
  })

  it('a client that goes away gives its place in the queue and its connection back', async () => {
    const upstream = await upstreamOf({ onRequest() {} })
    const port = await freePort()
    const proxy = await servingOf(
      oneWay(port, upstream.port, {
        cluster: { limits: { maxConnections: 1, maxPendingRequests: 1, maxRequests: null } },
      }),
    )
    const [first, second] = [await client(port), await client(port)]
    first.send(request('GET'))
    await first.until(() => upstream.requests.length === 1)
    second.send(request('GET'))
    await first.until(() => proxy.count('weft_upstream_pending') === 1)
    second.close()
    await first.until(() => proxy.count('weft_upstream_pending') === 0)
    upstream.script = {}
    first.close()
    await first.until(() => upstream.open === 0)
    const third = await client(port)
    third.send(request('GET'))
    expect((await third.answer()).status).toBe(200)
    expect(proxy.count('weft_upstream_connections')).toBe(1)
  })

  // The pools of one cluster share its limit, but an idle connection of one keeps its place from those who wait at another.
  it('requests that wait for one endpoint take the place that another one frees', async () => {
    const held: (() => void)[] = []
    const script: UpstreamScript = { onRequest: (_r, c) => void held.push(() => c.answer()) }
    const { upstreams, port } = await twoEndpoints(script, script, {
      cluster: { limits: { maxConnections: 1, maxPendingRequests: 100, maxRequests: null } },
    })
    const raws = await Promise.all(Array.from({ length: 12 }, () => client(port)))
    for (const raw of raws) raw.send(request('GET'))
    const release = setInterval(() => {
      for (const go of held.splice(0)) go()
    }, 2)
    closers.push(() => clearInterval(release))
    await Promise.all(raws.map((raw) => raw.answer('GET', 3_000)))
    expect(upstreams.every(({ requests }) => requests.length > 0)).toBe(true)
  })
})

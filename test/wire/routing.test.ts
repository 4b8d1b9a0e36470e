import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Route } from '../../runtime/model/snapshot.ts'
import { freePort } from '../support/free-port.ts'
import { connectRaw } from '../support/raw-client.ts'
import { type RawUpstream, type SeenRequest, startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { cluster, delegateRoute, forwardRoute, gateway, outbound, snapshot, table } from '../support/snapshots.ts'

let upstream: RawUpstream
let outside: RawUpstream
let proxy: RunningServing
let gate: number
let out: number

const header = (name: string, value: string, invert = false) => ({ kind: 'exact' as const, name, value, invert })

/** Routes of the virtual service; each forwards to a cluster of its own name. */
const ROUTES: readonly Route[] = [
  forwardRoute('post', 'post', { match: { method: 'POST', path: { kind: 'prefix', value: '/orders' } } }),
  forwardRoute('exact', 'exact', { match: { path: { kind: 'exact', value: '/exact' } } }),
  forwardRoute('regex', 'regex', { match: { path: { kind: 'regex', value: '/users/[0-9]+' } } }),
  forwardRoute('beta', 'beta', { match: { headers: [header('x-beta', 'yes')] } }),
  forwardRoute('range', 'range', {
    match: { headers: [{ kind: 'range', name: 'x-age', start: 18, end: 30, invert: false }] },
  }),
  forwardRoute('query', 'query', { match: { query: [{ name: 'version', exact: '2' }] } }),
  forwardRoute('present', 'present', { match: { headers: [{ kind: 'present', name: 'x-any', invert: false }] } }),
  forwardRoute('rest', 'rest', { match: { path: { kind: 'prefix', value: '/shop' } } }),
]

beforeAll(async () => {
  upstream = await startUpstream()
  outside = await startUpstream()
  gate = await freePort()
  out = await freePort()
  const gateRoutes: readonly Route[] = [
    delegateRoute('host', 'web', {
      match: { host: { kind: 'exact', value: 'shop.example' } },
      host: 'inner.mesh',
    }),
    delegateRoute('suffix', 'web', { match: { host: { kind: 'suffix', value: '.apps.example' } } }),
    delegateRoute('prefix', 'web', {
      match: { path: { kind: 'prefix', value: '/api/' } },
      path: { kind: 'prefix', from: '/api/', to: '/' },
    }),
    delegateRoute('strip', 'web', {
      match: { path: { kind: 'prefix', value: '/v1' } },
      path: { kind: 'prefix', from: '/v1', to: '/' },
    }),
    delegateRoute('replace', 'web', {
      match: { path: { kind: 'exact', value: '/home' } },
      path: { kind: 'exact', value: '/shop/index' },
    }),
  ]
  proxy = await startServing(
    snapshot({
      listeners: [
        gateway(gate),
        outbound(out, [{ names: ['web.mesh', 'web'], table: 'web' }], {
          suffixes: ['127.0.0.1', '[::1]', 'localhost'],
        }),
      ],
      tables: [table('gate', gateRoutes), table('web', ROUTES, [80, 8080])],
      clusters: [
        ...ROUTES.map(({ name }) => cluster(name, { port: upstream.port })),
        cluster('egress', { port: 1, discovery: { kind: 'passthrough' } }),
      ],
    }),
  )
})
afterAll(async () => {
  await proxy.close()
  upstream.close()
  outside.close()
})

/** Sends one request and says which route took it, and what the upstream saw. */
async function send(port: number, bytes: string): Promise<{ status: number; route: string; seen?: SeenRequest }> {
  const before = new Map(
    ROUTES.map(({ name }) => [name, proxy.count('weft_upstream_attempts_total', { cluster: name })]),
  )
  const had = upstream.requests.length
  const client = await connectRaw(port)
  client.send(bytes)
  const { status } = await client.answer()
  client.close()
  const took = ROUTES.find(
    ({ name }) => proxy.count('weft_upstream_attempts_total', { cluster: name }) > before.get(name)!,
  )
  const seen = upstream.requests.length > had ? upstream.requests.at(-1) : undefined
  return { status, route: took?.name ?? 'none', ...(seen === undefined ? {} : { seen }) }
}

const request = (target: string, { method = 'GET', host = 'web.mesh', fields = '' } = {}): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`

describe('the app calls a virtual service by Host', () => {
  it.each([
    [request('/orders/1', { method: 'POST' }), 'post'],
    [request('/orders/1', { method: 'post' }), 'none'],
    [request('/exact'), 'exact'],
    [request('/exact?a=1'), 'exact'],
    [request('/exact/'), 'none'],
    [request('/users/42'), 'regex'],
    [request('/users/42/x'), 'none'],
    [request('/a', { fields: 'X-Beta: yes\r\n' }), 'beta'],
    [request('/a', { fields: 'x-beta:yes\r\n' }), 'beta'],
    [request('/a', { fields: 'X-Beta: yes\r\nX-Beta: yes\r\n' }), 'none'],
    [request('/a', { fields: 'X-Beta: Yes\r\n' }), 'none'],
    [request('/a', { fields: 'X-Age: 18\r\n' }), 'range'],
    [request('/a', { fields: 'X-Age: 30\r\n' }), 'none'],
    [request('/a?version=2'), 'query'],
    [request('/a?x=1&version=2'), 'query'],
    [request('/a?version=21'), 'none'],
    [request('/a', { fields: 'X-Any:\r\n' }), 'present'],
    [request('/shop'), 'rest'],
    [request('/a'), 'none'],
    [request('/shop', { host: 'WEB.Mesh:80' }), 'rest'],
    [request('/shop', { host: 'web:8080' }), 'rest'],
    [request('/shop', { host: 'web.mesh.' }), 'rest'],
    [request('/shop', { host: 'web.mesh.:80' }), 'rest'],
    [request('http://web.mesh/shop', { host: 'ignored.example' }), 'rest'],
  ])('%j goes to %s', async (bytes, route) => {
    const result = await send(out, bytes)
    expect(result.route).toBe(route)
    expect(result.status).toBe(route === 'none' ? 404 : 200)
  })
  it('a Host outside of the mesh that the egress filter does not name is 403, and says what to do', async () => {
    const client = await connectRaw(out)
    client.send(request('/', { host: 'example.org' }))
    const answer = await client.answer()
    expect(answer.status).toBe(403)
    expect(answer.body).toContain('egress')
    client.close()
  })
  it('an https target outside of the mesh is refused, and never sent in the clear', async () => {
    const client = await connectRaw(out)
    client.send(request(`https://127.0.0.1:${outside.port}/secret`, { host: 'whatever' }))
    expect((await client.answer()).status).toBe(501)
    expect(outside.requests).toEqual([])
    client.close()
  })
  it('a Host outside of the mesh that the egress filter names is reached on its port', async () => {
    const client = await connectRaw(out)
    client.send(request(`http://127.0.0.1:${outside.port}/beyond`, { host: 'whatever' }))
    expect((await client.answer()).status).toBe(200)
    expect(outside.requests[0]!.target).toBe('/beyond')
    expect(outside.requests[0]!.headers.host).toBe(`127.0.0.1:${outside.port}`)
    client.close()
  })
  it.each(['127.0.0.1', 'localhost'])(
    'a request for the proxy itself, as %s, does not go round in a circle',
    async (host) => {
      const client = await connectRaw(out)
      client.send(request('/', { host: `${host}:${out}` }))
      expect((await client.answer()).status).toBe(421)
      expect(proxy.count('weft_upstream_connections', { cluster: 'egress' })).toBeLessThan(3)
      client.close()
    },
  )
  it('a Host that is an IPv6 literal is dialled without its brackets', async () => {
    const six = await startUpstream({}, { host: '::1' })
    const client = await connectRaw(out)
    client.send(request('/six', { host: `[::1]:${six.port}` }))
    expect((await client.answer()).status).toBe(200)
    expect(six.requests[0]!.headers.host).toBe(`[::1]:${six.port}`)
    client.close()
    six.close()
  })
  it('adds an ID when there is none, keeps the one it gets, and no forwarding fields', async () => {
    const fresh = (await send(out, request('/shop'))).seen!.headers
    expect(fresh['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(fresh['x-forwarded-for']).toBeUndefined()
    const kept = (await send(out, request('/shop', { fields: 'X-Request-ID: mine\r\n' }))).seen!.headers
    expect(kept['x-request-id']).toBe('mine')
  })
})

describe('the gateway', () => {
  it.each([
    ['shop.example', '/shop/1?q=1', 'inner.mesh', '/shop/1?q=1'],
    ['SHOP.example:8080', '/shop', 'inner.mesh', '/shop'],
    ['a.apps.example', '/shop', 'a.apps.example', '/shop'],
    ['other', '/api/shop/2?x=%2F', 'other', '/shop/2?x=%2F'],
    ['other', '/v1/shop', 'other', '/shop'],
    ['other', '/home?keep=1', 'other', '/shop/index?keep=1'],
    ['other', '/home?', 'other', '/shop/index?'],
  ])('%s %s becomes %s %s', async (host, target, newHost, newTarget) => {
    const { status, seen } = await send(gate, request(target, { host }))
    expect(status).toBe(200)
    expect(seen!.headers.host).toBe(newHost)
    expect(seen!.target).toBe(newTarget)
    expect(seen!.head.match(/^host:/gim)).toHaveLength(1)
  })
  it('rewrites the host of an absolute target once', async () => {
    const { seen } = await send(gate, request('http://shop.example/shop', { host: 'wrong.example' }))
    expect(seen!.head.match(/^host:.*$/gim)).toEqual(['host: inner.mesh'])
  })
  it.each([
    ['apps.example', '/shop'],
    ['.apps.example', '/shop'],
    ['other', '/unknown'],
    ['shop.example', '/nothing-inside'],
  ])('%s %s is 404', async (host, target) => {
    expect(await send(gate, request(target, { host }))).toEqual({ status: 404, route: 'none' })
  })
  it('routes by the rewritten path', async () => {
    expect((await send(gate, request('/api/users/7', { host: 'x' }))).route).toBe('regex')
  })
  it('says who asked and how', async () => {
    const first = (await send(gate, request('/shop', { host: 'shop.example' }))).seen!.headers
    expect(first['x-forwarded-for']).toBe('127.0.0.1')
    expect(first['x-forwarded-proto']).toBe('http')
    expect(first['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    const behind = (
      await send(
        gate,
        request('/shop', {
          host: 'shop.example',
          fields: 'X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n',
        }),
      )
    ).seen!.headers
    expect(behind['x-forwarded-for']).toBe('10.0.0.1, 10.0.0.2, 127.0.0.1')
    expect(behind['x-forwarded-proto']).toBe('https')
  })
  it('leaves the order and the spelling of all other fields alone', async () => {
    const fields = 'Zeta: 1\r\naLpHa:2\r\nZeta:   3  \r\nEmpty:\r\n'
    const { seen } = await send(gate, request('/shop', { host: 'shop.example', fields }))
    expect(seen!.head).toContain(fields.trimEnd())
  })
})

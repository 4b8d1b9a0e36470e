import type { Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createAdminApp, createMetricsApp } from '../../../../proxy-image/src/admin/app.ts'
import { listenAdmin } from '../../../../proxy-image/src/admin/listen.ts'
import type { AdminView } from '../../../../proxy-image/src/admin/view.ts'
import type { LogLevel } from '../../../../proxy-image/src/log.ts'
import type { Snapshot } from '../../../../runtime/model/snapshot.ts'

const NOW = Date.UTC(2026, 10, 23, 12)

/** A proxy as the admin pages see it; `acts` is what they made it do. */
function proxy(over: Partial<AdminView> = {}): AdminView & { acts: string[] } {
  const acts: string[] = []
  let level: LogLevel = 'info'
  return {
    acts,
    version: '0.1.0',
    subject: { kind: 'virtual-node', mesh: 'shop', name: 'orders' },
    startedAtMs: NOW - 61_500,
    state: () => 'LIVE',
    notReady: () => [],
    metrics: () => '# TYPE weft_sync_failures_total counter\nweft_sync_failures_total 0\n',
    snapshot: () => ({ schema: 1, revision: 'r7' }) as unknown as Snapshot,
    endpoints: () => [{ node: 'cart', revision: 'e1', endpoints: [] }],
    clusters: () => [
      {
        name: 'cart:8080',
        activeRequests: 3,
        pendingRequests: 1,
        endpoints: [
          {
            address: '10.0.1.7:15000',
            health: 'healthy',
            activeRequests: 3,
            activeConnections: 2,
            requests: 90,
            failures: 0,
          },
          {
            address: '10.0.1.8:15000',
            health: 'ejected',
            activeRequests: 0,
            activeConnections: 0,
            requests: 9,
            failures: 5,
          },
        ],
      },
    ],
    certificates: () => [
      {
        source: 'mesh',
        subject: '',
        uris: ['spiffe://shop.weft.internal/shop/orders'],
        serialNumber: '0a1b',
        notBeforeMs: NOW - 3_600_000,
        notAfterMs: NOW + 36 * 3_600_000,
      },
    ],
    drainListeners: () => acts.push('drain'),
    failHealthcheck: (fail) => acts.push(`healthcheck ${fail ? 'fail' : 'ok'}`),
    logLevel: () => level,
    setLogLevel: (to) => {
      level = to
    },
    ...over,
  }
}

const call = (view: AdminView, url: string, init: { method?: string; host?: string; origin?: string } = {}) => {
  const { method = 'GET', ...headers } = init
  return createAdminApp(view)({ method, url, headers: { host: '127.0.0.1:9901', ...headers } })
}

afterEach(() => void vi.useRealTimers())

describe('the admin pages', () => {
  it.each(['/', '/server_info', '/config_dump', '/clusters', '/clusters?format=json', '/certs'])(
    'show %s as operators know it',
    (path) => {
      vi.useFakeTimers({ now: NOW, toFake: ['Date'] })
      const { status, type, body } = call(proxy(), path)
      expect(status).toBe(200)
      expect(type === 'application/json' ? JSON.parse(body) : body).toMatchSnapshot()
    },
  )

  it.each(['/metrics', '/stats/prometheus'])('serve metrics at %s with the type that scrapers ask for', (path) => {
    const { type, body } = call(proxy(), path)
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(body).toBe(proxy().metrics())
  })

  it('say LIVE when the proxy serves', () => {
    expect(call(proxy(), '/ready')).toMatchObject({ status: 200, body: 'LIVE\n' })
  })

  it.each([
    ['INITIALIZING', ['no snapshot yet'], 'INITIALIZING\nno snapshot yet\n'],
    ['DRAINING', [], 'DRAINING\n'],
    ['LIVE', ['health checks were failed by an operator'], 'NOT READY\nhealth checks were failed by an operator\n'],
  ] as const)('say why the proxy is not ready while %s', (state, reasons, body) => {
    const answer = call(proxy({ state: () => state, notReady: () => reasons }), '/ready')
    expect(answer).toMatchObject({ status: 503, body })
  })

  it('show what there is before the first snapshot', () => {
    const view = proxy({ snapshot: () => null, endpoints: () => [], clusters: () => [], certificates: () => [] })
    expect(JSON.parse(call(view, '/config_dump').body)).toEqual({ snapshot: null, endpoints: [] })
    expect(call(view, '/clusters').body).toBe('')
    expect(JSON.parse(call(view, '/certs').body)).toEqual({ certificates: [] })
  })

  it('say what went wrong when one of them fails', () => {
    const view = proxy({
      metrics() {
        throw new Error('no such series')
      },
    })
    expect(call(view, '/metrics')).toMatchObject({ status: 500, body: 'no such series\n' })
  })
})

describe('the admin actions', () => {
  it.each([
    ['/drain_listeners', 'drain'],
    ['/healthcheck/fail', 'healthcheck fail'],
    ['/healthcheck/ok', 'healthcheck ok'],
  ])('happen on POST %s and on nothing else', (path, act) => {
    const view = proxy()
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      expect(call(view, path, { method })).toMatchObject({ status: 405, allow: 'POST' })
    }
    expect(view.acts).toEqual([])
    expect(call(view, path, { method: 'POST' }).status).toBe(200)
    expect(view.acts).toEqual([act])
  })

  it('set the log level, show it, and refuse one that is none', () => {
    const view = proxy()
    const post = (path: string) => {
      const { status, body } = call(view, path, { method: 'POST' })
      return [status, body]
    }
    expect(post('/logging')).toEqual([200, 'level: info\n'])
    expect(post('/logging?level=debug')).toEqual([200, 'level: debug\n'])
    expect(post('/logging?level=loud')).toEqual([
      400,
      'No such level; it is one of trace, debug, info, warning, error, critical, off.\n',
    ])
    expect(view.logLevel()).toBe('debug')
  })

  it('are no pages to read: a POST to a page is 405 too', () => {
    expect(call(proxy(), '/config_dump', { method: 'POST' })).toMatchObject({ status: 405, allow: 'GET' })
  })
})

describe('DNS rebinding', () => {
  it.each(['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:9901', '10.0.1.7:9901', ''])(
    'gets nothing from the admin interface by the host "%s"',
    (host) => {
      const view = proxy()
      expect(call(view, '/config_dump', { host }).status).toBe(403)
      expect(call(view, '/drain_listeners', { method: 'POST', host }).status).toBe(403)
      expect(view.acts).toEqual([])
    },
  )

  it.each(['localhost', 'localhost:9901', '127.0.0.1', '127.0.0.2:9901', '[::1]:9901'])(
    'does not stand in the way of an operator who calls %s',
    (host) => {
      expect(call(proxy(), '/ready', { host }).status).toBe(200)
    },
  )

  it('has no sibling in forms that a web page posts across sites', () => {
    const view = proxy()
    const answer = call(view, '/drain_listeners', { method: 'POST', origin: 'https://evil.example' })
    expect(answer.status).toBe(403)
    expect(view.acts).toEqual([])
  })
})

describe('the metrics listener', () => {
  it('shows metrics and readiness to any host and nothing else to anybody', () => {
    const app = createMetricsApp(proxy())
    const status = (method: string, url: string) => app({ method, url, headers: { host: '10.0.1.7:9902' } }).status
    expect(status('GET', '/metrics')).toBe(200)
    expect(status('GET', '/ready')).not.toBe(404)
    expect(status('POST', '/metrics')).toBe(405)
    for (const path of ['/', '/config_dump', '/certs', '/clusters']) expect(status('GET', path)).toBe(404)
    for (const path of ['/drain_listeners', '/logging?level=off']) expect(status('POST', path)).toBe(404)
  })
})

describe('the admin listener', () => {
  let server: Server | undefined
  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
  })

  async function listen(view: AdminView): Promise<number> {
    server = await listenAdmin(createAdminApp(view), { host: '127.0.0.1', port: 0 })
    return (server.address() as AddressInfo).port
  }

  /** Sends bytes as they are and reads until the other side ends. */
  function raw(port: number, bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = ''
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      socket.on('end', () => resolve(text)).on('error', reject)
    })
  }

  it('serves the app over a socket', async () => {
    const view = proxy()
    const port = await listen(view)
    const ready = await fetch(`http://127.0.0.1:${port}/ready`)
    expect([ready.status, await ready.text(), ready.headers.get('cache-control')]).toEqual([200, 'LIVE\n', 'no-store'])
    const drained = await fetch(`http://127.0.0.1:${port}/drain_listeners`, { method: 'POST', body: 'ignored' })
    expect([drained.status, view.acts]).toEqual([200, ['drain']])
    const head = await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('checks the Host header that came over the wire', async () => {
    const port = await listen(proxy())
    const answer = await raw(port, 'GET /config_dump HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 403 /)
  })

  it.each(['GET http://127.0.0.1/ready', 'OPTIONS *', 'TRACE /ready'])(
    'answers 4xx to %s and lives on',
    async (line) => {
      const port = await listen(proxy())
      const answer = await raw(port, `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200)
    },
  )

  it('rejects with the reason when its port is taken', async () => {
    const port = await listen(proxy())
    const second = listenAdmin(createAdminApp(proxy()), { host: '127.0.0.1', port })
    await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})

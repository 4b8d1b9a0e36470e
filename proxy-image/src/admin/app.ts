import { type Context, Hono } from 'hono'
import { LOG_LEVELS, type LogLevel } from '../log.ts'
import { certs, clustersJson, clustersText, configDump, serverInfo } from './pages.ts'
import type { AdminView } from './view.ts'

/** One path of the admin interface; the table below drives routing, the index page and the 405 answers. */
interface Page {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly help: string
  readonly answer: (view: AdminView, c: Context) => Response
}

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const metricsPage = (path: string): Page => ({
  path,
  method: 'GET',
  help: 'metrics in Prometheus text format',
  answer: (view, c) => c.body(view.metrics(), 200, { 'Content-Type': METRICS_TYPE }),
})

/** The paths that operators know from Envoy. */
const PAGES: readonly Page[] = [
  { path: '/', method: 'GET', help: 'this list', answer: (_view, c) => c.text(index()) },
  { path: '/ready', method: 'GET', help: '200 when the proxy serves, 503 and why otherwise', answer: ready },
  {
    path: '/server_info',
    method: 'GET',
    help: 'version, state, uptime and subject',
    answer: (view, c) => c.json(serverInfo(view, Date.now())),
  },
  metricsPage('/stats/prometheus'),
  metricsPage('/metrics'),
  {
    path: '/config_dump',
    method: 'GET',
    help: 'the snapshot in force and its endpoints',
    answer: (view, c) => c.json(configDump(view)),
  },
  {
    path: '/clusters',
    method: 'GET',
    help: 'endpoints and their health; ?format=json',
    answer: (view, c) => (c.req.query('format') === 'json' ? c.json(clustersJson(view)) : c.text(clustersText(view))),
  },
  {
    path: '/certs',
    method: 'GET',
    help: 'certificates in use',
    answer: (view, c) => c.json(certs(view, Date.now())),
  },
  {
    path: '/drain_listeners',
    method: 'POST',
    help: 'stop accepting connections and close idle ones',
    answer: (view, c) => done(c, () => view.drainListeners()),
  },
  {
    path: '/healthcheck/fail',
    method: 'POST',
    help: 'answer health checks with 503',
    answer: (view, c) => done(c, () => view.failHealthcheck(true)),
  },
  {
    path: '/healthcheck/ok',
    method: 'POST',
    help: 'take /healthcheck/fail back',
    answer: (view, c) => done(c, () => view.failHealthcheck(false)),
  },
  { path: '/logging', method: 'POST', help: 'log level; ?level=debug sets it', answer: logging },
]

/**
 * The admin interface for 127.0.0.1. Whoever reaches it may do all it offers, so it only answers requests that name a
 * loopback host: a web page that rebinds its DNS name to 127.0.0.1, or posts across sites, is refused.
 */
export function createAdminApp(view: AdminView): Hono {
  const app = new Hono()
  app.use(async (c, next) => {
    if (!isLoopbackHost(c.req.header('host'))) {
      return c.text(
        'The admin interface answers to localhost, 127.0.0.1 and [::1] only; call it by one of these.\n',
        403,
      )
    }
    if (c.req.method !== 'GET' && c.req.header('origin') !== undefined) {
      return c.text('Web pages may not change this proxy; use curl.\n', 403)
    }
    return next()
  })
  return mount(app, view, PAGES)
}

/** Read-only metrics for the task's own address, where scrapers come from. */
export function createMetricsApp(view: AdminView): Hono {
  return mount(
    new Hono(),
    view,
    PAGES.filter((page) => page.path === '/metrics' || page.path === '/stats/prometheus'),
  )
}

function mount(app: Hono, view: AdminView, pages: readonly Page[]): Hono {
  app.use(async (c, next) => {
    await next()
    c.header('Cache-Control', 'no-store')
    c.header('X-Content-Type-Options', 'nosniff')
  })
  for (const page of pages) {
    app.on(page.method, page.path, (c) => page.answer(view, c))
    app.all(page.path, (c) => c.text(`${page.path} takes ${page.method}.\n`, 405, { Allow: page.method }))
  }
  app.notFound((c) => c.text('No such page; / lists them.\n', 404))
  app.onError((error, c) => c.text(`${error.message}\n`, 500))
  return app
}

function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host)
}

function index(): string {
  return PAGES.map(({ method, path, help }) => `${`${method} ${path}`.padEnd(24)} ${help}\n`).join('')
}

function ready(view: AdminView, c: Context): Response {
  const state = view.state()
  const reasons = view.notReady()
  if (state === 'LIVE' && reasons.length === 0) return c.text('LIVE\n')
  return c.text([state === 'LIVE' ? 'NOT READY' : state, ...reasons, ''].join('\n'), 503)
}

function done(c: Context, action: () => void): Response {
  action()
  return c.text('OK\n')
}

function logging(view: AdminView, c: Context): Response {
  const level = c.req.query('level')
  if (level === undefined) return c.text(`level: ${view.logLevel()}\n`)
  if (!isLogLevel(level)) return c.text(`No such level; it is one of ${LOG_LEVELS.join(', ')}.\n`, 400)
  view.setLogLevel(level)
  return c.text(`level: ${level}\n`)
}

function isLogLevel(level: string): level is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(level)
}

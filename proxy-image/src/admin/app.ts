import type { IncomingMessage } from 'node:http'
import { LOG_LEVELS, type LogLevel } from '../log.ts'
import { certs, clustersJson, clustersText, configDump, serverInfo } from './pages.ts'
import type { AdminView } from './view.ts'

/** What the admin interface looks at of a request. */
type AdminRequest = Pick<IncomingMessage, 'method' | 'url' | 'headers'>

/** An answer of the admin interface; `allow` goes with 405. */
export interface AdminAnswer {
  readonly status: number
  /** Content-Type. */
  readonly type: string
  readonly body: string
  readonly allow?: string
}

/**
 * Request in, answer out. No Hono app, as every answer of one is a `Response`, and the first of these makes node load
 * its whole fetch implementation (figures in node-http.ts): too much for a table of a dozen fixed paths.
 */
export type AdminApp = (request: AdminRequest) => AdminAnswer

/** One path of the admin interface; the table below drives routing, the index page and the 405 answers. */
interface Page {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly help: string
  readonly answer: (view: AdminView, query: URLSearchParams) => AdminAnswer
}

const metricsPage = (path: string): Page => ({
  path,
  method: 'GET',
  help: 'metrics in Prometheus text format',
  answer: (view) => ({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: view.metrics() }),
})

/** The paths that operators know from Envoy. */
const PAGES: readonly Page[] = [
  { path: '/', method: 'GET', help: 'this list', answer: () => text(index()) },
  { path: '/ready', method: 'GET', help: '200 when the proxy serves, 503 and why otherwise', answer: ready },
  {
    path: '/server_info',
    method: 'GET',
    help: 'version, state, uptime and subject',
    answer: (view) => json(serverInfo(view, Date.now())),
  },
  metricsPage('/stats/prometheus'),
  metricsPage('/metrics'),
  {
    path: '/config_dump',
    method: 'GET',
    help: 'the snapshot in force and its endpoints',
    answer: (view) => json(configDump(view)),
  },
  {
    path: '/clusters',
    method: 'GET',
    help: 'endpoints and their health; ?format=json',
    answer: (view, query) => (query.get('format') === 'json' ? json(clustersJson(view)) : text(clustersText(view))),
  },
  {
    path: '/certs',
    method: 'GET',
    help: 'certificates in use',
    answer: (view) => json(certs(view, Date.now())),
  },
  {
    path: '/drain_listeners',
    method: 'POST',
    help: 'stop accepting connections and close idle ones',
    answer: (view) => done(() => view.drainListeners()),
  },
  {
    path: '/healthcheck/fail',
    method: 'POST',
    help: 'answer health checks with 503',
    answer: (view) => done(() => view.failHealthcheck(true)),
  },
  {
    path: '/healthcheck/ok',
    method: 'POST',
    help: 'take /healthcheck/fail back',
    answer: (view) => done(() => view.failHealthcheck(false)),
  },
  { path: '/logging', method: 'POST', help: 'log level; ?level=debug sets it', answer: logging },
]

/**
 * The admin interface for 127.0.0.1. Whoever reaches it may do all it offers, so it only answers requests that name a
 * loopback host: a web page that rebinds its DNS name to 127.0.0.1, or posts across sites, is refused.
 */
export function createAdminApp(view: AdminView): AdminApp {
  return (request) => refusal(request) ?? answer(request, view, PAGES)
}

/** What may be read on the task's own address: metrics by scrapers, readiness by load balancers. */
export function createMetricsApp(view: AdminView): AdminApp {
  const pages = PAGES.filter(({ path }) => ['/metrics', '/stats/prometheus', '/ready'].includes(path))
  return (request) => answer(request, view, pages)
}

function refusal({ method, headers }: AdminRequest): AdminAnswer | undefined {
  if (!isLoopbackHost(headers.host)) {
    return text('The admin interface answers to localhost, 127.0.0.1 and [::1] only; call it by one of these.\n', 403)
  }
  if (method !== 'GET' && headers.origin !== undefined) {
    return text('Web pages may not change this proxy; use curl.\n', 403)
  }
  return undefined
}

function answer({ method, url = '' }: AdminRequest, view: AdminView, pages: readonly Page[]): AdminAnswer {
  // An absolute target, or `*`, is for other kinds of servers.
  if (!url.startsWith('/')) return text('Bad request.\n', 400)
  const [path = ''] = url.split('?', 1)
  const page = pages.find((candidate) => candidate.path === path)
  if (page === undefined) return text('No such page; / lists them.\n', 404)
  if (page.method !== (method === 'HEAD' ? 'GET' : method)) {
    return { ...text(`${path} takes ${page.method}.\n`, 405), allow: page.method }
  }
  try {
    return page.answer(view, new URLSearchParams(url.slice(path.length)))
  } catch (error) {
    return text(`${(error as Error).message}\n`, 500)
  }
}

function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host)
}

function text(body: string, status = 200): AdminAnswer {
  return { status, type: 'text/plain; charset=UTF-8', body }
}

function json(body: object): AdminAnswer {
  return { status: 200, type: 'application/json', body: JSON.stringify(body) }
}

function index(): string {
  return PAGES.map(({ method, path, help }) => `${`${method} ${path}`.padEnd(24)} ${help}\n`).join('')
}

function ready(view: AdminView): AdminAnswer {
  const state = view.state()
  const reasons = view.notReady()
  if (state === 'LIVE' && reasons.length === 0) return text('LIVE\n')
  return text([state === 'LIVE' ? 'NOT READY' : state, ...reasons, ''].join('\n'), 503)
}

function done(action: () => void): AdminAnswer {
  action()
  return text('OK\n')
}

function logging(view: AdminView, query: URLSearchParams): AdminAnswer {
  const level = query.get('level')
  if (level === null) return text(`level: ${view.logLevel()}\n`)
  if (!isLogLevel(level)) return text(`No such level; it is one of ${LOG_LEVELS.join(', ')}.\n`, 400)
  view.setLogLevel(level)
  return text(`level: ${level}\n`)
}

function isLogLevel(level: string): level is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(level)
}

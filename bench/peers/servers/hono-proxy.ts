import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** The proxy that a Hono user would write: one handler that fetches. Arguments: port, upstream port. */
const [port, upstreamPort] = process.argv.slice(2).map(Number)

const app = new Hono()
app.all('*', (context) => {
  const { method, headers, body, url } = context.req.raw
  const { pathname, search } = new URL(url)
  const init = { method, headers, body, duplex: 'half', redirect: 'manual' } as RequestInit
  return fetch(`http://127.0.0.1:${upstreamPort}${pathname}${search}`, init)
})
serve({ fetch: app.fetch, port: port!, hostname: '127.0.0.1' })

import { serve } from '@hono/node-server'
import type { Hono } from 'hono'

/** Serves the app on loopback: only its own sidecar talks to it. */
export function listen(app: Hono): void {
  serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT ?? 8080) }, ({ port }) => {
    console.log(`listening on 127.0.0.1:${port}`)
  })
}

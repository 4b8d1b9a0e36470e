import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Hono } from 'hono'

/**
 * Serves an admin app, whose pages take no bodies. A bridge of a few lines over `node:http` instead of the general
 * adapter (measured: the same memory), because the data plane may import few libraries (design, section 2).
 * Resolves once it listens; rejects with what the operating system says, such as `EADDRINUSE`.
 */
export async function listenAdmin(app: Hono, { host, port }: { host: string; port: number }): Promise<Server> {
  const server = createServer({ maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 10_000 }, (req, res) => {
    answer(app, req, res).catch(() => res.destroy())
  })
  server.maxConnections = 64
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}

async function answer(app: Hono, req: IncomingMessage, res: ServerResponse): Promise<void> {
  req.resume()
  const request = toRequest(req)
  const response = request === null ? new Response('Bad request.\n', { status: 400 }) : await app.fetch(request)
  const body = Buffer.from(await response.arrayBuffer())
  res.writeHead(response.status, { ...Object.fromEntries(response.headers), 'content-length': body.length })
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** Null for what the fetch API takes for malformed, such as the method TRACE or a target that is no path. */
function toRequest(req: IncomingMessage): Request | null {
  const headers = new Headers()
  for (const name of ['host', 'origin']) {
    const value = req.headers[name]
    if (typeof value === 'string') headers.set(name, value)
  }
  if (req.url?.startsWith('/') !== true) return null
  try {
    // The authority is made up: pages look at the Host header, and only it is checked.
    return new Request(`http://admin${req.url}`, { method: req.method ?? 'GET', headers })
  } catch {
    return null
  }
}

import type { Server, ServerResponse } from 'node:http'
import { http } from '../node-http.ts'
import type { AdminAnswer, AdminApp } from './app.ts'

/**
 * Serves an admin app, whose pages take no bodies. Resolves once it listens; rejects with what the operating system
 * says, such as `EADDRINUSE`.
 */
export async function listenAdmin(app: AdminApp, { host, port }: { host: string; port: number }): Promise<Server> {
  const limits = { maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 10_000 }
  const server = http.createServer(limits, (req, res) => {
    req.resume()
    send(res, app(req))
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

function send(res: ServerResponse, { status, type, body, allow }: AdminAnswer): void {
  res.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(allow === undefined ? {} : { Allow: allow }),
  })
  // To HEAD, node sends the head alone.
  res.end(body)
}

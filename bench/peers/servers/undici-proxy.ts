import { createServer } from 'node:http'
import { Pool } from 'undici'

/** The proxy that a Node user would write for speed: node:http in, `undici.dispatch` out. Arguments: port, upstream port. */
const [port, upstreamPort] = process.argv.slice(2).map(Number)
const pool = new Pool(`http://127.0.0.1:${upstreamPort}`, { connections: 128 })

createServer((request, response) => {
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  const headers = { ...request.headers }
  delete headers.connection
  const call = {
    path: request.url!,
    method: request.method as 'GET',
    headers,
    body: hasBody ? request : null,
  }
  pool.dispatch(call, {
    onRequestStart() {},
    onResponseStart(_controller, status, head) {
      const { connection: _hop, 'keep-alive': _alive, ...rest } = head
      response.writeHead(status, rest as Record<string, string | string[]>)
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return
      controller.pause()
      response.once('drain', () => controller.resume())
    },
    onResponseEnd() {
      response.end()
    },
    onResponseError() {
      if (response.headersSent) response.destroy()
      else response.writeHead(502).end()
    },
  })
}).listen(port, '127.0.0.1')

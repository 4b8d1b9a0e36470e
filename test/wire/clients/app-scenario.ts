import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

/**
 * The app that clients of test/wire/http-clients.test.ts ask, in a process of its own: one behaviour, served as HTTP/1.1
 * and as HTTP/2. Arguments: the large file. Says both ports on its standard output.
 */

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse & Http2ServerResponse

const [file = ''] = process.argv.slice(2)
const ETAG = '"v1"'
const GREETING = 'gzip me, '.repeat(20)

/** `expected`: the client asked for 100 (Continue), and was given it. */
async function answer(request: Request, response: Response, expected: boolean): Promise<void> {
  const target = request.url ?? ''
  const [path] = target.split('?')
  if (path === '/query') return void response.end(target)
  if (path === '/empty') return void response.writeHead(204).end()
  if (path === '/cached') {
    response.writeHead(request.headers['if-none-match'] === ETAG ? 304 : 200, { etag: ETAG })
    return void response.end()
  }
  if (path === '/gzip') {
    return void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(GREETING))
  }
  if (path === '/large' || path === '/streamed') {
    const length = path === '/large' ? { 'content-length': statSync(file).size } : {}
    response.writeHead(200, length)
    if (request.method === 'HEAD') return void response.end()
    return void createReadStream(file).pipe(response)
  }
  if (path === '/trailers') {
    response.writeHead(200, { trailer: 'x-digest' })
    response.write('body')
    response.addTrailers({ 'x-digest': 'of-the-body' })
    return void response.end()
  }
  if (path === '/upload') return void response.end(JSON.stringify(await received(request, expected)))
  response.writeHead(404).end()
}

/** What arrived of an upload, as the app sees it. */
async function received(request: Request, expected: boolean): Promise<object> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  const length = request.headers['content-length'] ?? null
  return { bytes, sha256: hash.digest('hex'), length, expected, trailer: request.trailers['x-digest'] ?? null }
}

function onRequest(expected: boolean): (request: Request, response: unknown) => void {
  return (request, response) => {
    if (expected) (response as Response).writeContinue()
    void answer(request, response as Response, expected)
  }
}

const servers = [http.createServer(), http2.createServer()]
for (const server of servers) {
  server.on('request', onRequest(false))
  server.on('checkContinue', onRequest(true))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
}
console.log(servers.map((server) => (server.address() as AddressInfo).port).join(' '))

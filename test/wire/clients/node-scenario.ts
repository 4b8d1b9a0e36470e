import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import http, { type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import http2 from 'node:http2'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'

/**
 * What Node's own clients see of the app of test/wire/http-clients.test.ts, as JSON. Arguments: `http`, `http2` or `fetch`, the
 * origin, the large file, the target with odd characters.
 */

const [kind = '', origin = '', file = '', target = ''] = process.argv.slice(2)
const size = statSync(file).size

interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  readonly trailer: string | null
  readonly continued: boolean
}
interface Wish {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Readable
  readonly trailer?: string
}
type Ask = (path: string, wish?: Wish) => Promise<Seen>

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
const session = kind === 'http2' ? http2.connect(origin) : null

const asks: Readonly<Record<string, Ask>> = { http: byHttp, http2: byHttp2, fetch: byFetch }

function byHttp(path: string, { method = 'GET', headers = {}, body, trailer }: Wish = {}): Promise<Seen> {
  return new Promise((resolve, reject) => {
    let continued = false
    const request = http.request(origin + path, { method, agent, headers: headers as OutgoingHttpHeaders })
    const send = (): void => {
      if (trailer !== undefined) request.addTrailers({ 'x-digest': trailer })
      if (body === undefined) request.end()
      else body.pipe(request)
    }
    request.on('error', reject)
    request.on('response', async (response: IncomingMessage) => {
      const { statusCode = 0 } = response
      const whole = await buffer(response)
      const seen = { status: statusCode, headers: response.headers, body: whole, continued }
      resolve({ ...seen, trailer: response.trailers['x-digest'] ?? null })
    })
    if (headers.expect === undefined) return send()
    request.on('continue', () => {
      continued = true
      send()
    })
    request.flushHeaders()
  })
}

function byHttp2(path: string, { method = 'GET', headers = {}, body, trailer }: Wish = {}): Promise<Seen> {
  return new Promise((resolve, reject) => {
    let continued = false
    let after: string | null = null
    const head = { ':method': method, ':path': path, ...headers }
    const stream = session!.request(head, { endStream: body === undefined, waitForTrailers: trailer !== undefined })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-digest': trailer! }))
    stream.on('error', reject)
    stream.on('trailers', (fields) => {
      after = String(fields['x-digest'])
    })
    stream.on('response', async (fields) => {
      const status = fields[':status'] ?? 0
      const whole = await buffer(stream)
      resolve({ status, headers: fields as Seen['headers'], body: whole, continued, trailer: after })
    })
    if (body === undefined) return
    if (headers.expect === undefined) return void body.pipe(stream)
    stream.on('continue', () => {
      continued = true
      body.pipe(stream)
    })
  })
}

async function byFetch(path: string, { method = 'GET', headers = {}, body }: Wish = {}): Promise<Seen> {
  // A stream goes without a length, a buffer with one.
  const upload =
    body === undefined ? null : headers['content-length'] === undefined ? Readable.toWeb(body) : readFileSync(file)
  const init = { method, headers, body: upload, duplex: 'half' } as RequestInit
  const response = await fetch(origin + path, init)
  const fields = Object.fromEntries(response.headers)
  return {
    status: response.status,
    headers: fields,
    body: Buffer.from(await response.arrayBuffer()),
    trailer: null,
    continued: false,
  }
}

function answerOf({ status, headers, body }: Seen): object {
  const sha256 = createHash('sha256').update(body).digest('hex')
  return { status, length: headers['content-length'] ?? null, sha256 }
}

const ask = asks[kind]!
const upload = async (wish: Wish): Promise<Seen> =>
  ask('/upload', { method: 'POST', body: createReadStream(file), ...wish })
const json = ({ body }: Seen): unknown => JSON.parse(body.toString())
const known = { 'content-length': String(size) }

const report: Record<string, unknown> = {
  query: (await ask(target)).body.toString(),
  head: answerOf(await ask('/large', { method: 'HEAD' })),
  empty: answerOf(await ask('/empty')),
  cached: answerOf(await ask('/cached', { headers: { 'if-none-match': '"v1"' } })),
  large: answerOf(await ask('/large')),
  streamed: answerOf(await ask('/streamed')),
}
const zipped = await ask('/gzip', { headers: { 'accept-encoding': 'gzip' } })
const plain = kind === 'fetch' ? zipped.body : gunzipSync(zipped.body)
report.gzip = { encoding: zipped.headers['content-encoding'], text: plain.toString() }
report.upload = json(await upload({ headers: known }))
report.chunked = json(await upload({}))
if (kind !== 'fetch') {
  report.trailers = (await ask('/trailers')).trailer
  report.sentTrailers = json(await upload({ trailer: 'sent', headers: { trailer: 'x-digest' } }))
  const continued = await upload({ headers: { ...known, expect: '100-continue' } })
  report.continued = [continued.continued, json(continued)]
}
console.log(JSON.stringify(report))
session?.close()
agent.destroy()

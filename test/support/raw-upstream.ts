import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** One request as an upstream read it: whole head, and the body taken out of its framing. */
export interface SeenRequest {
  readonly method: string
  readonly target: string
  /** Everything before the empty line. */
  readonly head: string
  /** By lower-case name; several lines joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly trailers: string
}

/** One connection that the upstream accepted, with exactly the bytes that came. */
export class UpstreamConnection {
  readonly socket: Socket
  closed = false
  /** Requests on this connection so far. */
  requests = 0
  private readonly chunks: string[] = []
  /** What `take` has not yet taken. */
  private pending = ''

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** All bytes, one latin1 character each. */
  get seen(): string {
    return this.chunks.join('')
  }

  receive(chunk: Buffer): void {
    const text = chunk.toString('latin1')
    this.chunks.push(text)
    this.pending += text
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends a whole answer with Content-Length. */
  answer(status = 200, body = 'ok', headers = ''): void {
    this.send(`HTTP/1.1 ${status} Status\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`)
  }

  /** The next request if all of it is there. */
  take(): SeenRequest | undefined {
    const { pending } = this
    const end = pending.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const head = pending.slice(0, end)
    const [line, ...fields] = head.split('\r\n')
    const parts = /^(\S+) (\S+) HTTP\/1\.1$/.exec(line!)
    if (parts === null) throw new Error(`the proxy sent the request line ${JSON.stringify(line)}`)
    const headers: Record<string, string> = Object.create(null)
    for (const field of fields) {
      const colon = field.indexOf(':')
      const name = field.slice(0, colon).toLowerCase()
      const value = field.slice(colon + 1).trim()
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
    }
    const body = takeBody(pending, end + 4, headers)
    if (body === undefined) return undefined
    this.pending = pending.slice(body.end)
    this.requests++
    return { method: parts[1]!, target: parts[2]!, head, headers, body: body.body, trailers: body.trailers }
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }
}

function takeBody(
  seen: string,
  start: number,
  headers: Readonly<Record<string, string>>,
): { body: string; trailers: string; end: number } | undefined {
  if (headers['transfer-encoding'] === undefined) {
    const end = start + Number(headers['content-length'] ?? 0)
    return seen.length < end ? undefined : { body: seen.slice(start, end), trailers: '', end }
  }
  let body = ''
  let at = start
  for (;;) {
    const lineEnd = seen.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(seen.slice(at, lineEnd), 16)
    at = lineEnd + 2
    if (size === 0) break
    if (seen.length < at + size + 2) return undefined
    body += seen.slice(at, at + size)
    at += size + 2
  }
  if (seen.startsWith('\r\n', at)) return { body, trailers: '', end: at + 2 }
  const end = seen.indexOf('\r\n\r\n', at)
  return end < 0 ? undefined : { body, trailers: seen.slice(at, end), end: end + 4 }
}

/** What an upstream does. `onBytes` replaces the reading of whole requests. */
export interface UpstreamScript {
  readonly onConnect?: (connection: UpstreamConnection) => void
  readonly onBytes?: (connection: UpstreamConnection) => void
  readonly onRequest?: (request: SeenRequest, connection: UpstreamConnection) => void
}

/** An app of which every byte is known: it answers by script, and records what it saw. */
export class RawUpstream {
  readonly port: number
  readonly connections: UpstreamConnection[] = []
  readonly requests: SeenRequest[] = []
  script: UpstreamScript
  private readonly server: ReturnType<typeof createServer>

  constructor(server: ReturnType<typeof createServer>, script: UpstreamScript) {
    this.server = server
    this.port = (server.address() as AddressInfo).port
    this.script = script
    server.on('connection', (socket) => this.accept(socket))
  }

  /** All bytes of all connections. */
  get seen(): string {
    return this.connections.map((one) => one.seen).join('')
  }

  /** Connections that still stand. */
  get open(): number {
    return this.connections.filter((one) => !one.closed).length
  }

  close(): void {
    this.server.close()
    for (const { socket } of this.connections) socket.destroy()
  }

  private accept(socket: Socket): void {
    const connection = new UpstreamConnection(socket)
    this.connections.push(connection)
    socket.on('error', () => {})
    const closed = (): void => {
      connection.closed = true
      socket.end()
    }
    socket.on('end', closed)
    socket.on('close', closed)
    socket.on('data', (chunk: Buffer) => {
      connection.receive(chunk)
      if (this.script.onBytes !== undefined) return this.script.onBytes(connection)
      for (let request = connection.take(); request !== undefined; request = connection.take()) {
        this.requests.push(request)
        if (this.script.onRequest === undefined) connection.answer()
        else this.script.onRequest(request, connection)
      }
    })
    this.script.onConnect?.(connection)
  }
}

/** Starts an upstream on 127.0.0.1; it answers 200 `ok` to everything unless the script says otherwise. */
export async function startUpstream(
  script: UpstreamScript = {},
  options: { port?: number; host?: string } = {},
): Promise<RawUpstream> {
  const server = createServer({ noDelay: true, allowHalfOpen: true })
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
  await once(server, 'listening')
  return new RawUpstream(server, script)
}

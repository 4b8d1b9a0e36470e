import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'

/** Clients and servers of node's own HTTP/2, as peers that nobody here wrote. */

export interface Http2Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly trailers: IncomingHttpHeaders
  /** Code of the reset, undefined when the answer came to its end. */
  readonly resetCode: number | undefined
}

export interface Http2Peer {
  readonly port: number
  readonly server: Http2Server
  close(): void
}

/** A server of plain HTTP/2 on 127.0.0.1. */
export async function startHttp2Server(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<Http2Peer> {
  const server = createServer()
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    onStream(stream, headers)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    close: () => {
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}

/** A client session with prior knowledge. */
export async function openHttp2(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  await once(session, 'connect')
  return session
}

/** One request and all of its answer. */
export function requestHttp2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
  trailers?: OutgoingHttpHeaders,
): Promise<Http2Answer> {
  return new Promise((resolve) => {
    const stream = session.request(headers, {
      endStream: body === undefined && trailers === undefined,
      waitForTrailers: trailers !== undefined,
    })
    let head: IncomingHttpHeaders = {}
    let tail: IncomingHttpHeaders = {}
    const chunks: Buffer[] = []
    if (trailers !== undefined) stream.on('wantTrailers', () => stream.sendTrailers(trailers))
    stream.on('response', (given) => {
      head = given
    })
    stream.on('trailers', (given) => {
      tail = given
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => {})
    stream.on('close', () => {
      resolve({
        status: Number(head[':status'] ?? 0),
        headers: head,
        body: Buffer.concat(chunks).toString(),
        trailers: tail,
        resetCode: stream.rstCode === 0 ? undefined : stream.rstCode,
      })
    })
    if (body !== undefined || trailers !== undefined) stream.end(body)
  })
}

import type { Socket } from 'node:net'
import { Http1ServerConnection, type ServerConnectionOwner } from '../codec/http1/server-connection.ts'
import type { ConnectionError } from '../codec/http2/frames.ts'
import { Http2ServerConnection, type Http2ServerOwner } from '../codec/http2/server-connection.ts'
import type { DownstreamStream, RequestReceiver } from '../codec/stream.ts'
import type { ProxyError } from '../errors.ts'
import type { BreakReason, ConnectionBreaks } from '../telemetry/connection-breaks.ts'
import { CERTIFICATE_MARGIN_MS } from '../tls/peer.ts'
import type { Refusing } from './refused-request.ts'

/** A request head must be complete within this time of its first byte, or the sender is too slow (Slowloris). */
const HEAD_TIMEOUT_MS = 10_000
/** Idle downstream connections are closed after this time; longer than peers keep theirs, so that they close first. */
const IDLE_TIMEOUT_MS = 300_000

/** Who is at the other end of a TLS connection. */
export interface TlsDownstream {
  readonly peer: string | null
  readonly serverName: string
  /** When the first certificate of the connection ends, in epoch milliseconds. */
  readonly endsAtMs: number
}

/** Where connections of one listener come in, whatever they carry. */
export interface Door {
  /** Connections. */
  readonly open: number
  /** What is under way: requests, or connections that are one exchange. */
  readonly busy: number
  /** Not even an idle connection is left. */
  readonly quiet: boolean
  /** Call about once a second. */
  sweep(now: number): void
  /** From now on clients are asked to go elsewhere. */
  drain(): void
  closeIdle(): void
  closeAll(): void
  /** Whoever came in by a rule that holds no more does not stay. */
  oust(): void
}

/** What stands behind a door for requests. */
export interface RequestTaker {
  /** Takes a request whose head has arrived. */
  accept(stream: DownstreamStream): RequestReceiver
  /** A request that can't be taken. Returns the answer's body. */
  refuse(error: ProxyError, connection: Refusing): string
}

/** Where HTTP requests of one listener come in, in either version. It outlives snapshots; the chain behind it is swapped. */
export class HttpDoor implements Door, ServerConnectionOwner, Http2ServerOwner {
  chain: RequestTaker
  /** What does not begin with the preface of HTTP/2 is told so, in HTTP/2. */
  http2Only = false
  private leaving = false
  private readonly http1 = new Set<Http1ServerConnection>()
  private readonly http2 = new Set<Http2ServerConnection>()

  private readonly breaks: ConnectionBreaks
  private readonly tunnels: boolean

  /** `tunnels`: its requests come from sidecars, and are TCP connections. */
  constructor(chain: RequestTaker, breaks: ConnectionBreaks, tunnels = false) {
    this.chain = chain
    this.breaks = breaks
    this.tunnels = tunnels
  }

  get open(): number {
    return this.http1.size + this.http2.size
  }

  get quiet(): boolean {
    return this.open === 0
  }

  /** Requests under way. */
  get busy(): number {
    let busy = 0
    for (const connection of this.http1) if (!connection.idle) busy++
    for (const connection of this.http2) busy += connection.streams.size
    return busy
  }

  /** True: every answer ends its connection. */
  get draining(): boolean {
    return this.leaving
  }

  /** `h2` was agreed on by ALPN; any other connection shows by its first bytes what it speaks (RFC 9113, section 3.3). */
  take(socket: Socket, tls: TlsDownstream | null, alpn: string | false = false): void {
    if (alpn === 'h2' || this.http2Only) {
      this.takeHttp2(socket, tls, retireAt(tls))
      return
    }
    const connection = new Http1ServerConnection(socket, this, tls)
    connection.retireAtMs = retireAt(tls)
    this.http1.add(connection)
  }

  /** The client's first bytes are the preface of HTTP/2. */
  onPreface(connection: Http1ServerConnection, socket: Socket, bytes: Buffer): void {
    this.http1.delete(connection)
    const { peer, serverName, retireAtMs } = connection
    const tls = serverName === null ? null : { peer, serverName }
    this.takeHttp2(socket, tls, retireAtMs).take(bytes, 0, bytes.length)
  }

  private takeHttp2(
    socket: Socket,
    tls: Omit<TlsDownstream, 'endsAtMs'> | null,
    retireAtMs: number,
  ): Http2ServerConnection {
    const connection = new Http2ServerConnection(socket, this, tls, this.tunnels)
    connection.retireAtMs = retireAtMs
    this.http2.add(connection)
    if (this.leaving) connection.drain()
    return connection
  }

  onRequest(stream: DownstreamStream): RequestReceiver {
    return this.chain.accept(stream)
  }

  onInvalidRequest(error: ProxyError, connection: Http1ServerConnection | Http2ServerConnection): string {
    return this.chain.refuse(error, connection)
  }

  onClosed(connection: Http1ServerConnection | Http2ServerConnection, fault: ConnectionError | null = null): void {
    if (fault !== null) this.countBreak(connection, fault.fault, fault.message)
    if (connection instanceof Http1ServerConnection) this.http1.delete(connection)
    else this.http2.delete(connection)
  }

  private countBreak(
    { remoteAddress, peer }: Http1ServerConnection | Http2ServerConnection,
    reason: BreakReason,
    detail: string,
  ): void {
    this.breaks.add(reason, detail, { remote: remoteAddress, peer })
  }

  /** Ends connections that are too old, too slow or too quiet. Call about once a second. */
  sweep(now: number): void {
    for (const connection of this.http1) {
      if (this.expired(connection, now)) continue
      if (connection.idle && now > connection.retireAtMs) connection.close()
      else if ((connection.idle || connection.leaving) && now - connection.activeAtMs > IDLE_TIMEOUT_MS)
        connection.close()
    }
    for (const connection of this.http2) {
      if (this.expired(connection, now)) continue
      if (now > connection.retireAtMs) connection.drain()
      if (!connection.keepAlive(now)) {
        this.countBreak(connection, 'keep_alive_timeout', 'no sign of life')
        connection.close()
      } else if (connection.idle && now - connection.activeAtMs > IDLE_TIMEOUT_MS) connection.close()
    }
  }

  private expired(connection: Http1ServerConnection | Http2ServerConnection, now: number): boolean {
    if (connection.headSinceMs !== 0 && now - connection.headSinceMs > HEAD_TIMEOUT_MS) {
      this.countBreak(connection, 'slow_head', 'a preface, head or frame that does not come to its end')
      connection.expireHead()
    } else if (now > connection.retireAtMs + CERTIFICATE_MARGIN_MS) {
      if (!connection.idle) this.countBreak(connection, 'certificate_expired', 'requests outlive its certificates')
      connection.close()
    } else return false
    return true
  }

  /** From now on every answer ends its connection. */
  drain(): void {
    this.leaving = true
    for (const connection of this.http2) connection.drain()
  }

  closeIdle(): void {
    for (const connection of this.http1) if (connection.idle) connection.close()
    for (const connection of this.http2) if (connection.idle) connection.close()
  }

  oust(): void {
    this.drain()
    this.closeIdle()
  }

  closeAll(): void {
    for (const connection of this.http1) connection.close()
    for (const connection of this.http2) connection.close()
  }
}

/** `performance.now()` when a connection should be left, for the sake of its certificates. */
export function retireAt(tls: TlsDownstream | null): number {
  if (tls === null) return Number.POSITIVE_INFINITY
  return performance.now() + tls.endsAtMs - Date.now() - CERTIFICATE_MARGIN_MS
}

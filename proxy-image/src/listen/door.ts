import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { HttpChain } from '../chain/chain.ts'
import { Http1ServerConnection, type ServerConnectionOwner } from '../codec/http1/server-connection.ts'
import type { RequestReceiver } from '../codec/stream.ts'
import { type ProxyError, STATUS } from '../errors.ts'
import { remainingLifeMs } from '../tls/peer.ts'
import { RefusedRequest } from './refused-request.ts'

/** A request head must be complete within this time of its first byte, or the sender is too slow (Slowloris). */
const HEAD_TIMEOUT_MS = 10_000
/** Idle downstream connections are closed after this time; longer than peers keep theirs, so that they close first. */
const IDLE_TIMEOUT_MS = 300_000
/** Connections stop taking requests this long before a certificate of theirs ends, and end with it. */
const CERTIFICATE_MARGIN_MS = 1_000

/** Who is at the other end of a TLS connection. */
export interface TlsDownstream {
  readonly peer: string | null
  readonly serverName: string
}

/** Where HTTP requests of one listener come in. It outlives snapshots; the chain behind it is swapped. */
export class HttpDoor implements ServerConnectionOwner {
  chain: HttpChain
  /** True: every answer ends its connection. */
  draining = false
  private readonly connections = new Set<Http1ServerConnection>()

  constructor(chain: HttpChain) {
    this.chain = chain
  }

  get open(): number {
    return this.connections.size
  }

  get busy(): number {
    let busy = 0
    for (const connection of this.connections) if (!connection.idle) busy++
    return busy
  }

  take(socket: Socket, tls: TlsDownstream | null): void {
    const connection = new Http1ServerConnection(socket, this, tls)
    if (tls !== null)
      connection.retireAtMs = performance.now() + remainingLifeMs(socket as TLSSocket) - CERTIFICATE_MARGIN_MS
    this.connections.add(connection)
  }

  onRequest(connection: Http1ServerConnection): RequestReceiver {
    return this.chain.accept(connection)
  }

  onInvalidRequest(error: ProxyError, connection: Http1ServerConnection): string {
    const body = this.chain.errorBody(error, connection.peer)
    this.chain.listener.error(error.reason)
    this.chain.unrouted.record(STATUS[error.reason], 0)
    this.chain.logAccess?.(new RefusedRequest(connection, error, body))
    return body
  }

  onClosed(connection: Http1ServerConnection): void {
    this.connections.delete(connection)
  }

  /** Ends connections that are too old, too slow or too quiet. Call about once a second. */
  sweep(now: number): void {
    for (const connection of this.connections) {
      if (connection.headSinceMs !== 0 && now - connection.headSinceMs > HEAD_TIMEOUT_MS) connection.expireHead()
      else if (now > connection.retireAtMs + CERTIFICATE_MARGIN_MS) connection.close()
      else if (connection.idle && (now - connection.activeAtMs > IDLE_TIMEOUT_MS || now > connection.retireAtMs)) {
        connection.close()
      } else if (connection.leaving && now - connection.activeAtMs > IDLE_TIMEOUT_MS) connection.close()
    }
  }

  closeIdle(): void {
    for (const connection of this.connections) if (connection.idle) connection.close()
  }

  closeAll(): void {
    for (const connection of this.connections) connection.close()
  }
}

import { type ClientConnectionOwner, Http1ClientConnection } from '../codec/http1/client-connection.ts'
import type { UpstreamStream } from '../codec/stream.ts'
import { ProxyError } from '../errors.ts'
import type { ReadSink } from '../socket/reads.ts'
import type { BreakReason } from '../telemetry/connection-breaks.ts'
import { CERTIFICATE_MARGIN_MS } from '../tls/peer.ts'
import { type DialResult, dial } from './connect.ts'
import type { DialPlan } from './dial-plan.ts'

/** Who asked for a stream. Exactly one of both is called, maybe before `acquire` returns. */
export interface StreamWaiter {
  onStream(stream: UpstreamStream): void
  onConnectFailure(error: ProxyError): void
}

/** The connections to one endpoint, whatever they speak. */
export interface EndpointPool {
  readonly plan: DialPlan
  /** `address:port` that is dialled, for people. */
  readonly address: string
  /** Connections without an exchange. */
  readonly idleCount: number
  readonly activeCount: number
  /** There is no connection, and none is being opened. */
  readonly quiet: boolean
  /** Gives a stream at once or later. Returns a function that takes the wish back, or null when there is nothing to take. */
  acquire(waiter: StreamWaiter): (() => void) | null
  /** Closes what is too old or dead. Call about once a second. */
  sweep(now: number): void
  /** Takes no new exchange; those under way end in peace. */
  retire(): void
}

/** What a pool needs of its cluster: the limits that all its pools share. */
export interface PoolOwner {
  readonly connectTimeoutMs: number
  /** Takes a place for a connection under the cluster's limit, or says no. */
  openConnection(): boolean
  connectionClosed(): void
  /** A connection to `address` is broken off. */
  connectionBroken(address: string, reason: BreakReason, detail: string): void
  /** Queues a waiter under the cluster's limit, or says no. */
  enqueue(pool: Http1Pool, waiter: StreamWaiter): boolean
  /** Requests that wait for a place. */
  readonly pending: number
  /** The first waiter that `pool` can serve. */
  dequeue(pool: Http1Pool): StreamWaiter | undefined
}

/**
 * How long an idle connection is kept where the server does not say (Keep-Alive: timeout). Servers of apps often close
 * after 5 s (node, uvicorn), and a request that meets the close may be lost; sidecars of ours keep connections long.
 */
const IDLE_MS = { app: 4_000, sidecar: 60_000 }
/** Closed this long before the server would do it. */
const IDLE_MARGIN_MS = 1_000

/** The connections to one endpoint. Idle ones are reused last in, first out, so that surplus ones age and go. */
export class Http1Pool implements EndpointPool, ClientConnectionOwner {
  readonly plan: DialPlan
  readonly address: string
  private readonly owner: PoolOwner
  private readonly idle: Http1ClientConnection[] = []
  private readonly all = new Set<Http1ClientConnection>()
  private readonly idleMs: number
  /** Connections that are being opened. */
  private dials = 0
  private retired = false

  constructor(plan: DialPlan, address: string, owner: PoolOwner, toSidecar: boolean) {
    this.plan = plan
    this.address = address
    this.owner = owner
    this.idleMs = toSidecar ? IDLE_MS.sidecar : IDLE_MS.app
  }

  get idleCount(): number {
    return this.idle.length
  }

  get activeCount(): number {
    return this.all.size - this.idle.length
  }

  get quiet(): boolean {
    return this.all.size === 0 && this.dials === 0
  }

  acquire(waiter: StreamWaiter): (() => void) | null {
    const now = performance.now()
    for (let connection = this.idle.pop(); connection !== undefined; connection = this.idle.pop()) {
      if (this.fresh(connection, now)) {
        waiter.onStream(connection)
        return null
      }
      connection.close()
    }
    if (this.owner.openConnection()) return this.dial(waiter)
    if (!this.owner.enqueue(this, waiter)) {
      waiter.onConnectFailure(
        new ProxyError('overflow', 'mesh', { retry: 'unsent', message: 'connection limit of the cluster reached' }),
      )
    }
    return null
  }

  /** Opens a connection whose place is already taken. */
  dial(waiter: StreamWaiter): () => void {
    let connection: Http1ClientConnection | null = null
    this.dials++
    const done = (result: DialResult): void => {
      this.dials--
      if (result instanceof ProxyError) {
        this.owner.connectionClosed()
        waiter.onConnectFailure(result)
        return
      }
      connection = new Http1ClientConnection(result.socket, this)
      connection.endsAtMs = performance.now() + result.lifeMs
      connection.retireAtMs = connection.endsAtMs - CERTIFICATE_MARGIN_MS
      this.all.add(connection)
      waiter.onStream(connection)
    }
    const sink: ReadSink = (chunk, start, end) => connection?.onData(chunk, start, end)
    const cancel = dial(this.plan, this.owner.connectTimeoutMs, done, sink)
    return () => {
      cancel()
      this.dials--
      this.owner.connectionClosed()
    }
  }

  onIdle(connection: Http1ClientConnection): void {
    if (this.retired) return connection.close()
    const waiter = this.owner.dequeue(this)
    if (waiter !== undefined) waiter.onStream(connection)
    // Who waits for another endpoint needs the place, which closing frees.
    else if (this.owner.pending > 0) connection.close()
    else this.idle.push(connection)
  }

  onClosed(connection: Http1ClientConnection): void {
    if (!this.all.delete(connection)) return
    const at = this.idle.indexOf(connection)
    if (at >= 0) this.idle.splice(at, 1)
    this.owner.connectionClosed()
  }

  /** Gives up the idle connection that was used least recently. False: there is none. */
  closeIdle(): boolean {
    const connection = this.idle[0]
    connection?.close()
    return connection !== undefined
  }

  /** Closes idle connections that are too old, and any whose certificates end. Call about once a second. */
  sweep(now: number): void {
    for (const connection of this.all) {
      if (now <= connection.endsAtMs) continue
      if (!this.idle.includes(connection)) {
        this.owner.connectionBroken(this.address, 'certificate_expired', 'a request outlives its certificates')
      }
      connection.close()
    }
    for (let i = this.idle.length - 1; i >= 0; i--) {
      const connection = this.idle[i]!
      if (this.fresh(connection, now)) continue
      this.idle.splice(i, 1)
      connection.close()
    }
  }

  /** Takes no new exchange; those under way end in peace. */
  retire(): void {
    this.retired = true
    for (const connection of this.idle.splice(0)) connection.close()
  }

  private fresh(connection: Http1ClientConnection, now: number): boolean {
    const told = connection.serverIdleMs
    const idleMs = told === 0 ? this.idleMs : Math.max(told - IDLE_MARGIN_MS, told / 2)
    return now - connection.idleSinceMs < idleMs && now < connection.retireAtMs
  }
}

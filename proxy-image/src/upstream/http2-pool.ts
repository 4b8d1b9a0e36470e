import { Http2ClientConnection, type Http2ClientOwner } from '../codec/http2/client-connection.ts'
import type { ConnectionError } from '../codec/http2/frames.ts'
import { MAX_TUNNELS } from '../codec/http2/receive-window.ts'
import { ProxyError } from '../errors.ts'
import type { ReadSink } from '../socket/reads.ts'
import type { BreakReason } from '../telemetry/connection-breaks.ts'
import { CERTIFICATE_MARGIN_MS } from '../tls/peer.ts'
import { type DialResult, dial } from './connect.ts'
import type { DialPlan } from './dial-plan.ts'
import type { EndpointPool, StreamWaiter } from './pool.ts'

/** What a pool of HTTP/2 connections needs of its cluster. */
export interface Http2PoolOwner {
  readonly connectTimeoutMs: number
  /** Counts a connection; they are few, and no limit of the user's is about them. */
  connectionOpened(): void
  connectionEnded(): void
  /** A connection to `address` is broken off. */
  connectionBroken(address: string, reason: BreakReason, detail: string): void
}

/** An idle connection is kept as long as common servers keep theirs. */
const IDLE_MS = 60_000

/** Connections up to which another one is opened where slow readers keep all of them from sending. */
const MAX_CONNECTIONS = 8

/**
 * Of a connection's life, the part in which it takes new tunnels. They may stand for as long as it does, and must not get
 * one whose certificates end in a minute; requests may have it to its end.
 */
const TUNNELS_LIFE = 0.1

/**
 * The HTTP/2 connections to one endpoint: one as a rule, and another where the peer allows no more streams on it.
 * `tunnels`: they carry TCP connections.
 */
export class Http2Pool implements EndpointPool, Http2ClientOwner {
  readonly plan: DialPlan
  readonly address: string
  private readonly owner: Http2PoolOwner
  private readonly connections: Http2ClientConnection[] = []
  private readonly waiting: StreamWaiter[] = []
  private readonly tunnels: boolean
  /** Connections that are being opened. */
  private dials = 0
  private retired = false

  constructor(plan: DialPlan, address: string, owner: Http2PoolOwner, tunnels: boolean) {
    this.plan = plan
    this.address = address
    this.owner = owner
    this.tunnels = tunnels
  }

  get idleCount(): number {
    return this.connections.filter(({ load }) => load === 0).length
  }

  get activeCount(): number {
    return this.connections.length - this.idleCount
  }

  get quiet(): boolean {
    return this.connections.length === 0 && this.dials === 0
  }

  acquire(waiter: StreamWaiter): (() => void) | null {
    const connection = this.pick()
    if (connection !== undefined) {
      waiter.onStream(connection.reserve())
      return null
    }
    this.waiting.push(waiter)
    this.dialForWaiting()
    return () => {
      const at = this.waiting.indexOf(waiter)
      if (at >= 0) this.waiting.splice(at, 1)
    }
  }

  /**
   * The connection with room that has the least to do. One that is stalled by slow readers counts while there is no other,
   * and there can't be.
   */
  private pick(stalledToo = this.connections.length >= MAX_CONNECTIONS): Http2ClientConnection | undefined {
    let best: Http2ClientConnection | undefined
    let stalled: Http2ClientConnection | undefined
    const now = performance.now()
    for (const connection of this.connections) {
      if (!connection.hasRoom || now > connection.retireAtMs) continue
      if (connection.bodies.isStalled(now)) stalled ??= connection
      else if (best === undefined || connection.load < best.load) best = connection
    }
    return best ?? (stalledToo ? stalled : undefined)
  }

  /** Of requests, which end soon, one connection takes very many; of tunnels, as many as everybody knows. */
  private dialForWaiting(): void {
    if (this.waiting.length > 0 && this.dials === 0) this.dial()
    while (this.tunnels && this.waiting.length > this.dials * MAX_TUNNELS) this.dial()
  }

  private dial(): void {
    this.dials++
    let connection: Http2ClientConnection | null = null
    const done = (result: DialResult): void => {
      this.dials--
      if (result instanceof ProxyError) {
        const waiters = this.waiting.splice(0, this.tunnels ? MAX_TUNNELS : this.waiting.length)
        for (const waiter of waiters) {
          const stalled = this.pick(true)
          if (stalled === undefined) waiter.onConnectFailure(result)
          else waiter.onStream(stalled.reserve())
        }
        return
      }
      connection = new Http2ClientConnection(result.socket, this, this.tunnels)
      const now = performance.now()
      connection.endsAtMs = now + result.lifeMs
      connection.retireAtMs =
        now + (this.tunnels ? result.lifeMs * TUNNELS_LIFE : result.lifeMs - CERTIFICATE_MARGIN_MS)
      this.connections.push(connection)
      this.owner.connectionOpened()
      this.serve()
      // Whoever waited for it is still served.
      if (this.retired) connection.retire()
    }
    const sink: ReadSink = (chunk, start, end) => connection?.onData(chunk, start, end)
    dial(this.plan, this.owner.connectTimeoutMs, done, sink)
  }

  /** Gives those who wait what room there is, and dials when some are left. */
  private serve(): void {
    while (this.waiting.length > 0) {
      const connection = this.pick()
      if (connection === undefined) return this.dialForWaiting()
      this.waiting.shift()!.onStream(connection.reserve())
    }
  }

  onRoom(): void {
    if (this.waiting.length > 0) this.serve()
  }

  onLeaving(): void {
    if (this.waiting.length > 0) this.serve()
  }

  onClosed(connection: Http2ClientConnection, fault: ConnectionError | null): void {
    if (fault !== null) this.owner.connectionBroken(this.address, fault.fault, fault.message)
    const at = this.connections.indexOf(connection)
    if (at < 0) return
    this.connections.splice(at, 1)
    this.owner.connectionEnded()
  }

  sweep(now: number): void {
    for (const connection of [...this.connections]) {
      if (!connection.keepAlive(now)) {
        this.owner.connectionBroken(this.address, 'keep_alive_timeout', 'no sign of life')
        connection.close()
      } else if (now > connection.retireAtMs) {
        connection.retire()
        if (connection.closed || now <= connection.endsAtMs) continue
        this.owner.connectionBroken(this.address, 'certificate_expired', 'requests outlive its certificates')
        connection.close()
      } else if (connection.load === 0 && now - connection.idleSinceMs > IDLE_MS) connection.close()
    }
  }

  retire(): void {
    this.retired = true
    for (const connection of [...this.connections]) connection.retire()
  }
}

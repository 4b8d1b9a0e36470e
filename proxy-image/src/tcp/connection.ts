import type { Socket } from 'node:net'
import { Deadline, type DeadlineOwner } from '../attempts/deadline.ts'
import { ProxyError, type Reason } from '../errors.ts'
import type { AccessLogRecord } from '../telemetry/access-log.ts'
import type { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import { type Dialed, Dialing, type TcpPlan } from './dialing.ts'
import { Relay, type RelayOwner, reset } from './relay.ts'

/** Who is at the other end, and how long the certificates of the connection last, in milliseconds. */
export interface TcpPeer {
  /** SPIFFE ID; null for one without. */
  readonly id: string | null
  /** SNI; null without TLS. */
  readonly serverName: string | null
  readonly lifeMs: number
}

/** Longer timers fire at once (setTimeout). */
const MAX_TIMER_MS = 2 ** 31 - 1
/** Connections end this long before the first of their certificates does. */
const CERTIFICATE_MARGIN_MS = 1_000

/**
 * One connection of a TCP listener, from its acceptance to its last byte, and what the access log says of it. Nothing is
 * taken out of it before there is an endpoint to send it to.
 */
export class TcpConnection implements AccessLogRecord, RelayOwner, DeadlineOwner {
  readonly startTimeMs = Date.now()
  readonly method = ''
  readonly target = ''
  readonly authority = null
  readonly protocol = 'TCP'
  readonly status = 0
  readonly upstreamServiceTimeMs = null
  readonly responseHeadMs = null
  /** SNI, of TLS that is ended here or passed through; null where there is none. */
  serverName: string | null
  readonly downstreamAddress: string
  readonly downstreamLocalAddress: string
  readonly peer: TcpPeer
  durationMs = 0
  bytesReceived = 0
  bytesSent = 0
  reason: Reason | null = null
  route: string | null = null
  private readonly startedAtMs = performance.now()
  private readonly downstream: Socket
  private readonly onOver: (error: ProxyError | null) => void
  private dialing: Dialing | null = null
  private relay: Relay | null = null
  private metrics: TcpMetrics | null = null
  private idleMs = 0
  private idle: Deadline | null = null
  private movedAtMs = this.startedAtMs
  private expiry: NodeJS.Timeout | null = null
  private over = false

  /** `onOver` is called once, when nothing more moves. */
  constructor(socket: Socket, peer: TcpPeer, onOver: (error: ProxyError | null) => void) {
    this.downstream = socket
    this.peer = peer
    this.onOver = onOver
    this.serverName = peer.serverName
    this.downstreamAddress = `${socket.remoteAddress}:${socket.remotePort}`
    this.downstreamLocalAddress = `${socket.localAddress}:${socket.localPort}`
    // Either end may stop sending while the other one goes on.
    socket.allowHalfOpen = true
    socket.on('error', this.onEarlyError)
  }

  /** Before there is an endpoint nothing is read, so that an error is rare: a write of the handshake's end. */
  private readonly onEarlyError = (cause: Error): void => {
    this.fail(new ProxyError('downstream_closed', 'downstream', { cause }))
  }

  /** Goes this way, over `ready` where the app was dialled already. */
  start(plan: TcpPlan, ready: Dialed | undefined): void {
    this.route = plan.route
    this.idleMs = plan.idleMs
    this.dialing = new Dialing(plan, (result) => {
      if (result instanceof ProxyError) this.fail(result)
      else this.join(result)
    })
    if (ready === undefined) this.dialing.start()
    else this.dialing.adopt(ready)
  }

  private join(upstream: Dialed): void {
    this.metrics = this.dialing!.target!.metrics
    this.metrics.connections.inc()
    this.downstream.removeListener('error', this.onEarlyError)
    this.relay = new Relay(this.downstream, upstream.socket, this)
    // It ended without a word while nobody listened: the relay can't hear of it any more.
    if (this.downstream.readableEnded) upstream.socket.end()
    this.movedAtMs = performance.now()
    if (this.idleMs !== 0) {
      this.idle = new Deadline(this)
      this.idle.set(this.idleMs, this.movedAtMs)
    }
    const lifeMs = Math.min(this.peer.lifeMs, upstream.lifeMs) - CERTIFICATE_MARGIN_MS
    if (lifeMs === Number.POSITIVE_INFINITY) return
    this.expiry = setTimeout(() => this.expire(), Math.min(Math.max(lifeMs, 0), MAX_TIMER_MS))
    this.expiry.unref()
  }

  private expire(): void {
    const message = 'no connection outlives the certificates it was opened with'
    this.fail(new ProxyError('tls_failed', 'mesh', { message }))
  }

  // ---- bytes ------------------------------------------------------------------------------------------------------

  onReceived(bytes: number): void {
    this.bytesReceived += bytes
    this.metrics!.received.inc(bytes)
    this.movedAtMs = performance.now()
  }

  onSent(bytes: number): void {
    this.bytesSent += bytes
    this.metrics!.sent.inc(bytes)
    this.movedAtMs = performance.now()
  }

  onDeadline(): void {
    const now = performance.now()
    const quietMs = now - this.movedAtMs
    if (quietMs < this.idleMs - 1) return this.idle!.set(Math.ceil(this.idleMs - quietMs), now)
    const message = `no byte moved in ${this.idleMs} ms (idle timeout)`
    this.fail(new ProxyError('idle_timeout', 'mesh', { message }))
  }

  // ---- the end ----------------------------------------------------------------------------------------------------

  onRelayed(error: ProxyError | null): void {
    this.finish(error)
  }

  /** Ends the connection with a reset: its ends must not take what they got for all there is. */
  fail(error: ProxyError): void {
    if (this.relay !== null) return this.relay.cut(error)
    this.dialing?.cancel()
    reset(this.downstream)
    this.finish(error)
  }

  private finish(error: ProxyError | null): void {
    if (this.over) return
    this.over = true
    this.idle?.cancel()
    if (this.expiry !== null) clearTimeout(this.expiry)
    this.reason = error?.reason ?? null
    this.durationMs = performance.now() - this.startedAtMs
    this.onOver(error)
  }

  // ---- what the access log says -----------------------------------------------------------------------------------

  get attempts(): number {
    return this.dialing?.attempts ?? 0
  }

  get upstreamAddress(): string | null {
    return this.dialing?.endpoint?.pool?.address ?? null
  }

  get upstreamCluster(): string | null {
    return this.dialing?.target?.cluster.spec.name ?? null
  }

  get peerUri(): string | null {
    return this.peer.id
  }

  requestHeader(): null {
    return null
  }

  responseHeader(): null {
    return null
  }
}

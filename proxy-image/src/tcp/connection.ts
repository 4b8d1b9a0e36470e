import { Deadline, type DeadlineOwner, MAX_TIMER_MS } from '../attempts/deadline.ts'
import { ProxyError, type Reason } from '../errors.ts'
import type { AccessLogRecord } from '../telemetry/access-log.ts'
import type { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import { CERTIFICATE_MARGIN_MS } from '../tls/peer.ts'
import { type Dialed, Dialing, type TcpPlan } from './dialing.ts'
import type { TcpEnd } from './end.ts'
import { Relay, type RelayOwner } from './relay.ts'

/** Who is at the other end. */
export interface TcpPeer {
  /** `address:port` of the far end, and of this one. */
  readonly remoteAddress: string
  readonly localAddress: string
  /** SPIFFE ID; null for one without. */
  readonly peer: string | null
  /** SNI; null without TLS. */
  readonly serverName: string | null
  /** `performance.now()` when the connection must end, for the sake of its certificates. */
  readonly retireAtMs: number
}

/**
 * One connection of a TCP listener, from its acceptance to its last byte, and what the access log says of it. What
 * its client says waits in the socket until there is an endpoint to send it to.
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
  readonly peerUri: string | null
  durationMs = 0
  bytesReceived = 0
  bytesSent = 0
  reason: Reason | null = null
  route: string | null = null
  private readonly startedAtMs = performance.now()
  private readonly retireAtMs: number
  private readonly onOver: (error: ProxyError | null) => void
  private readonly relay: Relay
  private dialing: Dialing | null = null
  private dialed: Dialed | null = null
  private metrics: TcpMetrics | null = null
  private idleMs = 0
  private idle: Deadline | null = null
  private movedAtMs = this.startedAtMs
  private expiry: NodeJS.Timeout | null = null
  private over = false

  /** `onOver` is called once, when nothing more moves. */
  constructor(downstream: TcpEnd, peer: TcpPeer, onOver: (error: ProxyError | null) => void) {
    this.onOver = onOver
    this.serverName = peer.serverName
    this.peerUri = peer.peer
    this.retireAtMs = peer.retireAtMs
    this.downstreamAddress = peer.remoteAddress
    this.downstreamLocalAddress = peer.localAddress
    this.relay = new Relay(downstream, this)
  }

  /** Goes this way. */
  start(plan: TcpPlan): void {
    // It may be over before its beginning was read.
    if (this.over) return
    this.route = plan.route
    this.idleMs = plan.idleMs
    this.dialing = new Dialing(plan, (result) => {
      if (result instanceof ProxyError) this.fail(result)
      else this.join(result)
    })
    this.dialing.start()
  }

  private join(upstream: Dialed): void {
    this.metrics = this.dialing!.target!.metrics
    this.metrics.connections.inc()
    this.dialed = upstream
    this.movedAtMs = performance.now()
    if (this.idleMs !== 0) {
      this.idle = new Deadline(this)
      this.idle.set(this.idleMs, this.movedAtMs)
    }
    this.expireAt(Math.min(this.retireAtMs, upstream.endsAtMs - CERTIFICATE_MARGIN_MS))
    this.relay.join(upstream.end)
  }

  private expireAt(atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) return
    const lifeMs = atMs - performance.now()
    const then = () => (lifeMs > MAX_TIMER_MS ? this.expireAt(atMs) : this.expire())
    this.expiry = setTimeout(then, Math.min(Math.max(lifeMs, 0), MAX_TIMER_MS))
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

  /** Ends the connection with a reset: its ends must not take what they got for all there is. */
  fail(error: ProxyError): void {
    this.dialing?.cancel()
    this.relay.cut(error)
  }

  onUpstreamClosed(): void {
    this.dialed!.release()
  }

  onRelayed(error: ProxyError | null): void {
    if (this.over) return
    this.over = true
    this.dialing?.cancel()
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

  requestHeader(): null {
    return null
  }

  responseHeader(): null {
    return null
  }
}

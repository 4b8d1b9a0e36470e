import type { ProxyError } from '../errors.ts'
import type { EndListener, TcpEnd } from './end.ts'

/** Whom a relay reports to. */
export interface RelayOwner {
  onReceived(bytes: number): void
  onSent(bytes: number): void
  onUpstreamClosed(): void
  /** Both ends are closed, in peace (null) or for this reason, or the only one breaks. */
  onRelayed(error: ProxyError | null): void
}

/**
 * Passes bytes both ways until both ends are closed. The end of one direction is passed on and leaves the other one open
 * (RFC 9293, section 3.6); an end that reads slowly stops the one that writes; what breaks one end resets the other.
 */
export class Relay {
  private readonly owner: RelayOwner
  private readonly downstream: Side
  private upstream: Side | null = null
  private open = 1
  private fault: ProxyError | null = null

  /** Of the downstream nothing is read yet; it may break. */
  constructor(downstream: TcpEnd, owner: RelayOwner) {
    this.owner = owner
    this.downstream = new Side(this, downstream, (bytes) => owner.onReceived(bytes))
  }

  /** From here on bytes move. */
  join(end: TcpEnd): void {
    this.open++
    const { downstream, owner } = this
    const upstream = new Side(this, end, (bytes) => owner.onSent(bytes))
    this.upstream = upstream
    downstream.other = end
    upstream.other = downstream.end
    upstream.end.open()
    downstream.end.open()
  }

  onClosed(side: Side, error: ProxyError | null): void {
    if (error !== null) this.cut(error)
    if (side === this.upstream) this.owner.onUpstreamClosed()
    if (--this.open === 0) this.owner.onRelayed(this.fault)
  }

  /** Breaks both ends off at once, so that neither takes what it got for all there is. */
  cut(error: ProxyError): void {
    this.fault ??= error
    this.downstream.end.reset(error)
    if (this.upstream === null) this.owner.onRelayed(this.fault)
    else this.upstream.end.reset(error)
  }
}

/** One end, as its relay listens to it. */
class Side implements EndListener {
  readonly end: TcpEnd
  /** Where its bytes go. */
  other: TcpEnd | null = null
  private readonly relay: Relay
  private readonly count: (bytes: number) => void

  constructor(relay: Relay, end: TcpEnd, count: (bytes: number) => void) {
    this.relay = relay
    this.end = end
    this.count = count
    end.attach(this)
  }

  onData(chunk: Buffer, start: number, end: number): void {
    const other = this.other!
    this.count(end - start)
    other.write(chunk, start, end)
    if (!other.flush()) this.end.pause()
  }

  onEnd(): void {
    this.other!.end()
  }

  onDrain(): void {
    this.other!.resume()
  }

  onClosed(error: ProxyError | null): void {
    this.relay.onClosed(this, error)
  }
}

import { ConnectionError, ENHANCE_YOUR_CALM } from './frames.ts'

/** Frames without use that a peer may send in a burst, and each second after that. */
const BURST = 10_000
const PER_SECOND = 2_000
/** WINDOW_UPDATE frames that one DATA frame of ours may bring (receivers send two as a rule). */
const UPDATES_PER_DATA = 10
/** DATA that ends with the peer's window, and is smaller, does not count for that (CVE-2019-9511). */
const DRIBBLE_BYTES = 512
/** What waits for the peer to read, beside DATA, which waits elsewhere; more means that it never will. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024
/** Streams that may be given up before their answer, or be reset for a fault of the peer, in one window of time. */
const MAX_WASTED_STREAMS = 500
const WASTE_WINDOW_MS = 10_000

/**
 * Counts what costs the peer nothing and us something: frames that move no request (CVE-2019-9512 and others: SETTINGS,
 * PING, PRIORITY, empty DATA, WINDOW_UPDATE), and requests that are reset at once, by the peer (CVE-2023-44487) or by us on
 * its provocation (CVE-2025-8671). Who has too much of it loses the connection. Streams that are TCP connections are reset as
 * their clients like (a port check is nothing else): they would lose the connection for all others that share it, and cost no
 * more than connections that come to their end, which an authenticated sidecar may open as fast as it likes.
 */
export class FloodGuard {
  private budget = BURST
  private filledAtMs = performance.now()
  private wasted = 0
  private served = 0
  private windowSinceMs = this.filledAtMs
  private readonly tunnels: boolean

  constructor(tunnels: boolean) {
    this.tunnels = tunnels
  }

  /** A frame that moves nothing. @throws ConnectionError. */
  idleFrame(what: string): void {
    if (--this.budget > 0) return
    const now = performance.now()
    this.budget = Math.min(BURST, Math.floor(((now - this.filledAtMs) / 1000) * PER_SECOND))
    this.filledAtMs = now
    if (this.budget <= 0) throw new ConnectionError(ENHANCE_YOUR_CALM, `too many ${what} frames`)
  }

  /** A frame of a stream that is reset already. @throws ConnectionError. */
  lateFrame(what: string): void {
    if (!this.tunnels) this.idleFrame(what)
  }

  /** A frame that is answered: who does not read the answers must not make more of them (CVE-2019-9517). @throws ConnectionError. */
  answeredFrame(what: string, unreadBytes: number): void {
    if (unreadBytes > MAX_UNREAD_BYTES) {
      throw new ConnectionError(ENHANCE_YOUR_CALM, `${what} frames whose answers nobody reads`)
    }
  }

  /** A DATA frame of ours will be answered with window updates. `wanted`: what would have been sent with larger windows. */
  dataSent(bytes: number, wanted: number): void {
    if (this.budget < BURST && (bytes === wanted || bytes >= DRIBBLE_BYTES)) this.budget += UPDATES_PER_DATA
  }

  /** A stream came to its end with an answer. */
  streamServed(): void {
    this.served++
  }

  /** A stream was reset soon, and before its answer. @throws ConnectionError when that is all the peer does. */
  streamWasted(): void {
    if (this.tunnels) return
    const now = performance.now()
    if (now - this.windowSinceMs > WASTE_WINDOW_MS) {
      this.windowSinceMs = now
      this.wasted = 0
      this.served = 0
    }
    this.wasted++
    if (this.wasted > MAX_WASTED_STREAMS && this.wasted > this.served) {
      throw new ConnectionError(ENHANCE_YOUR_CALM, 'too many streams that are reset')
    }
  }
}

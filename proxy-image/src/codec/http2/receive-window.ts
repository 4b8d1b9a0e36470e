/** What may be sent before it is credited, in bytes: on one stream, its share of memory where the other side is slow, and on all. */
interface Windows {
  readonly stream: number
  readonly connection: number
}

export const REQUEST_WINDOWS: Windows = { stream: 256 * 1024, connection: 8 * 1024 * 1024 }

/** TCP connections that one connection carries. */
export const MAX_TUNNELS = 32
const TUNNEL_BYTES = 1024 * 1024
/** With the readers of all of them stalled the connection's window is used up, and no sooner. */
export const TUNNEL_WINDOWS: Windows = { stream: TUNNEL_BYTES, connection: MAX_TUNNELS * TUNNEL_BYTES }

/** What the other side may still send, and what it will be told to send again (RFC 9113, section 6.9). */
export class ReceiveWindow {
  private available: number
  private owed = 0
  private readonly creditFrom: number

  /**
   * A connection's window is credited as often as one of its streams': while it waits for that, what is left beside streams
   * whose readers are stalled must be enough for another one to go on.
   */
  constructor(size: number, { stream }: Windows) {
    this.available = size
    this.creditFrom = stream / 2
  }

  /** Takes a frame into account. False: it is more than was allowed. */
  take(bytes: number): boolean {
    this.available -= bytes
    return this.available >= 0
  }

  /** What came was passed on. Returns how much to give back now: nothing as a rule, half of a stream's window from time to time. */
  credit(bytes: number): number {
    this.owed += bytes
    if (this.owed < this.creditFrom) return 0
    const given = this.owed
    this.available += given
    this.owed = 0
    return given
  }
}

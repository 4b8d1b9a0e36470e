/** What a whole connection may be sent before it is credited, in bytes. */
export const CONNECTION_WINDOW = 8 * 1024 * 1024

/** What the other side may still send, and what it will be told to send again (RFC 9113, section 6.9). */
export class ReceiveWindow {
  private available: number
  private owed = 0
  private readonly size: number

  constructor(size: number) {
    this.size = size
    this.available = size
  }

  /** Takes a frame into account. False: it is more than was allowed. */
  take(bytes: number): boolean {
    this.available -= bytes
    return this.available >= 0
  }

  /** What came was passed on. Returns how much to give back now: nothing as a rule, half of the window from time to time. */
  credit(bytes: number): number {
    this.owed += bytes
    if (this.owed < this.size / 2) return 0
    const given = this.owed
    this.available += given
    this.owed = 0
    return given
  }
}

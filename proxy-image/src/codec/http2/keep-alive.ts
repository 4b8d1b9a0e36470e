import type { FrameWriter } from './frame-writer.ts'

/** Silence after which the peer is asked for a sign of life, and has as long again to give it. */
const SILENCE_MS = 15_000
const PAYLOAD = Buffer.from('weftping', 'latin1')

/** Finds out whether a silent peer is still there (RFC 9113, section 6.7): a half-open connection shows in no other way. */
export class KeepAlive {
  heardAtMs = performance.now()
  private pingSentAtMs = 0

  /** Something came in; it need not be the answer to a ping of ours. */
  heard(): void {
    this.heardAtMs = performance.now()
    this.pingSentAtMs = 0
  }

  /** Pings a silent peer that somebody waits for. False: it gave no sign of life. */
  check(now: number, isWaitedFor: boolean, writer: FrameWriter): boolean {
    if (!isWaitedFor || now - this.heardAtMs < SILENCE_MS) return true
    if (this.pingSentAtMs !== 0) return now - this.pingSentAtMs < SILENCE_MS
    this.pingSentAtMs = now
    writer.ping(false, PAYLOAD, 0)
    return true
  }
}

import { ProxyError } from '../errors.ts'
import { type Dialed, Dialing, type TcpPlan } from './dialing.ts'
import { reset } from './relay.ts'

/** Connections to the app that wait for a handshake: who has not shown a certificate may hold no more of them. */
const MAX_EARLY = 64
/** As long as a handshake may take. */
const WAIT_MS = 10_000

interface Ready {
  readonly dialed: Dialed
  readonly timer: NodeJS.Timeout
}

/**
 * Connections to the app of one port that are opened before a peer's handshake is complete, so that a dead app looks dead
 * to the peer. No byte was exchanged on any of them, so they are all alike: whoever completes a handshake takes the oldest.
 */
export class EarlyDials {
  private readonly ready: Ready[] = []
  private underWay = 0

  /** Dials; `done` says whether the handshake may go on. */
  prepare(plan: TcpPlan, done: (error: ProxyError | null) => void): void {
    // Then the handshake comes first, and the app is dialled behind it.
    if (this.underWay + this.ready.length >= MAX_EARLY) return done(null)
    this.underWay++
    new Dialing(plan, (result) => {
      this.underWay--
      if (result instanceof ProxyError) return done(result)
      this.keep(result)
      done(null)
    }).start()
  }

  private keep(dialed: Dialed): void {
    const timer = setTimeout(() => this.giveUp(one), WAIT_MS)
    timer.unref()
    const one = { dialed, timer }
    this.ready.push(one)
    dialed.socket.on('error', () => {})
    dialed.socket.once('close', () => this.forget(one))
  }

  private forget(one: Ready): void {
    clearTimeout(one.timer)
    const at = this.ready.indexOf(one)
    if (at >= 0) this.ready.splice(at, 1)
  }

  private giveUp(one: Ready): void {
    this.forget(one)
    reset(one.dialed.socket)
  }

  /** A connection that is ready; undefined when none is. */
  take(): Dialed | undefined {
    const [one] = this.ready
    if (one === undefined) return undefined
    this.forget(one)
    return one.dialed
  }

  close(): void {
    for (const one of [...this.ready]) this.giveUp(one)
  }
}

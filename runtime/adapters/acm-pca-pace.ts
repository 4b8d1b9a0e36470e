import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '../model/problem.ts'

/** A queue that is longer than this has callers who have given up. */
const LONGEST_WAIT_MS = 5_000

/** Spreads calls evenly: no more than so many a second, in the order in which they came. */
export class Pace {
  readonly #gapMs: number
  #nextMs = 0

  constructor(perSecond: number) {
    this.#gapMs = 1_000 / perSecond
  }

  /** Resolves when it is the caller's turn. Throws MeshError `throttled` when that is more than 5 s away. */
  async turn(): Promise<void> {
    const nowMs = performance.now()
    const turnMs = Math.max(this.#nextMs, nowMs)
    if (turnMs - nowMs > LONGEST_WAIT_MS) {
      throw new MeshError('throttled', 'More certificates are wanted than the CA may issue in a second; try again.')
    }
    this.#nextMs = turnMs + this.#gapMs
    if (turnMs > nowMs) await delay(turnMs - nowMs)
  }
}

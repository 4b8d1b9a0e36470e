import { setTimeout as sleep } from 'node:timers/promises'

/** Waits between tries: doubled each time up to a cap, half of it random so that a fleet does not come back as one. */
export class BackOff {
  readonly #firstMs: number
  readonly #capMs: number
  #failures = 0

  constructor(firstMs: number, capMs: number) {
    this.#firstMs = firstMs
    this.#capMs = capMs
  }

  /**
   * Milliseconds to wait before the next try; call it once a failure.
   * @param atLeastMs what the other side wants at least; up to as much again comes on top, so that those who were told the
   *   same do not come back as one
   */
  next(atLeastMs = 0): number {
    const ceiling = Math.min(this.#capMs, this.#firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures++
    return Math.max(ceiling / 2 + (Math.random() * ceiling) / 2, atLeastMs * (1 + Math.random()))
  }

  reset(): void {
    this.#failures = 0
  }
}

/** Resolves after `ms`, or as soon as the signal aborts. Never rejects, keeps no process alive. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {})
}

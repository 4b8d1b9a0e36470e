import { setImmediate } from 'node:timers'

/** Longest that work runs before requests that wait are looked at, in milliseconds. A write may wait as long. */
const SLICE_MS = 5

/** Shares the event loop between work that many callers ask for at once and everything else. First come, first served. */
export class Slices {
  readonly #waiting: (() => void)[] = []
  #spentMs = 0
  #scheduled = false

  /** Does `work` at once when there is time left in this slice, else in a later one. Rejects with what it throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
      if (this.#waiting.length === 1) this.#work()
    })
  }

  #work(): void {
    while (this.#waiting.length > 0 && this.#spentMs < SLICE_MS) {
      const startMs = performance.now()
      this.#waiting.shift()!()
      this.#spentMs += performance.now() - startMs
    }
    if (this.#scheduled) return
    this.#scheduled = true
    // After whatever waits at the sockets had its turn.
    setImmediate(() => {
      this.#scheduled = false
      this.#spentMs = 0
      if (this.#waiting.length > 0) this.#work()
    })
  }
}

/** Upper bounds of the buckets in milliseconds, inclusive; what is above the last one falls into `+Inf`. */
const BOUNDS_MS = Float64Array.of(0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000)

/** The same bounds as Prometheus wants them: `le` values in seconds. */
const BOUND_LABELS: readonly string[] = [...Array.from(BOUNDS_MS, (ms) => String(ms / 1000)), '+Inf']

/** Lines that one histogram renders to: its buckets, `_sum` and `_count`. */
export const HISTOGRAM_LINES: number = BOUND_LABELS.length + 2

/** Latencies in fixed buckets from 0.5 ms to 60 s. Observing allocates nothing. */
export class Histogram {
  // Doubles, not 32-bit integers: at 25,000 requests a second those would wrap within two days.
  readonly #counts = new Float64Array(BOUNDS_MS.length + 1)
  #sumMs = 0

  /** Counts one duration in milliseconds; negative ones (a clock that stepped back) count as 0, NaN is ignored. */
  observe(ms: number): void {
    if (Number.isNaN(ms)) return
    let low = 0
    let high = BOUNDS_MS.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (ms <= BOUNDS_MS[middle]!) high = middle
      else low = middle + 1
    }
    this.#counts[low]!++
    if (ms > 0) this.#sumMs += ms
  }

  get count(): number {
    let count = 0
    for (const n of this.#counts) count += n
    return count
  }

  /** Sum of all durations in milliseconds. */
  get sumMs(): number {
    return this.#sumMs
  }

  /**
   * Estimates a quantile (0..1) in milliseconds, linear inside its bucket; NaN while empty. Like Prometheus'
   * `histogram_quantile`, it answers the last finite bound for what lies above it.
   */
  quantile(q: number): number {
    const rank = q * this.count
    if (rank === 0 && this.count === 0) return Number.NaN
    let below = 0
    for (let i = 0; i < BOUNDS_MS.length; i++) {
      const inside = this.#counts[i]!
      if (inside > 0 && below + inside >= rank) {
        const lower = i === 0 ? 0 : BOUNDS_MS[i - 1]!
        return lower + (BOUNDS_MS[i]! - lower) * ((rank - below) / inside)
      }
      below += inside
    }
    return BOUNDS_MS[BOUNDS_MS.length - 1]!
  }

  /** Prometheus text lines; `labels` is the inside of the braces, already escaped, or empty. */
  render(name: string, labels: string): string {
    const before = labels === '' ? '' : `${labels},`
    let cumulative = 0
    let out = ''
    for (let i = 0; i < BOUND_LABELS.length; i++) {
      cumulative += this.#counts[i]!
      out += `${name}_bucket{${before}le="${BOUND_LABELS[i]}"} ${cumulative}\n`
    }
    const braces = labels === '' ? '' : `{${labels}}`
    return `${out}${name}_sum${braces} ${this.#sumMs / 1000}\n${name}_count${braces} ${cumulative}\n`
  }
}

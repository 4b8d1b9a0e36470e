import {
  type CounterName,
  FAMILIES,
  type FamilyName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
} from './families.ts'
import { HISTOGRAM_LINES, Histogram } from './histogram.ts'

/** A count that only grows. Keep the object, not its name: `inc` is the hot path. */
export class Counter {
  value = 0

  inc(n = 1): void {
    this.value += n
  }
}

type Labels = Readonly<Record<string, string>>
interface Series<V> {
  readonly labels: Labels
  readonly value: V
}
type Value = Counter | Histogram | (() => number)

/** Lines that all series together may render to: bounds memory and the size of a scrape (about 2 MB). */
const MAX_LINES = 20_000

/**
 * The metrics of one proxy, rendered as Prometheus text. Series are resolved when a snapshot is built and kept by their
 * holders; a request touches only the objects. Past the cap, a series is handed out that is counted nowhere else but in
 * `weft_metric_series_dropped_total`, so that a flood of names costs visibility and never memory.
 */
export class Metrics {
  readonly #families = new Map<string, Map<string, Series<Value>>>()
  readonly #maxLines: number
  #lines = 0
  readonly #dropped: Counter

  constructor(maxLines: number = MAX_LINES) {
    this.#maxLines = maxLines
    this.#dropped = this.counter('weft_metric_series_dropped_total', {})
  }

  /** The counter of these labels, created at its first use. */
  counter<N extends CounterName>(name: N, labels: LabelsOf<N>): Counter {
    return this.#resolve(name, labels, 1, () => new Counter())
  }

  /** The histogram of these labels, created at its first use. */
  histogram<N extends HistogramName>(name: N, labels: LabelsOf<N>): Histogram {
    return this.#resolve(name, labels, HISTOGRAM_LINES, () => new Histogram())
  }

  /** A value read at each scrape; a later call for the same labels takes the place of the former reader. */
  gauge<N extends GaugeName>(name: N, labels: LabelsOf<N>, read: () => number): void {
    this.#replace(name, labels, read)
  }

  /** A counter that something else keeps, such as the CPU time of the process: read at each scrape. */
  counterFrom<N extends CounterName>(name: N, labels: LabelsOf<N>, read: () => number): void {
    this.#replace(name, labels, read)
  }

  /**
   * Forgets every series that `keep` does not want. Holders of forgotten series may go on counting into them, unseen.
   * Call it a while after a new snapshot (see `seriesOf`), so that a last scrape still reads the final counts.
   */
  prune(keep: (name: FamilyName, labels: Labels) => boolean): void {
    for (const [name, family] of this.#families) {
      for (const [key, series] of family) {
        if (keep(name as FamilyName, series.labels)) continue
        family.delete(key)
        this.#lines -= series.value instanceof Histogram ? HISTOGRAM_LINES : 1
      }
    }
  }

  /** Prometheus text format 0.0.4; families in the order of their table. A gauge whose reader throws is left out. */
  render(): string {
    let out = ''
    for (const [name, { type, help }] of Object.entries(FAMILIES)) {
      const family = this.#families.get(name)
      if (family === undefined || family.size === 0) continue
      out += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`
      for (const [key, { value }] of family) out += renderSeries(name, key, value)
    }
    return out
  }

  #resolve<V extends Counter | Histogram>(name: FamilyName, labels: Labels, lines: number, create: () => V): V {
    const family = this.#family(name)
    const key = labelText(name, labels)
    const known = family.get(key)
    if (known !== undefined) return known.value as V
    const value = create()
    if (this.#reserve(lines)) family.set(key, { labels, value })
    return value
  }

  #replace(name: FamilyName, labels: Labels, read: () => number): void {
    const family = this.#family(name)
    const key = labelText(name, labels)
    if (family.has(key) || this.#reserve(1)) family.set(key, { labels, value: read })
  }

  #reserve(lines: number): boolean {
    if (this.#lines + lines > this.#maxLines) {
      this.#dropped.inc()
      return false
    }
    this.#lines += lines
    return true
  }

  #family(name: string): Map<string, Series<Value>> {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = new Map()
      this.#families.set(name, family)
    }
    return family
  }
}

function renderSeries(name: string, key: string, value: Value): string {
  if (value instanceof Histogram) return value.render(name, key)
  const braces = key === '' ? '' : `{${key}}`
  if (value instanceof Counter) return `${name}${braces} ${value.value}\n`
  try {
    return `${name}${braces} ${number(value())}\n`
  } catch {
    // One broken reader must not cost the whole scrape.
    return ''
  }
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function labelText(name: FamilyName, labels: Labels): string {
  let text = ''
  for (const label of FAMILIES[name].labels) {
    const value = labels[label]
    if (value === undefined || value === '') continue
    text += `${text === '' ? '' : ','}${label}="${escapeLabel(value)}"`
  }
  return text
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

import type { Certificates } from '../certificates.ts'
import type { Metric } from '../statistics.ts'

/** Where the load goes. */
export interface Target {
  /** Ends in `/`. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly certificates: Certificates
  /** For files that the generator needs. */
  readonly directory: string
}

/** What one run reported. */
export interface LoadReport {
  /** Requests, or connections where each request has one of its own. */
  readonly count: number
  /** What only the generator can know. */
  readonly figures: Readonly<Partial<Record<Metric, number>>>
  /** What went wrong, in the generator's words; undefined when nothing did. */
  readonly errors: string | undefined
}

/** A program that makes load. */
export interface Generator {
  /** Why it can't run here; undefined when it can. */
  missing(): Promise<string | undefined>
  /** Runs it to its end, on the core of the load. Throws when its report can't be read. */
  run(target: Target, seconds: number): Promise<LoadReport>
}

/** A report whose one figure is how many requests were answered in a second. */
export function throughputReport(count: number, perSecond: number, errors: readonly string[]): LoadReport {
  const all = count === 0 ? [...errors, 'no request was answered'] : errors
  return { count, figures: { throughput: perSecond }, errors: all.length === 0 ? undefined : all.join('; ') }
}

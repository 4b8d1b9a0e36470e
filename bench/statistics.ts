import type { Subject } from './peers/peer.ts'

export type Metric = 'cpu-per-request' | 'throughput' | 'rss' | 'private-dirty' | 'rss-idle'

export const UNITS: Readonly<Record<Metric, string>> = {
  'cpu-per-request': 'us',
  throughput: 'req/s',
  rss: 'MB',
  'private-dirty': 'MB',
  'rss-idle': 'MB',
}

/** One measured value; `round` pairs it with the other subjects' values of the same round. */
export interface Sample {
  readonly subject: Subject
  readonly metric: Metric
  readonly round: number
  readonly value: number
}

/** One line of results.json. */
export interface Row {
  readonly case: string
  readonly subject: Subject
  readonly metric: Metric
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** Valid rounds behind the figures. */
  readonly rounds: number
  /** Median over the rounds of this value by Envoy's of the same round; null when no round has both. */
  readonly ratioToEnvoy: number | null
}

/** The middle value, or the mean of the two middle ones. Throws for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * The median over the rounds of `subject` by `base` in the same round: what the machine did to both in one round
 * cancels out. Undefined when no round has both.
 */
export function pairedRatio(
  samples: readonly Sample[],
  metric: Metric,
  subject: Subject,
  base: Subject,
): number | undefined {
  const of = (name: Subject) => samples.filter((sample) => sample.metric === metric && sample.subject === name)
  const bases = new Map(of(base).map((sample) => [sample.round, sample.value]))
  const ratios = of(subject).flatMap(({ round, value }) => {
    const other = bases.get(round)
    return other === undefined || other === 0 ? [] : [value / other]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}

const rounded = (value: number): number => Number(value.toPrecision(4))

/** The rows of one case, subjects and metrics in the order in which they first came. */
export function rowsOf(name: string, samples: readonly Sample[]): Row[] {
  const keys = new Map(samples.map(({ subject, metric }) => [`${subject} ${metric}`, { subject, metric }]))
  return [...keys.values()].map(({ subject, metric }) => {
    const values = samples.filter((s) => s.subject === subject && s.metric === metric).map((s) => s.value)
    const ratio = pairedRatio(samples, metric, subject, 'envoy')
    return {
      case: name,
      subject,
      metric,
      unit: UNITS[metric],
      median: rounded(median(values)),
      min: rounded(Math.min(...values)),
      max: rounded(Math.max(...values)),
      rounds: values.length,
      ratioToEnvoy: ratio === undefined ? null : rounded(ratio),
    }
  })
}

import type { Subject } from './peers/peer.ts'

/** How a figure is called, and which of two is the better one. */
interface MetricKind {
  readonly title: string
  readonly unit: string
  readonly better: 'lower' | 'higher'
}

const KINDS = {
  'cpu-per-request': { title: 'CPU per request', unit: 'us', better: 'lower' },
  'bytes-per-cpu-second': { title: 'bytes per CPU second', unit: 'MiB', better: 'higher' },
  'connections-per-cpu-second': { title: 'connections per CPU second', unit: '1', better: 'higher' },
  throughput: { title: 'throughput at saturation', unit: 'req/s', better: 'higher' },
  resumed: { title: 'resumed', unit: '%', better: 'higher' },
  p50: { title: 'p50', unit: 'ms', better: 'lower' },
  p99: { title: 'p99', unit: 'ms', better: 'lower' },
  'p99.9': { title: 'p99.9', unit: 'ms', better: 'lower' },
  'added-p50': { title: 'added p50', unit: 'ms', better: 'lower' },
  'added-p99': { title: 'added p99', unit: 'ms', better: 'lower' },
  'added-p99.9': { title: 'added p99.9', unit: 'ms', better: 'lower' },
  rss: { title: 'RSS after load', unit: 'MB', better: 'lower' },
  'private-dirty': { title: 'private dirty after load', unit: 'MB', better: 'lower' },
  'rss-idle': { title: 'RSS idle', unit: 'MB', better: 'lower' },
} as const satisfies Readonly<Record<string, MetricKind>>

export type Metric = keyof typeof KINDS

export const METRICS: Readonly<Record<Metric, MetricKind>> = KINDS

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
    return other === undefined || other <= 0 ? [] : [value / other]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}

/** What the proxies add to a latency: each subject's figure minus that of `direct` in the same round. */
export function addedLatency(samples: readonly Sample[]): Sample[] {
  const direct = samples.filter(({ subject }) => subject === 'direct')
  return samples.flatMap((sample) => {
    const { subject, metric, round, value } = sample
    if (subject === 'direct' || !isLatency(metric)) return []
    const base = direct.find((other) => other.metric === metric && other.round === round)
    return base === undefined ? [] : [{ ...sample, metric: `added-${metric}` as const, value: value - base.value }]
  })
}

const isLatency = (metric: Metric): metric is 'p50' | 'p99' | 'p99.9' => /^p\d/.test(metric)

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
      unit: METRICS[metric].unit,
      median: rounded(median(values)),
      min: rounded(Math.min(...values)),
      max: rounded(Math.max(...values)),
      rounds: values.length,
      ratioToEnvoy: ratio === undefined ? null : rounded(ratio),
    }
  })
}

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Bar, Case } from './cases/case.ts'
import type { Machine } from './machine.ts'
import type { Subject } from './peers/peer.ts'
import type { CaseResult } from './run-case.ts'
import { METRICS, type Metric, pairedRatio, type Row, rowsOf } from './statistics.ts'

/** How one bar was met. `value` is undefined when one of both subjects has no figure. */
interface Verdict extends Bar {
  readonly case: string
  readonly value: number | undefined
}

/** The content of results.json. */
export interface Results {
  readonly machine: Machine
  readonly versions: Readonly<Record<string, string>>
  readonly date: string
  readonly commit: string
  readonly cases: readonly Row[]
  readonly verdicts: readonly Verdict[]
  readonly notes: readonly { readonly case: string; readonly note: string }[]
}

/** Rows, verdicts and notes of what was measured. */
export function toResults(
  results: readonly CaseResult[],
  facts: Pick<Results, 'machine' | 'versions' | 'date' | 'commit'>,
): Results {
  return {
    ...facts,
    cases: results.flatMap((result) => rowsOf(result.case.name, result.samples)),
    verdicts: results.flatMap(({ case: { name, bars }, samples }) =>
      bars.map((bar) => ({ ...bar, case: name, value: pairedRatio(samples, bar.metric, 'weft', bar.against) })),
    ),
    notes: results.flatMap((result) => result.notes.map((note) => ({ case: result.case.name, note }))),
  }
}

/** Keeps the cases of an earlier run that weren't measured now, provided that machine and commit are the same. */
export function keepOthers(now: Results, earlier: Results | undefined): Results {
  const same =
    earlier !== undefined &&
    earlier.commit === now.commit &&
    JSON.stringify(earlier.machine) === JSON.stringify(now.machine)
  if (!same) return now
  const measured = new Set([...now.cases, ...now.notes].map((entry) => entry.case))
  const other = (entry: { case: string }) => !measured.has(entry.case)
  return {
    ...now,
    cases: [...earlier.cases.filter(other), ...now.cases],
    verdicts: [...earlier.verdicts.filter(other), ...now.verdicts],
    notes: [...earlier.notes.filter(other), ...now.notes],
  }
}

function figure(row: Row | undefined): string {
  if (row === undefined) return ''
  const spread = row.rounds > 1 ? ` (${row.min} to ${row.max})` : ''
  const ratio = row.ratioToEnvoy === null ? '' : ` **${row.ratioToEnvoy.toFixed(2)}x**`
  return `${row.median}${spread}${ratio}`
}

function verdictLine(verdict: Verdict): string {
  const { title, better } = METRICS[verdict.metric]
  const goal = `${title} ${better === 'lower' ? '<=' : '>='} ${verdict.ratio} x ${verdict.against}`
  if (verdict.value === undefined) return `- ${verdict.level}: ${goal}: not measured`
  const reached = better === 'lower' ? verdict.value <= verdict.ratio : verdict.value >= verdict.ratio
  return `- ${verdict.level}: ${goal}: ${verdict.value.toFixed(2)}, ${reached ? 'reached' : '**missed**'}`
}

/** `CPU per request, us`; what is better when it is more says so. */
function heading(metric: Metric): string {
  const { title, unit, better } = METRICS[metric]
  return `${title}, ${unit}${better === 'higher' && metric !== 'throughput' ? ', more is better' : ''}`
}

/** A Markdown table with its columns aligned, as the formatter of this repository wants it. The first row is the head. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const rule = line(widths.map((width) => '-'.repeat(width)))
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)]
}

/** The table of one case, its bars and its notes. */
export function caseTable(spec: Case, results: Results): string {
  const rows = results.cases.filter((row) => row.case === spec.name)
  const find = (subject: Subject, metric: Metric) => rows.find((r) => r.subject === subject && r.metric === metric)
  const head = ['subject', ...spec.metrics.map(heading)]
  const lines = spec.peers
    .filter(({ name }) => rows.some((row) => row.subject === name))
    .map(({ name }) => [name, ...spec.metrics.map((metric) => figure(find(name, metric)))])
  const verdicts = results.verdicts.filter((verdict) => verdict.case === spec.name).map(verdictLine)
  const notes = results.notes.filter((note) => note.case === spec.name).map(({ note }) => `- note: ${note}`)
  return [`### ${spec.name}: ${spec.title}`, '', ...table([head, ...lines]), '', ...verdicts, ...notes, ''].join('\n')
}

/** RESULTS.md: everything that a reader needs to judge the figures. */
export function resultsPage(cases: readonly Case[], results: Results): string {
  const { machine, versions, date, commit } = results
  const present = cases.filter((spec) => [...results.cases, ...results.notes].some((entry) => entry.case === spec.name))
  const features = new Map(present.flatMap((spec) => spec.peers.map((peer) => [peer.name, peer.features] as const)))
  return [
    '# Weft beside its peers',
    '',
    `Written by \`npm run bench\` on ${date}, commit ${commit}. Do not edit.`,
    '',
    `Machine: ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGb} GB, ${machine.kernel}; Node ${machine.node}, ${machine.wrk}, ${[...new Set(Object.values(versions))].join(', ')}.`,
    '',
    'The proxy is alone on core 0; load (wrk, h2load, fortio or openssl s_time, one thread) and backend (nginx) share core 1. CPU',
    'is user + system time of all threads of the proxy, of both for a pair, over what the load counted; so it is for bytes and',
    'connections per CPU second, where more is better. Added latency is that with proxies minus that of `direct` in the same',
    'round, in percentiles of each, at a fixed rate that no slow answer holds up. Subjects take turns in every round;',
    'figures are medians, with minimum and maximum in brackets. **n x** is the median over the rounds of the ratio to `envoy`',
    'in the same round. A measurement during which other processes had more than a tenth of core 0 is done again once, and the',
    'less disturbed one counts. Machines are noisy: read the ratios rather than the figures.',
    '',
    ...present.map((spec) => caseTable(spec, results)),
    '### What is switched on',
    '',
    ...[...features].map(([name, text]) => `- \`${name}\`: ${text}`),
    '',
    'Access logs go to `/dev/null`, so that formatting and writing count and the disk does not. Between the proxies of a pair:',
    'TLS 1.3, P-256 leaf certificates, both sides authenticated, connections kept alive; the peers use AES-128-GCM, Weft',
    'the AES-256-GCM that OpenSSL prefers. Tracing and authorization are off in all.',
    '',
  ].join('\n')
}

const START = '<!-- bench:start -->'
const END = '<!-- bench:end -->'

/** The README's short form: one line a case, its first metric and the ratio to Envoy for each subject; then the bars. */
function summary(cases: readonly Case[], results: Results): string {
  const present = cases.filter((spec) => results.cases.some((row) => row.case === spec.name))
  const ratio = (spec: Case, subject: Subject) => {
    const row = results.cases.find((r) => r.case === spec.name && r.subject === subject && r.metric === spec.metrics[0])
    return row === undefined ? '' : `${row.median} (${row.ratioToEnvoy?.toFixed(2) ?? '?'}x)`
  }
  const subjects = [...new Set(present.flatMap((spec) => spec.peers.map((peer) => peer.name)))]
  const shown = subjects.filter((name) => present.some((spec) => ratio(spec, name) !== ''))
  const lines = present.map((spec) => [
    `${spec.name}: ${heading(spec.metrics[0]!)}`,
    ...shown.map((name) => ratio(spec, name)),
  ])
  const verdicts = results.verdicts.map((verdict) => verdictLine(verdict).replace('- ', `- \`${verdict.case}\` `))
  return [
    '',
    ...table([['case', ...shown], ...lines]),
    '',
    `Measured on ${results.date}, commit ${results.commit}; less is better where nothing else is said. A ratio is the median of the ratios`,
    'of each round, not the ratio of the medians; everything else stands in [bench/RESULTS.md](bench/RESULTS.md).',
    '',
    ...verdicts,
    '',
  ].join('\n')
}

/** Puts the short form between the markers of the README; a README without them stays as it is. */
export function readmeWith(readme: string, cases: readonly Case[], results: Results): string {
  const [from, to] = [readme.indexOf(START), readme.indexOf(END)]
  if (from === -1 || to < from) return readme
  return `${readme.slice(0, from + START.length)}\n${summary(cases, results)}\n${readme.slice(to)}`
}

/** Writes results.json and RESULTS.md into a directory, and the README's section. */
export function writeReport(paths: { directory: string; readme: string }, cases: readonly Case[], now: Results): void {
  const file = `${paths.directory}/results.json`
  const earlier = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : undefined
  const results = keepOthers(now, earlier)
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(`${paths.directory}/RESULTS.md`, resultsPage(cases, results))
  if (existsSync(paths.readme)) {
    writeFileSync(paths.readme, readmeWith(readFileSync(paths.readme, 'utf8'), cases, results))
  }
}

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Case } from './cases/case.ts'
import type { Certificates } from './certificates.ts'
import type { Target } from './load/generator.ts'
import { type Measured, measure, memoryOf } from './measure.ts'
import { type Peer, type Running, type Subject, Unavailable } from './peers/peer.ts'
import { standing, stopAll } from './processes.ts'
import { addedLatency, METRICS, type Metric, median, type Sample } from './statistics.ts'

/** How a run is done, whatever the case. */
export interface Plan {
  readonly rounds: number
  /** Before the first round, when the compilers are at work. */
  readonly firstWarmUpSeconds: number
  readonly warmUpSeconds: number
  readonly seconds: number
  /** How often a measurement that others disturbed is done again; the least disturbed one counts. */
  readonly repeats: number
  /** Subjects to take; undefined for all of the case. */
  readonly only: ReadonlySet<Subject> | undefined
  readonly nodeFlags: readonly string[]
}

/** Where it is done. */
export interface Bench {
  readonly directory: string
  /** One port for each version of HTTP. */
  readonly backend: { readonly port: number; readonly http2Port: number }
  readonly certificates: Certificates
  /** Progress, one line at a time. */
  say(line: string): void
}

export interface CaseResult {
  readonly case: Case
  readonly samples: readonly Sample[]
  /** What a reader must know: subjects that are missing, rounds that don't count. */
  readonly notes: readonly string[]
}

/** Share of the proxy's core that others may have before it counts as disturbed. */
const QUIET = 0.1

interface Entry {
  readonly peer: Peer
  readonly running: Running
}

async function startPeers(spec: Case, plan: Plan, bench: Bench, directory: string, notes: string[]): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const peer of spec.peers.filter(({ name }) => plan.only?.has(name) ?? true)) {
    const own = join(directory, peer.name)
    mkdirSync(own)
    const { shape, protocol, clusters } = spec
    const { backend, certificates } = bench
    const backendPort = protocol === 'http' || protocol === 'tcp' ? backend.port : backend.http2Port
    const others = standing()
    try {
      const topology = {
        shape,
        protocol,
        clusters,
        backendPort,
        certificates,
        directory: own,
        nodeFlags: plan.nodeFlags,
      }
      entries.push({ peer, running: await peer.start(topology) })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      // Only the first line goes into the report: the rest is output that may hold paths of this machine.
      const said = error instanceof Unavailable ? message : `did not start: ${message.split('\n')[0]}`
      await stopAll(others)
      notes.push(`${peer.name}: ${said}`)
      bench.say(`  ${peer.name} is left out: ${message}`)
    }
  }
  return entries
}

function valuesOf(measured: Measured, { mebibytes = 0 }: Case): Partial<Record<Metric, number>> {
  const { figures, count, cpuUs, memory } = measured
  if (cpuUs === undefined || memory === undefined) return figures
  const perSecond = count / (cpuUs / 1e6)
  return {
    ...figures,
    'cpu-per-request': cpuUs / Math.max(count, 1),
    'connections-per-cpu-second': perSecond,
    'bytes-per-cpu-second': perSecond * mebibytes,
    rss: memory.rss,
    'private-dirty': memory.privateDirty,
  }
}

function line(subject: Subject, values: Partial<Record<Metric, number>>, { metrics }: Case): string {
  const figures = metrics.flatMap((metric) => {
    const value = values[metric]
    return value === undefined
      ? []
      : [`${METRICS[metric].title} ${Number(value.toPrecision(4))} ${METRICS[metric].unit}`]
  })
  return `  ${subject.padEnd(12)} ${figures.join(', ')}`
}

/** Chooses by how much others had of the core, never by the result, so that it favours nobody. */
async function measureInQuiet(entry: Entry, spec: Case, plan: Plan, target: Target): Promise<Measured> {
  const { pids } = entry.running
  const run = () => spec.load.run(target, plan.seconds * (spec.times ?? 1))
  let best = await measure(pids, run)
  for (let repeat = 0; repeat < plan.repeats && best.disturbance > QUIET; repeat++) {
    const again = await measure(pids, run)
    // An error is never measured away.
    if (best.errors === undefined && (again.errors !== undefined || again.disturbance < best.disturbance)) best = again
  }
  return best
}

function idleMemory(entries: readonly Entry[]): Sample[] {
  return entries
    .filter(({ running }) => running.pids.length > 0)
    .map(({ peer, running }) => ({
      subject: peer.name,
      metric: 'rss-idle',
      round: 1,
      value: memoryOf(running.pids).rss,
    }))
}

/**
 * Starts every subject of the case, measures them in turn, round by round, so that what the machine does meanwhile
 * hits all of them alike, and ends them. A run with errors doesn't count and is noted.
 */
export async function runCase(spec: Case, plan: Plan, bench: Bench): Promise<CaseResult> {
  bench.say(`${spec.name}: ${spec.title}`)
  const missing = await spec.load.missing()
  if (missing !== undefined) {
    bench.say(`  left out: ${missing}`)
    return { case: spec, samples: [], notes: [`not measured: ${missing}`] }
  }
  const directory = join(bench.directory, spec.name)
  mkdirSync(directory)
  const notes: string[] = []
  const entries = await startPeers(spec, plan, bench, directory, notes)
  const samples = idleMemory(entries)
  const disturbances: number[] = []
  for (let round = 1; round <= plan.rounds; round++) {
    bench.say(`  round ${round} of ${plan.rounds}`)
    for (const entry of entries) {
      const { peer, running } = entry
      const target = { url: running.url, headers: running.headers, certificates: bench.certificates, directory }
      const warmUp = spec.warmUp ?? spec.load
      await warmUp.run(target, round === 1 ? plan.firstWarmUpSeconds : plan.warmUpSeconds)
      const measured = await measureInQuiet(entry, spec, plan, target)
      const values = valuesOf(measured, spec)
      bench.say(line(peer.name, values, spec))
      disturbances.push(measured.disturbance)
      if (measured.errors === undefined) samples.push(...samplesOf(peer.name, round, values))
      else notes.push(`${peer.name}: round ${round} does not count: ${measured.errors}`)
    }
  }
  await Promise.all(entries.map(({ running }) => running.stop()))
  const disturbance = disturbances.length === 0 ? 0 : median(disturbances)
  if (disturbance > QUIET) {
    const share = (disturbance * 100).toFixed(0)
    notes.push(`the machine was not quiet: other processes had ${share}% of the proxy's core (median over all runs)`)
  }
  const all = [...samples, ...addedLatency(samples)]
  return { case: spec, samples: all.filter(({ metric }) => spec.metrics.includes(metric)), notes }
}

function samplesOf(subject: Subject, round: number, values: Partial<Record<Metric, number>>): Sample[] {
  return Object.entries(values).map(([metric, value]) => ({ subject, metric: metric as Metric, round, value }))
}

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Case } from './cases/case.ts'
import type { Certificates } from './certificates.ts'
import { type Load, type Measured, measure, memoryOf } from './measure.ts'
import { type Peer, type Running, type Subject, Unavailable } from './peers/peer.ts'
import { standing, stopAll } from './processes.ts'
import { median, type Sample } from './statistics.ts'

/** How a run is done, whatever the case. */
export interface Plan {
  readonly rounds: number
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

/** Visits the clusters in turn, so that every one of them has connections and statistics. */
function rotatingScript(directory: string, clusters: number): string | undefined {
  if (clusters === 1) return undefined
  const file = join(directory, 'rotate.lua')
  const next = `i = (i + 1) % ${clusters}; return wrk.format("GET", "/c" .. i .. "/")`
  writeFileSync(file, `i = 0\nrequest = function() ${next} end\n`)
  return file
}

async function startPeers(spec: Case, plan: Plan, bench: Bench, directory: string, notes: string[]): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const peer of spec.peers.filter(({ name }) => plan.only?.has(name) ?? true)) {
    const own = join(directory, peer.name)
    mkdirSync(own)
    const { shape, protocol, clusters } = spec
    const { backend, certificates } = bench
    const backendPort = protocol === 'http' ? backend.port : backend.http2Port
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

function samplesOf(subject: Subject, round: number, measured: Measured): Sample[] {
  const values = {
    'cpu-per-request': measured.cpuUsPerRequest,
    throughput: measured.requestsPerSecond,
    rss: measured.memory?.rss,
    'private-dirty': measured.memory?.privateDirty,
  } as const
  return Object.entries(values).flatMap(([metric, value]) =>
    value === undefined ? [] : [{ subject, metric: metric as keyof typeof values, round, value }],
  )
}

function line(subject: Subject, measured: Measured): string {
  const cpu = measured.cpuUsPerRequest === undefined ? '' : `${measured.cpuUsPerRequest.toFixed(1)} us/request`
  const rss = measured.memory === undefined ? '' : `${measured.memory.rss.toFixed(0)} MB`
  const rate = `${measured.requestsPerSecond.toFixed(0)} req/s`
  return `  ${subject.padEnd(12)} ${cpu.padStart(18)} ${rate.padStart(14)} ${rss.padStart(8)}`
}

/** Chooses by how much others had of the core, never by the result, so that it favours nobody. */
async function measureInQuiet(pids: readonly number[], load: Load, plan: Plan): Promise<Measured> {
  let best = await measure(pids, load, plan)
  for (let repeat = 0; repeat < plan.repeats && best.disturbance > QUIET; repeat++) {
    const again = await measure(pids, load, plan)
    // An error is never measured away.
    if (best.errors === undefined && (again.errors !== undefined || again.disturbance < best.disturbance)) best = again
  }
  return best
}

/**
 * Starts every subject of the case, measures them in turn, round by round, so that what the machine does meanwhile
 * hits all of them alike, and ends them. A run with errors doesn't count and is noted.
 */
export async function runCase(spec: Case, plan: Plan, bench: Bench): Promise<CaseResult> {
  const directory = join(bench.directory, spec.name)
  mkdirSync(directory)
  const samples: Sample[] = []
  const notes: string[] = []
  bench.say(`${spec.name}: ${spec.title}`)
  const entries = await startPeers(spec, plan, bench, directory, notes)
  const disturbances: number[] = []
  const script = rotatingScript(directory, spec.clusters)
  if (spec.metrics.includes('rss-idle')) {
    for (const { peer, running } of entries) {
      const value = memoryOf(running.pids).rss
      samples.push({ subject: peer.name, metric: 'rss-idle', round: 1, value })
    }
  }
  for (let round = 1; round <= plan.rounds; round++) {
    bench.say(`  round ${round} of ${plan.rounds}`)
    for (const { peer, running } of entries) {
      const { protocol, connections, streams = 1 } = spec
      const load = { url: running.url, headers: running.headers, protocol, connections, streams, script }
      const measured = await measureInQuiet(running.pids, load, plan)
      bench.say(line(peer.name, measured))
      disturbances.push(measured.disturbance)
      if (measured.errors === undefined) samples.push(...samplesOf(peer.name, round, measured))
      else notes.push(`${peer.name}: round ${round} does not count: ${measured.errors}`)
    }
  }
  await Promise.all(entries.map(({ running }) => running.stop()))
  const disturbance = disturbances.length === 0 ? 0 : median(disturbances)
  if (disturbance > QUIET) {
    const share = (disturbance * 100).toFixed(0)
    notes.push(`the machine was not quiet: other processes had ${share}% of the proxy's core (median over all runs)`)
  }
  return { case: spec, samples: samples.filter(({ metric }) => spec.metrics.includes(metric)), notes }
}

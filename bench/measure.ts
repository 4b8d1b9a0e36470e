import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadProtocol } from './peers/peer.ts'
import { LOAD_CORE, PROXY_CORE, runPinned } from './processes.ts'

/** A gRPC message of 100 bytes with its prefix: what h2load sends as the body of a call. */
const MESSAGE = join(import.meta.dirname, 'message.bin')

/** What one wrk run reported. */
export interface LoadReport {
  readonly requests: number
  readonly requestsPerSecond: number
  /** Answers that were not 2xx/3xx and socket errors, as wrk worded them; undefined when there were none. */
  readonly errors: string | undefined
}

/** Reads wrk's report. Throws when it holds no count of requests. */
export function parseWrk(output: string): LoadReport {
  const requests = /(\d+) requests in/.exec(output)?.[1]
  const rate = /Requests\/sec:\s*([\d.]+)/.exec(output)?.[1]
  if (requests === undefined || rate === undefined) throw new Error(`wrk reported no requests:\n${output}`)
  const errors = [...output.matchAll(/^\s*((?:Socket errors|Non-2xx).*)$/gm)].map((match) => match[1]!.trim())
  if (requests === '0') errors.push('no request was answered')
  return {
    requests: Number(requests),
    requestsPerSecond: Number(rate),
    errors: errors.length === 0 ? undefined : errors.join('; '),
  }
}

/** CPU microseconds in /proc/<pid>/stat: utime + stime of all threads (proc_pid_stat(5), fields 14 and 15). */
export function parseCpuUs(stat: string, ticksPerSecond: number): number {
  // The command name in parentheses may hold anything, a closing parenthesis included.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond
}

/** Seconds of one core since boot that a process or the hypervisor had it (proc_stat(5)); interrupts are nobody's. */
export function parseCoreSeconds(stat: string, core: number, ticksPerSecond: number): number {
  const fields = new RegExp(`^cpu${core} (.*)$`, 'm').exec(stat)?.[1]?.split(' ').map(Number) ?? []
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = fields
  return (user + nice + system + steal) / ticksPerSecond
}

const coreSeconds = (ticks: number): number => parseCoreSeconds(readFileSync('/proc/stat', 'latin1'), PROXY_CORE, ticks)

const ticksPerSecond = (): number => Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

function cpuUs(pids: readonly number[], ticks: number): number {
  return pids.reduce((sum, pid) => sum + parseCpuUs(readFileSync(`/proc/${pid}/stat`, 'latin1'), ticks), 0)
}

/** Megabytes (MiB) over all processes of a subject. */
export interface Memory {
  readonly rss: number
  readonly privateDirty: number
}

/** Reads `/proc/<pid>/smaps_rollup` text. */
export function parseSmaps(text: string): Memory {
  const kib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN)
  return { rss: kib('Rss') / 1024, privateDirty: kib('Private_Dirty') / 1024 }
}

/** What the processes hold now, summed. */
export function memoryOf(pids: readonly number[]): Memory {
  return pids
    .map((pid) => parseSmaps(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')))
    .reduce((a, b) => ({ rss: a.rss + b.rss, privateDirty: a.privateDirty + b.privateDirty }))
}

/** Reads h2load's report. Throws when it holds no count of requests. */
export function parseH2load(output: string): LoadReport {
  const counts = /requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output)
  const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1]
  if (counts === null || rate === undefined) throw new Error(`h2load reported no requests:\n${output}`)
  const [done, , failed, errored, timeout] = counts.slice(1).map(Number) as [number, number, number, number, number]
  const statuses = /status codes: (\d+) 2xx, (.*)/.exec(output)
  const errors: string[] = []
  if (failed + errored + timeout > 0) errors.push(`${failed} failed, ${errored} errored, ${timeout} timeout`)
  if (statuses !== null && !/^0 3xx, 0 4xx, 0 5xx/.test(statuses[2]!)) errors.push(`status codes: ${statuses[2]}`)
  if (done === 0) errors.push('no request was answered')
  return {
    requests: done,
    requestsPerSecond: Number(rate),
    errors: errors.length === 0 ? undefined : errors.join('; '),
  }
}

/** How hard and how long. `script` is a wrk Lua script. */
export interface Load {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly protocol: LoadProtocol
  readonly connections: number
  /** Requests at a time on each connection, of HTTP/2. */
  readonly streams: number
  readonly script: string | undefined
}

async function wrk(load: Load, seconds: number): Promise<LoadReport> {
  const headers = Object.entries(load.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const script = load.script === undefined ? [] : ['-s', load.script]
  const options = ['-t1', '-c', String(load.connections), '-d', String(seconds), ...headers, ...script, load.url]
  return parseWrk(await runPinned(LOAD_CORE, ['wrk', ...options]))
}

async function h2load(load: Load, seconds: number): Promise<LoadReport> {
  const named = Object.entries(load.headers).map(([name, value]) => [name === 'Host' ? ':authority' : name, value])
  const grpc = [
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ]
  const fields = [...named, ...(load.protocol === 'grpc' ? grpc : [])]
  const options = ['-t1', '-c', String(load.connections), '-m', String(load.streams), '-D', String(seconds)]
  const headers = fields.flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const body = load.protocol === 'grpc' ? ['-d', MESSAGE] : []
  return parseH2load(await runPinned(LOAD_CORE, ['h2load', ...options, ...headers, ...body, load.url]))
}

export interface Measured extends LoadReport {
  /** Over all processes of the subject; undefined for one without processes (direct). */
  readonly cpuUsPerRequest: number | undefined
  readonly memory: Memory | undefined
  /** Share of the proxy's core that others had meanwhile, 0 to 1: how much the machine disturbed. */
  readonly disturbance: number
}

/** Warms up, then measures: CPU of the processes over exactly the run whose requests are counted, memory right after. */
export async function measure(
  pids: readonly number[],
  load: Load,
  times: { warmUpSeconds: number; seconds: number },
): Promise<Measured> {
  const ticks = ticksPerSecond()
  const run = load.protocol === 'http' ? wrk : h2load
  await run(load, times.warmUpSeconds)
  const [before, coreBefore, startedAt] = [cpuUs(pids, ticks), coreSeconds(ticks), performance.now()]
  const report = await run(load, times.seconds)
  const [spent, core] = [cpuUs(pids, ticks) - before, coreSeconds(ticks) - coreBefore]
  const elapsed = (performance.now() - startedAt) / 1000
  const disturbance = Math.min(Math.max((core - spent / 1e6) / elapsed, 0), 1)
  if (pids.length === 0) return { ...report, cpuUsPerRequest: undefined, memory: undefined, disturbance }
  return { ...report, cpuUsPerRequest: spent / Math.max(report.requests, 1), memory: memoryOf(pids), disturbance }
}

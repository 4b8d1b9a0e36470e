import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { LoadReport } from './load/generator.ts'
import { PROXY_CORE } from './processes.ts'

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

export interface Measured extends LoadReport {
  /** Microseconds over all processes of the subject; undefined for one without processes (direct). */
  readonly cpuUs: number | undefined
  readonly memory: Memory | undefined
  /** Share of the proxy's core that others had meanwhile, 0 to 1: how much the machine disturbed. */
  readonly disturbance: number
}

/** CPU of the processes over exactly the run whose requests are counted, memory right after. */
export async function measure(pids: readonly number[], run: () => Promise<LoadReport>): Promise<Measured> {
  const ticks = ticksPerSecond()
  const [before, coreBefore, startedAt] = [cpuUs(pids, ticks), coreSeconds(ticks), performance.now()]
  const report = await run()
  const [spent, core] = [cpuUs(pids, ticks) - before, coreSeconds(ticks) - coreBefore]
  const elapsed = (performance.now() - startedAt) / 1000
  const disturbance = Math.min(Math.max((core - spent / 1e6) / elapsed, 0), 1)
  if (pids.length === 0) return { ...report, cpuUs: undefined, memory: undefined, disturbance }
  return { ...report, cpuUs: spent, memory: memoryOf(pids), disturbance }
}

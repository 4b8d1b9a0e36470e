import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { version, versionLine } from './peers/commands.ts'

/** Facts that figures depend on, and nothing that names the machine. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  readonly wrk: string
}

export function machineFacts(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    // Not availableParallelism(): the bench has pinned itself to one core.
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    // The number alone: what follows it often names the build or the place.
    kernel: `Linux ${/^[\d.]+/.exec(release())?.[0]}`,
    node: process.version,
    wrk: version('wrk', 'wrk', ['-v']) ?? 'wrk',
  }
}

/** Why the bench can't run here at all; undefined when it can. */
export function missingRequirement(): string | undefined {
  if (process.platform !== 'linux') return 'The bench reads /proc and pins processes to cores: it runs on Linux only.'
  if (cpus().length < 2) return 'The bench needs two cores: one for the proxy, one for load and backend.'
  const commands = { taskset: ['-V'], wrk: ['-v'], nginx: ['-v'], openssl: ['version'], getconf: ['CLK_TCK'] }
  const missing = Object.entries(commands)
    .filter(([command, args]) => versionLine(command, args) === undefined)
    .map(([command]) => command)
  if (missing.length === 0) return undefined
  return `Not installed: ${missing.join(', ')}. On Debian: apt-get install wrk nginx openssl util-linux (haproxy too).`
}

/** Commit that was measured, marked when the measured code differs from it. */
export function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    const changed = git('status', '--porcelain', '--', '../runtime', '../proxy-image', '../package-lock.json')
    return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ' with changes'}`
  } catch {
    return 'unknown'
  }
}

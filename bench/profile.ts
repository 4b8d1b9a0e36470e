import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/** The parts of a V8 CPU profile that are read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

export interface FunctionTime {
  readonly name: string
  readonly selfMs: number
  /** Share of the time that wasn't idle, 0 to 1. */
  readonly share: number
}

/** Functions by the time spent in them themselves, most first. Idle time counts for nothing. */
export function topFunctions(profile: CpuProfile, count: number): FunctionTime[] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const spent = new Map<string, number>()
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id)
    if (frame === undefined || frame.functionName === '(idle)') return
    const place = frame.url === '' ? '' : ` ${basename(frame.url)}:${frame.lineNumber + 1}`
    const name = `${frame.functionName || '(anonymous)'}${place}`
    spent.set(name, (spent.get(name) ?? 0) + (profile.timeDeltas[index] ?? 0) / 1000)
  })
  const busy = [...spent.values()].reduce((a, b) => a + b, 0)
  return [...spent]
    .map(([name, selfMs]) => ({ name, selfMs, share: busy === 0 ? 0 : selfMs / busy }))
    .sort((a, b) => b.selfMs - a.selfMs)
    .slice(0, count)
}

/** A printable table for every profile that Weft's processes left in a directory. */
export function profileReport(directory: string): string {
  const files = readdirSync(directory).filter((name) => name.endsWith('.cpuprofile'))
  if (files.length === 0) return `No profile was written to ${directory}: the proxy did not end by itself.`
  return files
    .map((file) => {
      const profile = JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile
      const lines = topFunctions(profile, 25).map(
        ({ name, selfMs, share }) =>
          `${(share * 100).toFixed(1).padStart(6)}% ${selfMs.toFixed(0).padStart(7)} ms  ${name}`,
      )
      return `${join(directory, file)}\n${lines.join('\n')}`
    })
    .join('\n\n')
}

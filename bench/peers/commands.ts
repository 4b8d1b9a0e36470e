import { spawnSync } from 'node:child_process'
import { Unavailable } from './peer.ts'

/** First line that a command prints about its version, on either stream; undefined when it can't be run. */
export function versionLine(command: string, args: readonly string[]): string | undefined {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  if (result.error !== undefined) return undefined
  return `${result.stdout}${result.stderr}`.trim().split('\n')[0]
}

/** `name` and the version number that a command prints: no build, no distribution. Undefined when it can't be run. */
export function version(name: string, command: string, args: readonly string[]): string | undefined {
  const line = versionLine(command, args)
  return line === undefined ? undefined : `${name} ${/\d+\.\d+(?:\.\d+)?/.exec(line)?.[0] ?? 'of unknown version'}`
}

/** Throws Unavailable when a command of the system is missing. */
export function needCommand(command: string, args: readonly string[]): void {
  if (versionLine(command, args) === undefined) {
    throw new Unavailable(`${command} is not installed (Debian: apt-get install ${command})`)
  }
}

import { statSync } from 'node:fs'
import type { Log } from '../log.ts'

/** What was last read, in good order, from files that may change. */
export class Watched<T> {
  readonly files: readonly string[]
  current: T
  private readonly read: () => T
  private readonly log: Log
  private seen: string

  /** Throws when it can't be read now. */
  constructor(files: readonly string[], read: () => T, log: Log) {
    this.files = files
    this.read = read
    this.log = log
    this.seen = stamp(files)
    this.current = read()
  }

  /** Reads it again if the files have changed. True: there is something new. What broke is logged, and the last good one stays. */
  poll(): boolean {
    return this.seen !== stampOrNone(this.files) && this.reread()
  }

  /** Reads it again in any case. */
  reread(): boolean {
    try {
      const now = stamp(this.files)
      this.current = this.read()
      // Only what was taken counts as seen: files that are half written are looked at again.
      this.seen = now
      return true
    } catch (error) {
      this.seen = ''
      this.log.error('changed certificate files are unusable; the last good ones stay in force', {
        files: this.files.join(' '),
        error: (error as Error).message,
      })
      return false
    }
  }
}

function stamp(files: readonly string[]): string {
  return files
    .map((path) => statSync(path))
    .map((stat) => `${stat.ino}/${stat.size}/${stat.mtimeMs}`)
    .join(' ')
}

function stampOrNone(files: readonly string[]): string | undefined {
  try {
    return stamp(files)
  } catch {
    return undefined
  }
}

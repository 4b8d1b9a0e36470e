import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const open = promisify(fs.open)
const write = promisify(fs.write)
const close = promisify(fs.close)

const FLUSH_CHARS = 64 * 1024
const FLUSH_MS = 200
const MAX_CHARS = 4 * 1024 * 1024
/** A file is opened anew this often, so that a rotated log goes on under its name without a signal. */
const REOPEN_MS = 60_000
const WARN_EVERY_MS = 60_000
/** A pipe that nobody reads must not hold up the end of the process. */
const CLOSE_MS = 2000
const STANDARD: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 }

/**
 * Appends lines to `/dev/stdout`, `/dev/stderr` or a file (created with mode 0640), buffered (64 KiB or 200 ms) and
 * asynchronous. It never blocks a request: past 4 MiB of unwritten text, or when a write fails, lines are dropped and
 * counted. File errors are reported at most once a minute.
 */
export class AccessLogWriter {
  readonly #path: string
  readonly #onDropped: (lines: number) => void
  readonly #warn: (message: string) => void
  #pending = ''
  #pendingLines = 0
  #inFlight = 0
  #flushing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #fd: number | undefined
  #openedAtMs = 0
  #warnedAtMs = Number.NEGATIVE_INFINITY

  constructor(path: string, options: { onDropped: (lines: number) => void; warn: (message: string) => void }) {
    this.#path = path
    this.#onDropped = options.onDropped
    this.#warn = options.warn
  }

  /** Takes one line, newline included. */
  write(line: string): void {
    if (this.#pending.length + this.#inFlight + line.length > MAX_CHARS) {
      this.#onDropped(1)
      return
    }
    this.#pending += line
    this.#pendingLines++
    if (this.#flushing !== undefined) return
    if (this.#pending.length >= FLUSH_CHARS) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref()
  }

  /** Writes out what is buffered, waiting 2 s at most, and closes the file. A later line opens it again. */
  async close(): Promise<void> {
    const limit = new AbortController()
    const written = (async () => {
      while (this.#pending !== '' || this.#flushing !== undefined) {
        this.#flush()
        await this.#flushing
      }
      await this.#closeFile()
    })()
    await Promise.race([written, delay(CLOSE_MS, undefined, { signal: limit.signal }).catch(() => {})])
    limit.abort()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#flushing !== undefined || this.#pending === '') return
    const text = this.#pending
    const lines = this.#pendingLines
    this.#pending = ''
    this.#pendingLines = 0
    this.#inFlight = text.length
    this.#flushing = this.#writeOut(text, lines).finally(() => {
      this.#inFlight = 0
      this.#flushing = undefined
      if (this.#pending.length >= FLUSH_CHARS) this.#flush()
      else if (this.#pending !== '') this.#timer = setTimeout(() => this.#flush(), FLUSH_MS).unref()
    })
  }

  async #writeOut(text: string, lines: number): Promise<void> {
    try {
      const fd = await this.#file()
      const bytes = Buffer.from(text, 'utf8')
      let offset = 0
      while (offset < bytes.length) {
        try {
          offset += (await write(fd, bytes, offset)).bytesWritten
        } catch (error) {
          // A standard stream may be a non-blocking pipe that is full: its reader may come back.
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
          await delay(10)
        }
      }
    } catch (error) {
      this.#onDropped(lines)
      this.#report(error)
      await this.#closeFile()
    }
  }

  async #file(): Promise<number> {
    const standard = STANDARD[this.#path]
    if (standard !== undefined) return standard
    const now = performance.now()
    if (this.#fd !== undefined && now - this.#openedAtMs > REOPEN_MS) await this.#closeFile()
    if (this.#fd === undefined) {
      this.#fd = await open(this.#path, 'a', 0o640)
      this.#openedAtMs = now
    }
    return this.#fd
  }

  async #closeFile(): Promise<void> {
    const fd = this.#fd
    if (fd === undefined) return
    this.#fd = undefined
    // What was written is written; a failing close has nothing to add that the next write would not report.
    await close(fd).catch(() => {})
  }

  #report(error: unknown): void {
    const now = performance.now()
    if (now - this.#warnedAtMs < WARN_EVERY_MS) return
    this.#warnedAtMs = now
    const why = error instanceof Error ? error.message : String(error)
    this.#warn(`cannot write access log ${this.#path}: ${why}; lines are dropped until it can be written again`)
  }
}

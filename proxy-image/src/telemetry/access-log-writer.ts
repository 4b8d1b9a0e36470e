import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LogLine } from './log-line.ts'

const open = promisify(fs.open)
const write = promisify(fs.write)
const close = promisify(fs.close)

/** Lines are gathered in blocks of this size. */
const BLOCK_BYTES = 64 * 1024
const FLUSH_MS = 200
/** Blocks that may wait to be written: 4 MiB. */
const MAX_BLOCKS = 64
/** A file is opened anew this often, so that a rotated log goes on under its name without a signal. */
const REOPEN_MS = 60_000
const WARN_EVERY_MS = 60_000
/** A pipe that nobody reads must not hold up the end of the process. */
const CLOSE_MS = 2000
const STANDARD: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 }

/** Lines that wait together, and the room they take of a block. */
interface Block {
  readonly bytes: Buffer
  used: number
  lines: number
}

/**
 * Appends lines to `/dev/stdout`, `/dev/stderr` or a file (created with mode 0640), buffered (64 KiB or 200 ms) and
 * asynchronous. It never blocks a request: past 4 MiB of unwritten text, or when a write fails, lines are dropped and
 * counted. File errors are reported at most once a minute.
 *
 * A line is bytes from the beginning. Strings that wait would keep the requests alive that they were cut from, long enough
 * to reach the garbage collector's old generation: measured as half of the proxy's heap.
 */
export class AccessLogWriter {
  readonly #path: string
  readonly #onDropped: (lines: number) => void
  readonly #warn: (message: string) => void
  #block: Block = { bytes: Buffer.allocUnsafe(BLOCK_BYTES), used: 0, lines: 0 }
  readonly #line = new LogLine(this.#block.bytes)
  #full: Block[] = []
  /** Blocks on their way to the file. */
  #inFlight = 0
  /** A block that was written out, for the next one. */
  #spare: Buffer | undefined
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

  /** Takes one line: `render` writes it, newline included, of `record`. It may be called twice, and must say the same. */
  write<T>(render: (record: T, line: LogLine) => void, record: T): void {
    if (!this.#fits(render, record) && !(this.#nextBlock() && this.#fits(render, record))) {
      this.#onDropped(1)
      return
    }
    const block = this.#block
    block.used = this.#line.at
    block.lines++
    if (this.#flushing !== undefined) return
    if (block.used === BLOCK_BYTES) this.#flush()
    else if (this.#timer === undefined) this.#flushLater()
  }

  /** Writes a line behind what the block holds. False: it has not room enough. */
  #fits<T>(render: (record: T, line: LogLine) => void, record: T): boolean {
    this.#line.begin(this.#block.bytes, this.#block.used)
    render(record, this.#line)
    return !this.#line.overflowed
  }

  /** Makes room for a line. False: too much is waiting, or the line is larger than a block. */
  #nextBlock(): boolean {
    if (this.#full.length + this.#inFlight >= MAX_BLOCKS || this.#block.used === 0) return false
    this.#full.push(this.#block)
    this.#block = { bytes: this.#spare ?? Buffer.allocUnsafe(BLOCK_BYTES), used: 0, lines: 0 }
    this.#spare = undefined
    if (this.#flushing === undefined) this.#flush()
    return true
  }

  /** Writes out what is buffered, waiting 2 s at most, and closes the file. A later line opens it again. */
  async close(): Promise<void> {
    const limit = new AbortController()
    const written = (async () => {
      while (this.#waiting || this.#flushing !== undefined) {
        this.#flush()
        await this.#flushing
      }
      await this.#closeFile()
    })()
    await Promise.race([written, delay(CLOSE_MS, undefined, { signal: limit.signal }).catch(() => {})])
    limit.abort()
  }

  get #waiting(): boolean {
    return this.#full.length > 0 || this.#block.used > 0
  }

  #flushLater(): void {
    this.#timer = setTimeout(() => this.#flush(), FLUSH_MS).unref()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#flushing !== undefined || !this.#waiting) return
    const blocks = this.#full
    this.#full = []
    if (blocks.length === 0) {
      blocks.push(this.#block)
      this.#block = { bytes: this.#spare ?? Buffer.allocUnsafe(BLOCK_BYTES), used: 0, lines: 0 }
      this.#spare = undefined
    }
    this.#flushing = this.#writeBlocks(blocks).finally(() => {
      this.#flushing = undefined
      if (this.#full.length > 0) this.#flush()
      else if (this.#waiting) this.#flushLater()
    })
  }

  async #writeBlocks(blocks: readonly Block[]): Promise<void> {
    this.#inFlight = blocks.length
    for (const block of blocks) {
      await this.#writeOut(block)
      this.#inFlight--
      this.#spare = block.bytes
    }
  }

  async #writeOut({ bytes, used, lines }: Block): Promise<void> {
    try {
      const fd = await this.#file()
      let offset = 0
      while (offset < used) {
        try {
          offset += (await write(fd, bytes, offset, used - offset)).bytesWritten
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

import type { ReadableSpan } from '@opentelemetry/sdk-trace'

/** Why spans are lost; label of `weft_spans_dropped_total`. */
type SpanLoss = 'queue_full' | 'export_failed' | 'rejected'

/** Sends one batch. Resolves with how many of it the receiver turned down; rejects when it did not get there at all. */
type SendSpans = (spans: ReadableSpan[], signal: AbortSignal) => Promise<number>

export interface SpanQueueOptions {
  readonly send: SendSpans
  readonly onSent: (spans: number) => void
  readonly onLost: (spans: number, why: SpanLoss) => void
  /** Why a batch could not be sent. */
  readonly warn: (error: Error) => void
  /** How long spans are gathered. Default 5 s, as OpenTelemetry's batch processor. */
  readonly delayMs?: number
}

/** OpenTelemetry's batch processor has the same. 2,048 spans are about 4 MB. */
const MAX_QUEUED = 2_048
const BATCH = 512
const DELAY_MS = 5_000
/** The end of the process is not held up for longer by a receiver that does not answer. */
const CLOSE_MS = 3_000

/** Finished spans on their way out: gathered, sent in batches one after another, dropped and counted past a bound. */
export class SpanQueue {
  readonly #options: SpanQueueOptions
  readonly #stopping = new AbortController()
  #waiting: ReadableSpan[] = []
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | null = null

  constructor(options: SpanQueueOptions) {
    this.#options = options
  }

  push(span: ReadableSpan): void {
    if (this.#waiting.length >= MAX_QUEUED) return this.#options.onLost(1, 'queue_full')
    this.#waiting.push(span)
    if (this.#sending !== null) return
    if (this.#waiting.length >= BATCH) this.#send()
    else this.#timer ??= setTimeout(() => this.#send(), this.#options.delayMs ?? DELAY_MS).unref()
  }

  /** Sends what waits, in at most 3 s; the rest is lost. */
  async close(): Promise<void> {
    const late = setTimeout(() => this.#stopping.abort(), CLOSE_MS).unref()
    while (this.#sending !== null || this.#waiting.length > 0) {
      if (this.#sending === null) this.#send()
      await this.#sending
    }
    clearTimeout(late)
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = null
    })
  }

  /** What comes meanwhile goes along once it is a batch, or with the next timer. */
  async #sendAll(): Promise<void> {
    do {
      const batch = this.#waiting.splice(0, BATCH)
      await this.#sendBatch(batch)
    } while (this.#waiting.length >= BATCH)
    if (this.#waiting.length > 0) {
      this.#timer ??= setTimeout(() => this.#send(), this.#options.delayMs ?? DELAY_MS).unref()
    }
  }

  async #sendBatch(batch: ReadableSpan[]): Promise<void> {
    const { send, onSent, onLost, warn } = this.#options
    try {
      const rejected = Math.min(await send(batch, this.#stopping.signal), batch.length)
      onSent(batch.length - rejected)
      if (rejected > 0) onLost(rejected, 'rejected')
    } catch (error) {
      onLost(batch.length, 'export_failed')
      warn(error as Error)
    }
  }
}

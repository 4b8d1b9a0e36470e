import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { AwsCredentials } from '../aws/sign.ts'
import type { FieldSection } from '../codec/field-section.ts'
import type { Log } from '../log.ts'
import { VERSION } from '../version.ts'
import type { Metrics } from './metrics.ts'
import { samples } from './sampler.ts'
import type { SpanExporter } from './span-export.ts'
import { SpanQueue } from './span-queue.ts'
import { type RequestTrace, resourceOf, type SpanRecord, type SpanScope, spansOf } from './spans.ts'
import { newSpanId, newTraceId, readTrace, traceStateOf, writeTrace, writeUnsampled } from './trace-context.ts'
import type { TracingSettings } from './tracing-env.ts'

export interface TracingOptions {
  readonly settings: TracingSettings
  readonly subject: Subject
  readonly instanceId: string
  readonly metrics: Metrics
  readonly log: Log
  /** For X-Ray's own endpoint. */
  readonly credentials: () => Promise<AwsCredentials>
  /** How long spans are gathered, and the first wait of an export that failed. For tests; defaults 5 s and 1 s. */
  readonly delayMs?: number
  readonly backOffMs?: number
}

/** Retries that one span tells of. */
const MAX_RETRIES = 32
const WARN_EVERY_MS = 60_000
/** The clocks of the process and of the day may drift apart by this before spans follow the latter. */
const DRIFT_MS = 5

/** Traces of one proxy: decides at the head of a request, makes spans at its end, sends them in the background. */
export class Tracing {
  readonly #options: TracingOptions
  readonly #scope: SpanScope
  readonly #queue: SpanQueue
  #exporter: Promise<SpanExporter> | null = null
  #warnedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: TracingOptions) {
    this.#options = options
    const { settings, subject, metrics, delayMs } = options
    this.#scope = {
      resource: resourceOf({
        'service.name': settings.serviceName ?? `${subject.mesh}/${subject.name}`,
        'service.version': VERSION,
        'service.instance.id': options.instanceId,
        ...settings.resource,
        'weft.mesh': subject.mesh,
        [subject.kind === 'virtual-node' ? 'weft.node' : 'weft.gateway']: subject.name,
      }),
      instrumentationScope: { name: 'weft', version: VERSION },
      epochMs: performance.timeOrigin,
    }
    const sent = metrics.counter('weft_spans_exported_total', {})
    this.#queue = new SpanQueue({
      send: (spans, signal) => this.#send(spans, signal),
      onSent: (spans) => sent.inc(spans),
      onLost: (spans, reason) => metrics.counter('weft_spans_dropped_total', { reason }).inc(spans),
      warn: (error) => this.#warn(error),
      ...(delayMs === undefined ? {} : { delayMs }),
    })
  }

  /**
   * Reads where a request stands and decides. A sampled one goes on under a span of this proxy, any other under its sender's.
   * Either carries the decision onward in both forms, so that whoever comes next, and reads one of them, keeps to it.
   */
  begin(fields: FieldSection, gateway: boolean): RequestTrace | null {
    const carried = readTrace(fields)
    const parent = carried === null ? null : carried.context
    const decided = parent === null ? null : parent.sampled
    const traceId = parent === null ? newTraceId(Date.now()) : parent.traceId
    const sampled = samples(this.#options.settings.sampling, decided, traceId)
    if (!sampled) {
      writeUnsampled(fields, carried, traceId)
      return null
    }
    const spanId = newSpanId()
    const traceState = traceStateOf(fields, carried)
    writeTrace(fields, carried, { traceId, spanId, sampled })
    const serverSpanId = gateway ? newSpanId() : null
    return {
      traceId,
      spanId,
      serverSpanId,
      parentId: parent?.parentId ?? null,
      traceState,
      retries: [],
      droppedRetries: 0,
    }
  }

  retried(trace: RequestTrace, attempt: number, reason: string, endpoint: string): void {
    if (trace.retries.length >= MAX_RETRIES) trace.droppedRetries++
    else trace.retries.push({ atMs: performance.now(), attempt, reason, endpoint })
  }

  end(trace: RequestTrace, record: SpanRecord): void {
    for (const span of spansOf(trace, record, this.#scope)) this.#queue.push(span)
  }

  /** Sends what is waiting, in at most 3 s. */
  async close(): Promise<void> {
    await this.#queue.close()
    const exporter = await this.#exporter?.catch(() => null)
    exporter?.close()
  }

  async #send(spans: ReadableSpan[], signal: AbortSignal): Promise<number> {
    this.#followClock()
    this.#exporter ??= this.#load()
    return (await this.#exporter).send(spans, signal)
  }

  /** The serializer is loaded with the first batch. */
  async #load(): Promise<SpanExporter> {
    const { SpanExporter } = await import('./span-export.ts')
    const { settings, credentials, backOffMs } = this.#options
    return new SpanExporter({ settings, credentials, ...(backOffMs === undefined ? {} : { backOffMs }) })
  }

  #followClock(): void {
    const drift = Date.now() - (this.#scope.epochMs + performance.now())
    if (Math.abs(drift) > DRIFT_MS) this.#scope.epochMs += drift
  }

  #warn(error: Error): void {
    const now = performance.now()
    if (now - this.#warnedAtMs < WARN_EVERY_MS) return
    this.#warnedAtMs = now
    this.#options.log.warning(error.message)
  }
}

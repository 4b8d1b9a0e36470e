import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { type AwsCredentials, signedHeaders } from '../aws/sign.ts'
import { http } from '../node-http.ts'
import { retryAfterMs } from '../retry-after.ts'
import { VERSION } from '../version.ts'
import type { TracingSettings } from './tracing-env.ts'

/** This file brings the serializer: it is imported late, where tracing is on. */

const gzipped = promisify(gzip)

/** Attempts at one batch, and the wait after the first failure, doubled by each further one. */
const ATTEMPTS = 4
const BACK_OFF_MS = 1_000
/** A receiver may ask for more patience than this; then the batch is lost and the next one tries. */
const MAX_WAIT_MS = 30_000
/** An answer holds a count and a sentence. */
const MAX_ANSWER_BYTES = 64 * 1024

export interface ExportOptions {
  readonly settings: Pick<TracingSettings, 'url' | 'signing' | 'headers' | 'gzip' | 'timeoutMs'>
  /** Asked for each export that is signed. */
  readonly credentials: () => Promise<AwsCredentials>
  /** Default 1 s. */
  readonly backOffMs?: number
}

interface Answer {
  readonly status: number
  readonly retryAfterMs: number | null
  readonly body: Buffer
}

/** OTLP over HTTP with binary protobuf. https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export class SpanExporter {
  readonly #options: ExportOptions
  readonly #agent: InstanceType<typeof http.Agent> | TlsAgent

  constructor(options: ExportOptions) {
    this.#options = options
    const keep = { keepAlive: true, maxSockets: 1 }
    this.#agent = options.settings.url.startsWith('https:') ? new TlsAgent(keep) : new http.Agent(keep)
  }

  /**
   * Posts one batch; 429, 5xx and broken connections are tried again with a growing wait. Resolves with how many spans the
   * receiver turned down. @throws Error that says why nothing was taken.
   */
  async send(spans: ReadableSpan[], stopping: AbortSignal): Promise<number> {
    const body = await this.#encode(spans)
    const { backOffMs = BACK_OFF_MS } = this.#options
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#post(body, stopping)
      if (!(answer instanceof Error) && answer.status < 300) return rejectedIn(answer)
      const last = attempt === ATTEMPTS || stopping.aborted || !mayRetry(answer)
      const waitMs = waitOf(answer) ?? backOffMs * 2 ** (attempt - 1) * (0.5 + Math.random())
      if (last || waitMs > MAX_WAIT_MS) throw this.#explain(answer)
      await delay(waitMs, undefined, { signal: stopping }).catch(() => {})
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #encode(spans: ReadableSpan[]): Promise<Buffer> {
    const bytes = ProtobufTraceSerializer.serializeRequest(spans)
    if (bytes === undefined) throw new Error('the spans could not be encoded')
    return this.#options.settings.gzip ? gzipped(bytes) : Buffer.from(bytes)
  }

  /** An answer, or why there is none. Signed anew each time: a signature holds for minutes. */
  async #post(body: Buffer, stopping: AbortSignal): Promise<Answer | Error> {
    const { settings } = this.#options
    const headers: Record<string, string> = {
      ...settings.headers,
      'content-type': 'application/x-protobuf',
      'user-agent': `weft-proxy/${VERSION}`,
      ...(settings.gzip ? { 'content-encoding': 'gzip' } : {}),
    }
    try {
      const signed = settings.signing === null ? {} : await this.#signature(headers, body, settings.signing)
      return await this.#exchange({ ...headers, ...signed, 'content-length': String(body.length) }, body, stopping)
    } catch (error) {
      return error as Error
    }
  }

  async #signature(headers: Readonly<Record<string, string>>, body: Buffer, { region }: { readonly region: string }) {
    const { settings, credentials } = this.#options
    // What a proxy on the way may change is not signed.
    const { 'content-type': type = '' } = headers
    const request = { method: 'POST', url: new URL(settings.url), headers: { 'content-type': type }, body }
    return signedHeaders(request, { service: 'xray', region }, await credentials())
  }

  #exchange(headers: Record<string, string>, body: Buffer, stopping: AbortSignal): Promise<Answer> {
    const { url, timeoutMs } = this.#options.settings
    const request = url.startsWith('https:') ? tlsRequest : http.request
    const signal = AbortSignal.timeout(timeoutMs)
    // A plain listener, no AbortSignal.any: on a signal that lives as long as the process that leaks with every call.
    let stop = (): void => {}
    return new Promise<Answer>((resolve, reject) => {
      if (stopping.aborted) throw new Error('this proxy ends')
      const outgoing = request(url, { method: 'POST', agent: this.#agent, headers, signal }, (incoming) => {
        const chunks: Buffer[] = []
        let bytes = 0
        incoming.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk)
          else outgoing.destroy(new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`))
        })
        incoming.on('error', reject)
        incoming.on('end', () => {
          const { statusCode: status = 0, headers } = incoming
          resolve({ status, retryAfterMs: retryAfterMs(headers), body: Buffer.concat(chunks) })
        })
      })
      outgoing.on('error', reject)
      stop = () => void outgoing.destroy(new Error('this proxy ends'))
      stopping.addEventListener('abort', stop)
      outgoing.end(body)
    }).finally(() => stopping.removeEventListener('abort', stop))
  }

  #explain(answer: Answer | Error): Error {
    const { url, signing } = this.#options.settings
    const { origin, pathname } = new URL(url)
    const where = `spans can't be exported to ${origin}${pathname}`
    if (answer instanceof Error) {
      const { code } = answer as NodeJS.ErrnoException
      const why =
        code === 'ABORT_ERR' || answer.name === 'TimeoutError' ? 'no answer in time' : (code ?? answer.message)
      return new Error(`${where}: ${why}`, { cause: answer })
    }
    const said = answer.body
      .toString('utf8')
      .replace(/[^ -~]+/g, ' ')
      .trim()
      .slice(0, 300)
    return new Error(`${where}: ${answer.status} ${said}${hint(answer.status, signing !== null)}`)
  }
}

function hint(status: number, toXray: boolean): string {
  if (!toXray) return ''
  if (status === 403) return '; the task role needs xray:PutTraceSegments (AWSXrayWriteOnlyAccess)'
  return status === 400 ? '; is Transaction Search enabled in this account and region? `weft check` tells' : ''
}

function mayRetry(answer: Answer | Error): boolean {
  return answer instanceof Error || answer.status === 429 || answer.status >= 500
}

function waitOf(answer: Answer | Error): number | null {
  return answer instanceof Error ? null : answer.retryAfterMs
}

/** Taken, but perhaps not all of it (OTLP: partial success). */
function rejectedIn({ body }: Answer): number {
  if (body.length === 0) return 0
  try {
    return Number(ProtobufTraceSerializer.deserializeResponse(body).partialSuccess?.rejectedSpans ?? 0)
  } catch {
    // A receiver that says 200 in words of its own took them.
    return 0
  }
}

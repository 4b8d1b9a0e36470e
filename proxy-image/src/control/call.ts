import type { IncomingHttpHeaders } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import { retryAfterMs } from '../retry-after.ts'
import type { Connection } from './proof.ts'

/** Longer pauses are for us to choose: a control plane gone wrong must not send proxies away for days. */
const MAX_RETRY_AFTER_MS = 60_000

interface CallErrorDetails {
  readonly cause?: unknown
  readonly headers?: IncomingHttpHeaders
}

/** A call that brought no usable answer. `status` is the control plane's, null when there was none. */
export class CallError extends Error {
  override readonly name = 'CallError'
  readonly status: number | null
  /** Somebody answered and does not take us for who we are, or we not them: another certificate may help. */
  readonly refused: boolean
  /** When the control plane wants to be asked again, from now; 0 where it did not say. */
  readonly retryAfterMs: number

  constructor(message: string, status: number | null, { cause, headers = {} }: CallErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
    this.retryAfterMs = Math.min(retryAfterMs(headers) ?? 0, MAX_RETRY_AFTER_MS)
    const code = String((cause as NodeJS.ErrnoException | undefined)?.code)
    this.refused = status === 401 || status === 403 || /CERT|SIGNATURE|^ERR_SSL_|^ERR_TLS_/.test(code)
  }
}

/** More than any snapshot; a control plane gone wrong must not fill the memory of every task. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

/** A keep-alive connection to the control plane, under the given trust and client certificate. */
export function createAgent(tls: SecureContextOptions): Agent {
  // No cached TLS sessions: a resumed one would go on under the certificate that it was opened with.
  return new Agent({ ...tls, keepAlive: true, maxSockets: 2, maxCachedSessions: 0, minVersion: 'TLSv1.3' })
}

/**
 * Connections to an endpoint under a public name: the machine's own trust, and TLS 1.2, where some of AWS's end. One for
 * each call, its TLS session taken up again: half a minute later nobody knows whether AWS or a NAT gateway still has it.
 */
export function createPublicAgent(): Agent {
  return new Agent({ keepAlive: false, minVersion: 'TLSv1.2' })
}

/** What one call needs. `timeoutMs` bounds it as a whole. */
interface Call {
  readonly connection: Connection
  readonly url: string
  readonly body: unknown
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** What came back, whatever it is. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** POSTs JSON, returns the decoded answer. @throws CallError for anything but a 200 with JSON. */
export async function post({ connection, url, body: value, timeoutMs, signal }: Call): Promise<unknown> {
  const body = JSON.stringify(value)
  const proof = await connection.prove?.({ url, body })
  const options: RequestOptions = {
    agent: connection.agent,
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'content-length': Buffer.byteLength(body),
      ...proof,
    },
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  }
  const answer = await exchange(url, options, body)
  const { status, headers, text } = answer
  if (status !== 200) {
    const why = connection.explain?.(answer)
    const words = `the control plane answered ${status}: ${detail(text)}`
    throw new CallError(why === undefined ? words : `${words} (${why})`, status, { headers })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CallError('the control plane answered something that is not JSON', status, { cause })
  }
}

function exchange(url: string, options: RequestOptions, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => {
      const { code } = cause as NodeJS.ErrnoException
      const why = code === 'ABORT_ERR' ? 'none came in time' : (code ?? cause.message)
      reject(
        cause instanceof CallError ? cause : new CallError(`no answer from the control plane: ${why}`, null, { cause }),
      )
    }
    const outgoing = request(url, options, (answer) => {
      const chunks: Buffer[] = []
      let bytes = 0
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk)
        else outgoing.destroy(new CallError(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`, null))
      })
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text })
      })
      answer.on('error', fail)
    })
    outgoing.on('error', fail)
    outgoing.end(body)
  })
}

/** The `detail` or `message` of a problem document, or of AWS's; the start of anything else. */
function detail(text: string): string {
  try {
    const problem = JSON.parse(text) as { detail?: unknown; message?: unknown; Message?: unknown }
    return String(problem.detail ?? problem.message ?? problem.Message ?? '').slice(0, 500)
  } catch {
    return text.slice(0, 300)
  }
}

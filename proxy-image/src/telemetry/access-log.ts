import type { AccessLog } from '../../../runtime/model/snapshot.ts'
import type { Reason } from '../errors.ts'
import { compileFormat } from './access-log-format.ts'
import { AccessLogWriter } from './access-log-writer.ts'

/**
 * What an access log can say of one finished exchange. Members may be getters: only those that a format names are read,
 * once the exchange is over.
 */
export interface AccessLogRecord {
  /** Epoch milliseconds of the first byte of the request. */
  readonly startTimeMs: number
  /** From the first byte of the request to the last byte of the response. */
  readonly durationMs: number
  readonly method: string
  /** Request target in origin form: path and query. */
  readonly target: string
  /** Host header, or null without one. */
  readonly authority: string | null
  /** `HTTP/1.1`, `HTTP/2`. */
  readonly protocol: string
  /** Status sent to downstream; 0 when none was. */
  readonly status: number
  /** Body bytes. */
  readonly bytesReceived: number
  readonly bytesSent: number
  /** Why it did not go as asked, or null. */
  readonly reason: Reason | null
  /** `address:port` of the endpoint of the last attempt. */
  readonly upstreamAddress: string | null
  readonly upstreamCluster: string | null
  /** The user's name of the route. */
  readonly route: string | null
  /** `address:port` of the downstream connection's far end, and of this one. */
  readonly downstreamAddress: string
  readonly downstreamLocalAddress: string
  /** Attempts sent to upstream, retries included. */
  readonly attempts: number
  /** From the last byte of the request sent upstream to the response head; null without a response. */
  readonly upstreamServiceTimeMs: number | null
  /** From the first byte of the request to the response head from upstream; null without a response. */
  readonly responseHeadMs: number | null
  /** SPIFFE ID that the peer proved, or null. */
  readonly peerUri: string | null
  /** SNI of the downstream connection, or null. */
  readonly serverName: string | null
  /** By lower-case name; undefined or null when absent. */
  requestHeader(name: string): string | null | undefined
  responseHeader(name: string): string | null | undefined
}

/** Writes one exchange to every access log of a snapshot. */
export type LogAccess = (record: AccessLogRecord) => void

/**
 * The access logs of one proxy. Files outlive snapshots: two snapshots that log to the same path share its buffer, and
 * an exchange of the former one may still log after the swap.
 */
export class AccessLogs {
  readonly #writers = new Map<string, AccessLogWriter>()
  readonly #onDropped: (lines: number) => void
  readonly #warn: (message: string) => void

  /** `onDropped` counts lost lines; `warn` takes operator-facing sentences (bad templates, file errors). */
  constructor(options: { onDropped: (lines: number) => void; warn: (message: string) => void }) {
    this.#onDropped = options.onDropped
    this.#warn = options.warn
  }

  /** Compiles the access logs of a snapshot once; null when it has none, so that nothing need be called. */
  compile(logs: readonly AccessLog[]): LogAccess | null {
    const sinks = logs.map((log) => {
      const { format, warnings } = compileFormat(log.format)
      for (const warning of warnings) this.#warn(`access log ${log.path} (${log.origin.name}): ${warning}`)
      return { format, writer: this.#writer(log.path) }
    })
    const [first] = sinks
    if (first === undefined) return null
    if (sinks.length === 1) return (record) => first.writer.write(first.format, record)
    return (record) => {
      for (const sink of sinks) sink.writer.write(sink.format, record)
    }
  }

  /** Writes out what is buffered, in at most a few seconds. */
  async close(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.close()))
  }

  #writer(path: string): AccessLogWriter {
    let writer = this.#writers.get(path)
    if (writer === undefined) {
      writer = new AccessLogWriter(path, { onDropped: this.#onDropped, warn: this.#warn })
      this.#writers.set(path, writer)
    }
    return writer
  }
}

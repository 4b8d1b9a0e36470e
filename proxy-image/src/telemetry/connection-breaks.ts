import type { FaultName } from '../codec/http2/frames.ts'
import type { Log } from '../log.ts'
import type { Metrics } from './metrics.ts'
import { WordCounters } from './request-metrics.ts'

/** Why the proxy broke a connection off. A metric label: errors of HTTP/2 have the names of RFC 9113, section 7. */
export type BreakReason = FaultName | 'slow_head' | 'keep_alive_timeout' | 'certificate_expired'

/** Of a flood one line in this time is a warning, and says how many there were; the others are for the level debug. */
const WARNING_EVERY_MS = 60_000

/** Counts and logs the connections of one listener or cluster that were broken off, rather than ended in peace. */
export class ConnectionBreaks {
  private readonly counters: WordCounters<BreakReason>
  private readonly log: Log
  private readonly where: { readonly listener: string } | { readonly cluster: string }
  private warnedAtMs = Number.NEGATIVE_INFINITY
  private sinceWarning = 0

  private constructor(log: Log, where: ConnectionBreaks['where'], counters: WordCounters<BreakReason>) {
    this.counters = counters
    this.log = log
    this.where = where
  }

  static ofListener(metrics: Metrics, log: Log, listener: string): ConnectionBreaks {
    const counters = new WordCounters<BreakReason>((reason) =>
      metrics.counter('weft_downstream_connections_broken_total', { listener, reason }),
    )
    return new ConnectionBreaks(log, { listener }, counters)
  }

  static ofCluster(metrics: Metrics, log: Log, cluster: string): ConnectionBreaks {
    const counters = new WordCounters<BreakReason>((reason) =>
      metrics.counter('weft_upstream_connections_broken_total', { cluster, reason }),
    )
    return new ConnectionBreaks(log, { cluster }, counters)
  }

  /** One connection. `remote`: its address; `peer`: its SPIFFE id, where it has one; `detail`: what it did, for people. */
  add(reason: BreakReason, detail: string, { remote, peer }: { remote: string; peer: string | null }): void {
    this.counters.inc(reason)
    this.sinceWarning++
    const fields = { ...this.where, remote, peer: peer ?? undefined, reason, detail }
    const now = performance.now()
    if (now - this.warnedAtMs < WARNING_EVERY_MS) return this.log.debug('broke a connection off', fields)
    this.log.warning('broke a connection off', { ...fields, sinceLastWarning: this.sinceWarning })
    this.warnedAtMs = now
    this.sinceWarning = 0
  }
}

import type { Counter, Metrics } from './metrics.ts'

/** What goes through one way of TCP: a listener, a route (empty: inbound) and the cluster chosen. */
export class TcpMetrics {
  readonly connections: Counter
  /** Bytes from downstream. */
  readonly received: Counter
  /** Bytes to downstream. */
  readonly sent: Counter

  constructor(metrics: Metrics, way: { listener: string; route: string; cluster: string }) {
    this.connections = metrics.counter('weft_tcp_connections_total', way)
    this.received = metrics.counter('weft_tcp_bytes_total', { ...way, direction: 'received' })
    this.sent = metrics.counter('weft_tcp_bytes_total', { ...way, direction: 'sent' })
  }
}

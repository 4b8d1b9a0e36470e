import type { LoadProtocol, Peer, Subject } from '../peers/peer.ts'
import type { Metric } from '../statistics.ts'

/** What Weft must reach: its value by that of `against`, lower is better. */
export interface Bar {
  readonly metric: Metric
  readonly against: Subject
  readonly level: 'must' | 'moonshot'
  readonly atMost: number
}

/** One comparison: every peer in the same place, under the same load. */
export interface Case {
  readonly name: string
  readonly title: string
  readonly shape: 'hop' | 'pair'
  readonly protocol: LoadProtocol
  readonly clusters: number
  readonly connections: number
  /** Requests at a time on each connection, of HTTP/2. */
  readonly streams?: number
  /** In the order in which a round measures them. */
  readonly peers: readonly Peer[]
  /** In the order of the table. */
  readonly metrics: readonly Metric[]
  readonly bars: readonly Bar[]
}

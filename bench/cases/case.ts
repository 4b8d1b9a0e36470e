import type { Generator } from '../load/generator.ts'
import type { LoadProtocol, Peer, Shape, Subject } from '../peers/peer.ts'
import type { Metric } from '../statistics.ts'

/** What Weft must reach: its value by that of `against`. Where more is better it is the least, else the most. */
export interface Bar {
  readonly metric: Metric
  readonly against: Subject
  readonly level: 'must' | 'moonshot'
  readonly ratio: number
}

/** One comparison: every peer in the same place, under the same load. */
export interface Case {
  readonly name: string
  readonly title: string
  readonly shape: Shape
  readonly protocol: LoadProtocol
  readonly clusters: number
  readonly load: Generator
  /** What warms each subject up before a measurement. Default `load`. */
  readonly warmUp?: Generator
  /** Payload of one request, both ways; given where it is what counts. */
  readonly mebibytes?: number
  /** Runs of so many times the usual length. Default 1. */
  readonly times?: number
  /** In the order in which a round measures them. */
  readonly peers: readonly Peer[]
  /** In the order of the table. */
  readonly metrics: readonly Metric[]
  readonly bars: readonly Bar[]
}

import { h2load } from '../load/h2load.ts'
import { direct } from '../peers/direct.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** One plaintext HTTP/2 hop, prior knowledge on both sides. */
export const h2Hop: Case = {
  name: 'h2-hop',
  title: 'One plaintext HTTP/2 hop, 4 connections x 16 streams, 100 B body',
  shape: 'hop',
  protocol: 'http2',
  clusters: 1,
  load: h2load({ connections: 4, streams: 16 }),
  peers: [weft, envoy, envoyLean, direct],
  metrics: ['cpu-per-request', 'throughput', 'rss', 'private-dirty'],
  bars: [
    { metric: 'cpu-per-request', against: 'envoy', level: 'must', ratio: 0.5 },
    { metric: 'cpu-per-request', against: 'envoy', level: 'moonshot', ratio: 0.33 },
  ],
}

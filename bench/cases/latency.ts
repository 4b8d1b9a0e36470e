import { fortio } from '../load/fortio.ts'
import { wrk } from '../load/wrk.ts'
import { direct } from '../peers/direct.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** What the pair adds to each request when nothing is saturated. */
export const latency: Case = {
  name: 'latency',
  title: 'Latency at 1,000 requests/s over 32 connections through a pair of sidecars with mTLS, added to direct',
  shape: 'pair',
  protocol: 'http',
  clusters: 1,
  load: fortio({ rate: 1000, connections: 32 }),
  // At 1,000 a second a process would be a minute old before its hot functions are optimized.
  warmUp: wrk({ connections: 32 }),
  // One in a thousand needs thousands to be seen.
  times: 3,
  peers: [weft, envoy, envoyLean, direct],
  metrics: ['added-p50', 'added-p99', 'added-p99.9', 'p50', 'p99', 'p99.9', 'cpu-per-request'],
  bars: [
    { metric: 'added-p50', against: 'envoy', level: 'must', ratio: 0.7 },
    { metric: 'added-p99', against: 'envoy', level: 'must', ratio: 1.2 },
    { metric: 'added-p99.9', against: 'envoy', level: 'must', ratio: 2 },
    { metric: 'added-p50', against: 'envoy', level: 'moonshot', ratio: 0.5 },
    { metric: 'added-p99', against: 'envoy', level: 'moonshot', ratio: 0.5 },
    { metric: 'added-p99.9', against: 'envoy', level: 'moonshot', ratio: 0.5 },
  ],
}

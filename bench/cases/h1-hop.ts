import { wrk } from '../load/wrk.ts'
import { direct } from '../peers/direct.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { nginx } from '../peers/nginx.ts'
import { honoFetch, nodeUndici } from '../peers/node.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** One plaintext HTTP/1.1 hop: for Weft, a virtual gateway in front of a virtual node without a sidecar. */
export const h1Hop: Case = {
  name: 'h1-hop',
  title: 'One plaintext HTTP/1.1 hop, 100 B body',
  shape: 'hop',
  protocol: 'http',
  clusters: 1,
  load: wrk({ connections: 32 }),
  peers: [weft, envoy, envoyLean, haproxy, nginx, nodeUndici, honoFetch, direct],
  metrics: ['cpu-per-request', 'throughput', 'rss', 'private-dirty'],
  bars: [
    { metric: 'cpu-per-request', against: 'envoy', level: 'must', ratio: 0.5 },
    { metric: 'cpu-per-request', against: 'haproxy', level: 'moonshot', ratio: 1.25 },
    { metric: 'rss', against: 'envoy', level: 'must', ratio: 1.1 },
  ],
}

import { wrk } from '../load/wrk.ts'
import { direct } from '../peers/direct.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { nginx } from '../peers/nginx.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** Client sidecar, mTLS, server sidecar: CPU and memory are the sum of both proxies. */
export const h1Mesh: Case = {
  name: 'h1-mesh',
  title: 'HTTP/1.1 through a pair of sidecars with mTLS (TLS 1.3, P-256), 100 B body',
  shape: 'pair',
  protocol: 'http',
  clusters: 1,
  load: wrk({ connections: 32 }),
  peers: [weft, envoy, envoyLean, haproxy, nginx, direct],
  metrics: ['cpu-per-request', 'throughput', 'rss', 'private-dirty'],
  bars: [
    { metric: 'cpu-per-request', against: 'envoy', level: 'must', ratio: 0.55 },
    { metric: 'cpu-per-request', against: 'envoy', level: 'moonshot', ratio: 0.33 },
    { metric: 'rss', against: 'envoy', level: 'must', ratio: 1.1 },
  ],
}

import { sTime } from '../load/s-time.ts'
import { envoy } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

const COMMON = {
  shape: 'edge',
  protocol: 'http',
  clusters: 1,
  peers: [weft, envoy, haproxy],
  metrics: ['connections-per-cpu-second', 'resumed', 'rss'],
  bars: [
    { metric: 'connections-per-cpu-second', against: 'envoy', level: 'must', ratio: 0.8 },
    { metric: 'connections-per-cpu-second', against: 'envoy', level: 'moonshot', ratio: 1.2 },
  ],
} as const satisfies Partial<Case>

/** A gateway that verifies its clients: a full handshake for each connection. */
export const handshakes: Case = {
  ...COMMON,
  name: 'handshakes',
  title: 'New mTLS connections at a gateway (TLS 1.3, P-256), each with one request',
  load: sTime({ resume: false }),
}

/** The same from clients that offer their last session. */
export const handshakesResumed: Case = {
  ...COMMON,
  name: 'handshakes-resumed',
  title: 'The same from clients that resume their session',
  load: sTime({ resume: true }),
}

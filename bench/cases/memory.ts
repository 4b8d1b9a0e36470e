import { wrk } from '../load/wrk.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { nginx } from '../peers/nginx.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

const CLUSTERS = 50
/** Visits the clusters in turn, so that every one of them has connections and statistics. */
const ROTATE = `i = 0
request = function() i = (i + 1) % ${CLUSTERS}; return wrk.format("GET", "/c" .. i .. "/") end
`

/** What one proxy holds, idle and after load that goes over all clusters in turn. */
export const memory: Case = {
  name: 'memory',
  title: `Memory of one proxy with ${CLUSTERS} clusters, idle and after load from 64 connections`,
  shape: 'hop',
  protocol: 'http',
  clusters: CLUSTERS,
  load: wrk({ connections: 64, script: ROTATE }),
  peers: [weft, envoy, envoyLean, haproxy, nginx],
  metrics: ['rss', 'private-dirty', 'rss-idle'],
  bars: [
    { metric: 'rss', against: 'envoy', level: 'must', ratio: 1.0 },
    { metric: 'rss', against: 'envoy', level: 'moonshot', ratio: 0.8 },
  ],
}

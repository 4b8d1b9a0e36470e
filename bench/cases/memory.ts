import { envoy, envoyLean } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { nginx } from '../peers/nginx.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** What one proxy holds, idle and after load that goes over all clusters in turn. */
export const memory: Case = {
  name: 'memory',
  title: 'Memory of one proxy with 50 clusters, idle and after load from 64 connections',
  shape: 'hop',
  protocol: 'http',
  clusters: 50,
  connections: 64,
  peers: [weft, envoy, envoyLean, haproxy, nginx],
  metrics: ['rss', 'private-dirty', 'rss-idle'],
  bars: [
    { metric: 'rss', against: 'envoy', level: 'must', atMost: 1.0 },
    { metric: 'rss', against: 'envoy', level: 'moonshot', atMost: 0.8 },
  ],
}

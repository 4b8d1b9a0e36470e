import { GRPC_CALL, h2load } from '../load/h2load.ts'
import { direct } from '../peers/direct.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

/** Unary gRPC calls through client sidecar, mTLS, server sidecar: CPU and memory are the sum of both proxies. */
export const h2Grpc: Case = {
  name: 'h2-grpc',
  title: 'Unary gRPC through a pair of sidecars with mTLS, 4 connections x 16 streams, 100 B message',
  shape: 'pair',
  protocol: 'grpc',
  clusters: 1,
  load: h2load({ connections: 4, streams: 16, ...GRPC_CALL }),
  peers: [weft, envoy, envoyLean, direct],
  metrics: ['cpu-per-request', 'throughput', 'rss', 'private-dirty'],
  bars: [
    { metric: 'cpu-per-request', against: 'envoy', level: 'must', ratio: 0.5 },
    { metric: 'cpu-per-request', against: 'envoy', level: 'moonshot', ratio: 0.33 },
  ],
}

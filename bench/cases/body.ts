import { h2load } from '../load/h2load.ts'
import { wrk } from '../load/wrk.ts'
import { MEBIBYTE } from '../payload.ts'
import { envoy, envoyLean } from '../peers/envoy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

const COMMON = {
  shape: 'pair',
  clusters: 1,
  mebibytes: 2,
  peers: [weft, envoy, envoyLean],
  metrics: ['bytes-per-cpu-second', 'throughput', 'rss'],
  bars: [
    { metric: 'bytes-per-cpu-second', against: 'envoy', level: 'must', ratio: 0.8 },
    { metric: 'bytes-per-cpu-second', against: 'envoy', level: 'moonshot', ratio: 1.2 },
  ],
} as const satisfies Partial<Case>

/** 1 MiB to the app and 1 MiB back, over HTTP/1.1, through client sidecar, mTLS, server sidecar. */
export const bodyHttp1: Case = {
  ...COMMON,
  name: 'body-h1',
  title: 'HTTP/1.1 bodies of 1 MiB both ways through a pair of sidecars with mTLS, 8 connections',
  protocol: 'http',
  load: wrk({ connections: 8, path: 'mib', script: MEBIBYTE.wrk }),
}

/** The same over HTTP/2. */
export const bodyHttp2: Case = {
  ...COMMON,
  name: 'body-h2',
  title: 'HTTP/2 bodies of 1 MiB both ways through a pair of sidecars with mTLS, 4 connections x 2 streams',
  protocol: 'http2',
  load: h2load({ connections: 4, streams: 2, path: 'mib', body: MEBIBYTE.bytes }),
}

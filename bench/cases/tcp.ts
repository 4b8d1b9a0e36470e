import { wrk } from '../load/wrk.ts'
import { MEBIBYTE } from '../payload.ts'
import { envoy } from '../peers/envoy.ts'
import { haproxy } from '../peers/haproxy.ts'
import { weft } from '../peers/weft.ts'
import type { Case } from './case.ts'

const COMMON = { shape: 'pair', protocol: 'tcp', clusters: 1, peers: [weft, envoy, haproxy] } as const

/** The proxies see bytes only; that they are requests lets the same load and the same backend judge them. */
export const tcp: Case = {
  ...COMMON,
  name: 'tcp',
  title: 'Bulk TCP, 1 MiB to and fro through a pair of sidecars with mTLS, 8 connections',
  load: wrk({ connections: 8, path: 'mib', script: MEBIBYTE.wrk }),
  mebibytes: 2,
  metrics: ['bytes-per-cpu-second', 'throughput', 'rss'],
  bars: [
    { metric: 'bytes-per-cpu-second', against: 'envoy', level: 'must', ratio: 0.8 },
    { metric: 'bytes-per-cpu-second', against: 'envoy', level: 'moonshot', ratio: 1.5 },
  ],
}

/** Every request has a connection of its own; what the sidecars make of it between them is theirs. */
export const tcpConnects: Case = {
  ...COMMON,
  name: 'tcp-connects',
  title: 'New TCP connections through a pair of sidecars with mTLS, 100 B each, 32 at a time',
  load: wrk({ connections: 32, headers: { Connection: 'close' } }),
  metrics: ['connections-per-cpu-second', 'throughput', 'rss'],
  bars: [
    { metric: 'connections-per-cpu-second', against: 'envoy', level: 'must', ratio: 0.8 },
    { metric: 'connections-per-cpu-second', against: 'envoy', level: 'moonshot', ratio: 1.5 },
  ],
}

import type { AccessLogRecord } from '../../../../proxy-image/src/telemetry/access-log.ts'

/** A served request; tests overwrite what they are about. */
export function record(
  over: Partial<AccessLogRecord> = {},
  headers: { request?: Record<string, string>; response?: Record<string, string> } = {},
): AccessLogRecord {
  return {
    startTimeMs: Date.UTC(2026, 10, 23, 15, 4, 5, 67),
    durationMs: 12.9,
    method: 'GET',
    target: '/cart?id=7',
    authority: 'orders.shop.local',
    protocol: 'HTTP/1.1',
    status: 200,
    bytesReceived: 0,
    bytesSent: 512,
    reason: null,
    upstreamAddress: '10.0.1.7:15000',
    upstreamCluster: 'orders-v1',
    route: 'orders-router/all',
    downstreamAddress: '127.0.0.1:40112',
    downstreamLocalAddress: '127.0.0.1:15001',
    attempts: 1,
    upstreamServiceTimeMs: 9.2,
    responseHeadMs: 10.4,
    peerUri: null,
    serverName: null,
    requestHeader: (name) => new Map(Object.entries(headers.request ?? {})).get(name),
    responseHeader: (name) => new Map(Object.entries(headers.response ?? {})).get(name),
    ...over,
  }
}

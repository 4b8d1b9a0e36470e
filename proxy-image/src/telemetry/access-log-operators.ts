import { hostname } from 'node:os'
import type { AccessLogRecord } from './access-log.ts'
import { responseFlags } from './response-flags.ts'
import { compileStartTime } from './start-time.ts'

/** Reads one value of a record; null renders `-` in text and `null` in JSON. */
type Read = (record: AccessLogRecord) => string | number | null

/** An operator of a template, ready to read. */
export interface Operator {
  readonly read: Read
  /** What it reads stands in the template itself, but for digits: in a text it needs no escapes. */
  readonly isTemplate: boolean
}

/** Names of gRPC statuses by number, as Envoy spells them. */
const GRPC_STATUS = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
]

const PSEUDO_HEADERS: ReadonlyMap<string, Read> = new Map<string, Read>([
  [':method', (record) => record.method],
  [':path', (record) => record.target],
  [':authority', (record) => record.authority],
  ['host', (record) => record.authority],
])

/** Operators without arguments. */
const PLAIN: Readonly<Record<string, Read>> = {
  PROTOCOL: (record) => record.protocol,
  RESPONSE_CODE: (record) => record.status,
  RESPONSE_CODE_DETAILS: (record) => record.reason ?? (record.upstreamAddress === null ? null : 'via_upstream'),
  RESPONSE_FLAGS: (record) => responseFlags(record.reason, record.attempts),
  BYTES_RECEIVED: (record) => record.bytesReceived,
  BYTES_SENT: (record) => record.bytesSent,
  DURATION: (record) => Math.trunc(record.durationMs),
  // Bodies stream through, so the last byte is received when it is sent on.
  REQUEST_DURATION: requestSentMs,
  REQUEST_TX_DURATION: requestSentMs,
  RESPONSE_DURATION: (record) => truncated(record.responseHeadMs),
  RESPONSE_TX_DURATION: (record) =>
    record.responseHeadMs === null ? null : Math.max(0, Math.trunc(record.durationMs - record.responseHeadMs)),
  UPSTREAM_HOST: (record) => record.upstreamAddress,
  UPSTREAM_REMOTE_ADDRESS: (record) => record.upstreamAddress,
  UPSTREAM_CLUSTER: (record) => record.upstreamCluster,
  UPSTREAM_CLUSTER_RAW: (record) => record.upstreamCluster,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (record) => record.attempts,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (record) => (record.reason === 'tls_failed' ? record.reason : null),
  DOWNSTREAM_REMOTE_ADDRESS: (record) => record.downstreamAddress,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (record) => record.downstreamAddress,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamAddress),
  DOWNSTREAM_LOCAL_ADDRESS: (record) => record.downstreamLocalAddress,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (record) => withoutPort(record.downstreamLocalAddress),
  DOWNSTREAM_PEER_URI_SAN: (record) => record.peerUri,
  ROUTE_NAME: (record) => record.route,
  REQUESTED_SERVER_NAME: (record) => record.serverName,
  GRPC_STATUS: (record) => grpcStatusName(record.responseHeader('grpc-status')),
  GRPC_STATUS_NUMBER: (record) => grpcStatus(record.responseHeader('grpc-status')),
}

/** One operator of a template, or null when there is none of that name. `argument` is what stands in parentheses. */
export function compileOperator(
  name: string,
  argument: string | undefined,
  maxLength: number | undefined,
): (Operator & { readonly warnings: string[] }) | null {
  if (name === 'START_TIME') {
    const { render, unknown } = compileStartTime(argument)
    const warnings = unknown.map((conversion) => `START_TIME does not know ${conversion}; it is written as it stands`)
    return { read: (record) => render(record.startTimeMs), isTemplate: true, warnings }
  }
  if (name === 'HOSTNAME') {
    const host = hostname()
    return { read: () => host, isTemplate: false, warnings: [] }
  }
  const isHeader = name === 'REQ' || name === 'RESP'
  const read = isHeader ? compileHeader(name, argument) : plain(name)
  if (read === null) return null
  const within = maxLength === undefined ? read : (record: AccessLogRecord) => cut(read(record), maxLength)
  return { read: within, isTemplate: false, warnings: [] }
}

function plain(name: string): Read | null {
  return Object.hasOwn(PLAIN, name) ? PLAIN[name]! : null
}

/** `REQ(X?Y)`: header X, or Y in its absence. */
function compileHeader(operator: 'REQ' | 'RESP', argument = ''): Read | null {
  const [first, second] = argument.split('?', 2)
  if (first === undefined || first === '') return null
  const read = header(operator, first)
  if (second === undefined || second === '') return read
  const other = header(operator, second)
  return (record) => read(record) ?? other(record)
}

function header(operator: 'REQ' | 'RESP', written: string): Read {
  const name = written.trim().toLowerCase()
  if (operator === 'REQ') {
    return PSEUDO_HEADERS.get(name) ?? ((record) => record.requestHeader(name) ?? null)
  }
  if (name === ':status') return (record) => record.status
  // Envoy adds this header and its default format reads it; we know the value without adding one.
  if (name === 'x-envoy-upstream-service-time') {
    return (record) => record.responseHeader(name) ?? truncated(record.upstreamServiceTimeMs)
  }
  return (record) => record.responseHeader(name) ?? null
}

function cut(value: string | number | null, maxLength: number): string | number | null {
  return typeof value === 'string' && value.length > maxLength ? value.slice(0, maxLength) : value
}

function truncated(ms: number | null): number | null {
  return ms === null ? null : Math.trunc(ms)
}

function requestSentMs(record: AccessLogRecord): number | null {
  const { responseHeadMs, upstreamServiceTimeMs } = record
  if (responseHeadMs === null || upstreamServiceTimeMs === null) return null
  return Math.max(0, Math.trunc(responseHeadMs - upstreamServiceTimeMs))
}

function withoutPort(address: string): string {
  const colon = address.lastIndexOf(':')
  if (colon < 0) return address
  return address.startsWith('[') ? address.slice(1, colon - 1) : address.slice(0, colon)
}

function grpcStatus(value: string | null | undefined): number | null {
  if (value === null || value === undefined || !/^\d{1,2}$/.test(value)) return null
  const status = Number(value)
  return status < GRPC_STATUS.length ? status : null
}

function grpcStatusName(value: string | null | undefined): string | null {
  const status = grpcStatus(value)
  return status === null ? null : GRPC_STATUS[status]!
}

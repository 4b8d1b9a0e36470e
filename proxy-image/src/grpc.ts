import { Http2Fields } from './codec/http2/fields.ts'
import { CHUNKED, type RequestHead, type ResponseHead } from './codec/message.ts'
import type { ProxyError, Reason } from './errors.ts'

/** gRPC over HTTP/2, as far as a proxy takes part in it (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */

/** Status codes by name (https://grpc.io/docs/guides/status-codes/). */
export const GRPC_CODES = {
  ok: 0,
  cancelled: 1,
  'deadline-exceeded': 4,
  'permission-denied': 7,
  'resource-exhausted': 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const

/** What a client of gRPC is told where others get an HTTP status (doc/http-grpc-status-mapping.md). */
const CODE_OF_REASON: Readonly<Partial<Record<Reason, keyof typeof GRPC_CODES>>> = {
  no_route: 'unimplemented',
  not_implemented: 'unimplemented',
  egress_denied: 'permission-denied',
  unauthorized_caller: 'permission-denied',
  upstream_timeout: 'deadline-exceeded',
  per_try_timeout: 'deadline-exceeded',
  idle_timeout: 'deadline-exceeded',
  head_too_large: 'resource-exhausted',
  bad_request: 'internal',
  upstream_protocol: 'internal',
  internal: 'internal',
}

/** Whether a request is one of gRPC: HTTP/2, and a content type of `application/grpc` or a kind of it. */
export function isGrpcRequest({ version, method, fields }: RequestHead): boolean {
  return version === 20 && method === 'POST' && (fields.get('content-type')?.startsWith('application/grpc') ?? false)
}

/** An error of the proxy's own as an answer that consists of trailers alone. `message` is for whoever may read it. */
export function grpcErrorHead(error: ProxyError, message: string, more: readonly [string, string][]): ResponseHead {
  const fields = new Http2Fields([])
  fields.add('content-type', 'application/grpc')
  fields.add('grpc-status', String(GRPC_CODES[CODE_OF_REASON[error.reason] ?? 'unavailable']))
  fields.add('grpc-message', percentEncode(message.trimEnd()))
  for (const [name, value] of more) fields.add(name, value)
  return { status: 200, phrase: '', version: 20, fields, bodyLength: CHUNKED, keepAlive: true }
}

/** Status-Message of the protocol: UTF-8, all but visible ASCII (and `%`) percent-encoded. */
function percentEncode(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character))
}

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** `grpc-timeout` in milliseconds, at least one; undefined for none and for what is no timeout. */
export function grpcTimeoutMs(value: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value ?? '')
  return match === null ? undefined : Math.max(1, Math.ceil(Number(match[1]) * UNITS[match[2]!]!))
}

/** Milliseconds as a `grpc-timeout`: eight digits at most. */
export function grpcTimeout(ms: number): string {
  return ms < 1e8 ? `${Math.ceil(ms)}m` : `${Math.ceil(ms / 1000)}S`
}

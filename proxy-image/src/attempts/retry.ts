import type { RetryPolicy } from '../../../runtime/model/snapshot.ts'
import type { ProxyError, Reason } from '../errors.ts'
import { GRPC_CODES } from '../grpc.ts'

/** Methods that may be sent twice (RFC 9110, section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/**
 * Sidecars name the reason of an answer that they made themselves in this field, to meshed peers only. From apps it is
 * dropped, so that nobody can claim a request was not processed.
 */
export const REASON_FIELD = 'x-weft-reason'

/** Reasons of a peer sidecar that say: the app never saw the request. */
const UNSENT: ReadonlySet<string> = new Set<Reason>(['connect_failed', 'connect_timeout', 'overflow', 'draining'])

/** Whether a peer's own answer says that the app never saw the request. */
export function peerDidNotSend(reason: string | undefined): boolean {
  return reason !== undefined && UNSENT.has(reason)
}

/** The connection between a peer and its app broke before an answer: what `reset` means, one hop further. */
const RESET: ReadonlySet<string> = new Set<Reason>(['upstream_closed', 'upstream_reset'])

/** Whether a policy retries a peer's own answer that says why it has no other. */
export function retriesPeerReason(policy: RetryPolicy, reason: string | undefined, method: string): boolean {
  if (peerDidNotSend(reason)) return policy.on.includes('connect-failure')
  return reason !== undefined && RESET.has(reason) && policy.on.includes('reset') && mayRepeat(policy, method)
}

function mayRepeat(policy: RetryPolicy, method: string): boolean {
  return policy.methods === 'any' || IDEMPOTENT.has(method)
}

/** Whether a policy retries an answer of this status. */
export function retriesStatus(policy: RetryPolicy, status: number, method: string): boolean {
  if (status < 400 || !mayRepeat(policy, method)) return false
  for (const event of policy.on) {
    if (event === '5xx' ? status >= 500 : event === 'gateway-error' ? status >= 502 && status <= 504 : false)
      return true
    if ((event === '503' && status === 503) || (event === '409' && status === 409)) return true
  }
  return false
}

/** Whether a policy retries an answer of this gRPC status. */
export function retriesGrpcStatus(policy: RetryPolicy, status: string, method: string): boolean {
  if (status === '0' || !mayRepeat(policy, method)) return false
  return policy.on.some((event) => GRPC_STATUS_OF_EVENT.get(event) === status)
}

/** Whether any event of a policy is a gRPC status. */
export function looksAtGrpcStatus(policy: RetryPolicy): boolean {
  return policy.on.some((event) => GRPC_STATUS_OF_EVENT.has(event))
}

const GRPC_STATUS_OF_EVENT: ReadonlyMap<string, string> = new Map(
  Object.entries(GRPC_CODES).map(([name, code]) => [`grpc-${name}`, String(code)]),
)

/** A connection stood, but the server took the stream not up: REFUSED_STREAM, or GOAWAY (RFC 9113, section 8.7). */
const REFUSED: ReadonlySet<Reason> = new Set<Reason>(['upstream_reset', 'upstream_closed'])

/** Whether a policy retries an attempt that brought no answer. */
export function retriesError(policy: RetryPolicy, error: ProxyError, method: string): boolean {
  // An overflow of our own is the whole cluster's: no other endpoint has room.
  if (error.retry === 'never' || error.reason === 'overflow') return false
  // Nothing was processed: safe for every method.
  if (error.retry === 'unsent') {
    return policy.on.includes('connect-failure') || (REFUSED.has(error.reason) && policy.on.includes('refused-stream'))
  }
  if (!mayRepeat(policy, method)) return false
  // As in Envoy, whose 5xx and gateway-error include resets and timeouts of an attempt.
  return policy.on.includes('reset') || policy.on.includes('5xx') || policy.on.includes('gateway-error')
}

/** Full jitter below 25 ms, doubled by each retry, 250 ms at most (the defaults of Envoy's back-off). */
export function backOffMs(retry: number): number {
  return Math.random() * Math.min(250, 25 * 2 ** (retry - 1))
}

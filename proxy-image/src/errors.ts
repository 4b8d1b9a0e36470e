/**
 * Why an exchange did not go as the app asked. A closed union: it is the `reason` label of metrics and access logs, and
 * {@link STATUS} holds its one mapping to HTTP.
 */
export type Reason =
  // downstream sent something wrong
  | 'bad_request'
  | 'head_too_large'
  | 'not_implemented'
  | 'version_not_supported'
  | 'request_timeout'
  | 'downstream_closed'
  // the mesh has no way for it
  | 'no_route'
  | 'egress_denied'
  | 'unauthorized_caller'
  | 'no_target'
  | 'no_endpoint'
  | 'peer_not_in_mesh'
  | 'misdirected'
  // the mesh protects itself
  | 'overflow'
  | 'draining'
  // upstream failed
  | 'connect_failed'
  | 'connect_timeout'
  | 'tls_failed'
  | 'upstream_closed'
  | 'upstream_reset'
  | 'upstream_protocol'
  | 'upstream_timeout'
  | 'per_try_timeout'
  | 'idle_timeout'
  | 'internal'

/** HTTP status of a reason, as long as no response head went out. */
export const STATUS: Readonly<Record<Reason, number>> = {
  bad_request: 400,
  head_too_large: 431,
  not_implemented: 501,
  version_not_supported: 505,
  request_timeout: 408,
  downstream_closed: 499,
  no_route: 404,
  egress_denied: 403,
  unauthorized_caller: 403,
  no_target: 503,
  no_endpoint: 503,
  peer_not_in_mesh: 503,
  misdirected: 421,
  overflow: 503,
  draining: 503,
  connect_failed: 503,
  connect_timeout: 503,
  tls_failed: 503,
  upstream_closed: 502,
  upstream_reset: 502,
  upstream_protocol: 502,
  upstream_timeout: 504,
  per_try_timeout: 504,
  idle_timeout: 504,
  internal: 500,
}

/** What may be tried again: nothing, anything (no byte of the request was processed), or idempotent methods only. */
export type Retryable = 'never' | 'unsent' | 'idempotent'

export class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly reason: Reason
  readonly source: 'downstream' | 'upstream' | 'mesh' | 'internal'
  readonly retry: Retryable

  constructor(
    reason: Reason,
    source: ProxyError['source'],
    options: { retry?: Retryable; message?: string; cause?: unknown } = {},
  ) {
    super(options.message ?? reason, options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = reason
    this.source = source
    this.retry = options.retry ?? 'never'
  }
}

/** For what should not happen: whatever was thrown, as an error of this proxy. */
export function internalError(thrown: unknown): ProxyError {
  return new ProxyError('internal', 'internal', { cause: thrown, message: String(thrown) })
}

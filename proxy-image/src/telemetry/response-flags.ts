import type { Reason } from '../errors.ts'

/** Envoy's response flags, which operators search their logs for (Envoy, "substitution formatter", RESPONSE_FLAGS). */
const FLAGS: Readonly<Record<Reason, string>> = {
  bad_request: 'DPE',
  head_too_large: 'DPE',
  not_implemented: 'DPE',
  version_not_supported: 'DPE',
  request_timeout: 'SI',
  downstream_closed: 'DC',
  no_route: 'NR',
  egress_denied: 'NR',
  unauthorized_caller: 'UAEX',
  no_target: 'NC',
  no_endpoint: 'UH',
  peer_not_in_mesh: 'UF',
  misdirected: 'NR',
  overflow: 'UO',
  draining: 'LR',
  connect_failed: 'UF',
  connect_timeout: 'UF',
  tls_failed: 'UF',
  upstream_closed: 'UC',
  upstream_reset: 'UR',
  upstream_protocol: 'UPE',
  upstream_timeout: 'UT',
  per_try_timeout: 'UT',
  idle_timeout: 'SI',
  internal: 'LR',
}

/** The flags that say an attempt failed upstream: after a retry they come with URX, as Envoy writes them. */
const RETRIED = new Set(['UF', 'UC', 'UR', 'UPE', 'UT'])

/** Flags of an exchange, comma-separated, or null when all went as asked. */
export function responseFlags(reason: Reason | null, attempts: number): string | null {
  if (reason === null) return null
  const flag = FLAGS[reason]
  return attempts > 1 && RETRIED.has(flag) ? `${flag},URX` : flag
}

import type { InboundListener } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import type { Metrics } from '../telemetry/metrics.ts'

type Authorization = NonNullable<InboundListener['authorization']>

/** Judges a caller by the SPIFFE ID of its certificate (null: it showed none): what to answer, or null to let it in. */
export type Authorizer = (peer: string | null) => ProxyError | null

/** Enforces who may call. What is denied is counted under the policy's name, in mode `shadow` too, where it is let in. */
export function authorizer({ allow, mode, origin }: Authorization, listener: string, metrics: Metrics): Authorizer {
  const allowed = new Set(allow)
  const denied = metrics.counter('weft_authorization_denied_total', { listener, policy: origin.name, mode })
  return (peer) => {
    if (peer !== null && allowed.has(peer)) return null
    denied.inc()
    if (mode === 'shadow') return null
    const message = `policy ${origin.name} does not let ${peer ?? 'callers without a mesh identity'} in`
    return new ProxyError('unauthorized_caller', 'mesh', { message })
  }
}

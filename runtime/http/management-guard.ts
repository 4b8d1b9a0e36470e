import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { MeshError } from '../model/problem.ts'

/** Who may use the management API. */
export interface GuardOptions {
  /** Bound to a loopback address: whoever reaches it is a local user, but a browser must not be tricked into it. */
  readonly loopback: boolean
  /** When set, every call must show it as bearer token. */
  readonly apiToken?: string
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

/**
 * Refuses requests that a web page made a browser send: by a name that was rebound to loopback (the Host header tells),
 * or from another site (Origin and Sec-Fetch-Site tell). Asks for the API token when there is one.
 * @throws MeshError `forbidden`, `unauthenticated`.
 */
export function managementGuard({ loopback, apiToken }: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host') ?? ''
    if (loopback && !LOOPBACK_HOST.test(host)) {
      throw new MeshError(
        'forbidden',
        'this API is bound to loopback and answers to localhost, 127.0.0.1 and [::1] only; use one of these as host name',
      )
    }
    if (isCrossSite(c.req.header('origin'), c.req.header('sec-fetch-site'), host)) {
      throw new MeshError('forbidden', 'requests from pages of other sites are refused')
    }
    if (apiToken !== undefined && !sameSecret(c.req.header('authorization') ?? '', `Bearer ${apiToken}`)) {
      throw new MeshError(
        'unauthenticated',
        'this API wants its token: send "Authorization: Bearer <token>" (WEFT_API_TOKEN of the control plane)',
      )
    }
    await next()
  }
}

function isCrossSite(origin: string | undefined, fetchSite: string | undefined, host: string): boolean {
  if (fetchSite === 'cross-site' || fetchSite === 'same-site') return true
  if (origin === undefined) return false
  return URL.parse(origin)?.host !== host.toLowerCase()
}

/** Digests are compared, so that neither length nor content shows in the time it takes. */
function sameSecret(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

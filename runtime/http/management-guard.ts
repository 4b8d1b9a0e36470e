import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { IamCaller } from '../ports.ts'

/** Who may use the management API. */
export type GuardOptions = OwnGuard | IamGuard

/** The control plane has a listener of its own. */
interface OwnGuard {
  /** Bound to a loopback address: whoever reaches it is a local user, but a browser must not be tricked into it. */
  readonly loopback: boolean
  /** When set, every call must show it as bearer token. */
  readonly apiToken?: string
}

/** IAM stands in front and let the caller in: what it may do is a matter of its policies. */
interface IamGuard {
  /** Whom IAM says the request is from; undefined when it came past it. */
  readonly callerOf: (c: Context) => IamCaller | undefined
  /** The node or gateway whose task role this is. */
  readonly subjectOf: (caller: IamCaller) => Promise<Subject | undefined>
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

/** Lets in who may use the management API, and notes who it is: see {@link actorOf}. */
export function managementGuard(guard: GuardOptions): MiddlewareHandler {
  const enter = 'callerOf' in guard ? iamActor(guard) : ownActor(guard)
  return async (c, next) => {
    c.set('actor', await enter(c))
    await next()
  }
}

/** Who calls, as the guard found: what the change log says of a write. */
export function actorOf(c: Context): string {
  return c.get('actor')
}

type Enter = (c: Context) => string | Promise<string>

/**
 * Refuses requests that a web page made a browser send: by a name that was rebound to loopback (the Host header tells),
 * or from another site (Origin and Sec-Fetch-Site tell). Asks for the API token when there is one.
 * @throws MeshError `forbidden`, `unauthenticated`.
 */
function ownActor({ loopback, apiToken }: OwnGuard): Enter {
  return (c) => {
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
    if (apiToken === undefined) return 'local-admin'
    if (!sameSecret(c.req.header('authorization') ?? '', `Bearer ${apiToken}`)) {
      throw new MeshError(
        'unauthenticated',
        'this API wants its token: send "Authorization: Bearer <token>" (WEFT_API_TOKEN of the control plane)',
      )
    }
    return 'api-token'
  }
}

/**
 * The caller's ARN. A task that was broken into must not change the mesh, whatever its role's policies allow: a role that
 * stands for a node or gateway is refused.
 * @throws MeshError `unauthenticated`, `forbidden`.
 */
function iamActor({ callerOf, subjectOf }: IamGuard): Enter {
  return async (c) => {
    const caller = callerOf(c)
    if (caller === undefined) {
      throw new MeshError(
        'unauthenticated',
        'the request came without an IAM identity; sign it (SigV4), and let the endpoint have AWS_IAM authorization',
      )
    }
    const subject = await subjectOf(caller)
    if (subject === undefined) return caller.arn
    throw new MeshError(
      'forbidden',
      `${caller.arn} is the task role of ${subject.kind} '${subject.name}' in mesh '${subject.mesh}', and task roles may not use the management API; use another role`,
    )
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

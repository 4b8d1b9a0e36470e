import type { Subject } from '../model/reference.ts'
import type { ResourceStore } from '../ports.ts'
import { requireSubject } from './describe-resource.ts'

/** A token and when it ends (epoch milliseconds). */
interface MintedJoinToken {
  readonly token: string
  readonly expiresAtMs: number
}

/** Makes a token with which proxies buy the first certificate of a subject. */
export type JoinTokenMint = (subject: Subject, options: { readonly ttlMs: number }) => MintedJoinToken

/** How long a token is good for unless said otherwise: an hour is enough to start a proxy by hand. */
export const DEFAULT_TOKEN_TTL_MS = 3_600_000
export const MAX_TOKEN_TTL_MS = 30 * 86_400_000

/** @throws MeshError `not-found` for a node or gateway that does not exist: most often a slip of the pen. */
export function mintJoinToken(deps: {
  readonly store: ResourceStore
  readonly mint: JoinTokenMint
}): (input: { subject: Subject; ttlMs: number }) => Promise<MintedJoinToken> {
  return async ({ subject, ttlMs }) => {
    await requireSubject(deps.store, subject)
    return deps.mint(subject, { ttlMs })
  }
}

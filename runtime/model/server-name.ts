import * as v from 'valibot'

/** Names that clients of TLS ask for (SNI; RFC 6066, section 3), and patterns of them. */

/** A name in DNS has 253 characters at most (RFC 1035, section 2.3.4, without the length bytes). */
const MAX_NAME = 253
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
/** The last label holds a letter: SNI names no IP addresses. */
const PATTERN = new RegExp(String.raw`^(?:\*\.)?(?:${LABEL}\.)*(?=[0-9-]*[A-Za-z])${LABEL}$`)

/** `db.example.com`, or `*.example.com` for the names below, as the hostnames of Gateway API's TLSRoute. */
export const ServerNameSchema = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(MAX_NAME),
  v.regex(
    PATTERN,
    'A client of TLS could not ask for this name; use a DNS name (no IP address, no final dot), maybe with "*." before it.',
  ),
)

/**
 * Values by server name. An exact name goes before a wildcard, a longer wildcard before a shorter one, and of two equal
 * ones the first counts.
 */
export class ServerNames<T> {
  private readonly exact = new Map<string, T>()
  /** By what follows the star. */
  private readonly wildcards = new Map<string, T>()
  private readonly anyDepth: boolean

  /**
   * `star` is what `*.` stands for: one label, as in certificates (RFC 9525, section 6.3), or one or more, as in routes.
   */
  constructor(entries: Iterable<readonly [pattern: string, value: T]>, star: 'label' | 'labels') {
    this.anyDepth = star === 'labels'
    for (const [given, value] of entries) {
      const pattern = given.toLowerCase()
      const isWildcard = pattern.startsWith('*.')
      const map = isWildcard ? this.wildcards : this.exact
      const key = isWildcard ? pattern.slice(1) : pattern
      if (!map.has(key)) map.set(key, value)
    }
  }

  /** `name` is in lower case. */
  find(name: string): T | undefined {
    const exact = this.exact.get(name)
    if (exact !== undefined || this.wildcards.size === 0) return exact
    for (let dot = name.indexOf('.', 1); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const found = this.wildcards.get(name.slice(dot))
      if (found !== undefined) return found
      if (!this.anyDepth) return undefined
    }
    return undefined
  }
}

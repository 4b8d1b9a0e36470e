import * as v from 'valibot'
import type { Subject } from './reference.ts'

/**
 * Join tokens: what buys a proxy outside of AWS its first certificate.
 * `weft1.<SHA-256 of the mesh CA's DER>.<payload>.<HMAC-SHA256>`, the three parts in base64url. The proxy learns from it
 * which CA to trust before it says anything; the control plane alone can tell whether it is genuine.
 */

/** Characters; a token travels in a header. */
export const MAX_JOIN_TOKEN = 4096

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(255))

const PayloadSchema = v.strictObject({
  mesh: name,
  kind: v.picklist(['virtual-node', 'virtual-gateway']),
  name,
  /** End of validity, epoch seconds. */
  exp: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Unique to the token, for the operator's records. */
  jti: name,
})

export type JoinTokenPayload = Readonly<v.InferOutput<typeof PayloadSchema>>

/** What a token claims. Nothing of it is verified. */
export interface UnverifiedJoinToken {
  /** SHA-256 of the mesh CA's DER in hex: with this token, talk to no control plane that can't show that CA. */
  readonly caFingerprint: string
  readonly subject: Subject
  readonly expiresAtMs: number
  readonly jti: string
  /** The text that the signature covers. */
  readonly signed: string
  /** HMAC-SHA256 of `signed` in base64url. */
  readonly signature: string
}

/** Reads the shape of a join token WITHOUT verifying it; undefined for anything else. */
export function parseJoinToken(token: string): UnverifiedJoinToken | undefined {
  if (token.length > MAX_JOIN_TOKEN) return undefined
  const match = /^(weft1\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{43})$/.exec(token)
  if (match === null) return undefined
  const [, signed, digest, encoded, signature] = match
  const payload = parsePayload(encoded!)
  if (payload === undefined) return undefined
  const { mesh, kind, name, exp, jti } = payload
  return {
    caFingerprint: Array.from(fromBase64Url(digest!), (byte) => byte.toString(16).padStart(2, '0')).join(''),
    subject: { kind, mesh, name },
    expiresAtMs: exp * 1000,
    jti,
    signed: signed!,
    signature: signature!,
  }
}

function parsePayload(encoded: string): JoinTokenPayload | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(fromBase64Url(encoded))
    const result = v.safeParse(PayloadSchema, JSON.parse(text))
    return result.success ? result.output : undefined
  } catch {
    return undefined
  }
}

function fromBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

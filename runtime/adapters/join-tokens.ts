import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { parseSpiffeId, spiffeId } from '../model/identity.ts'
import { type JoinTokenPayload, MAX_JOIN_TOKEN, parseJoinToken } from '../model/join-token.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { CallerIdentity, Clock, Credentials } from '../ports.ts'
import { readOrCreateSecret } from './secret-file.ts'

const KEY_BYTES = 32
const MAX_TTL_MS = 366 * 86_400_000

export interface JoinTokenOptions {
  /** Holds the key in hex, mode 0600; created at first. Without it tokens are void: delete it to void them all. */
  readonly keyFile: string
  /** SHA-256 of the mesh CA's DER in hex, told to the proxy in each token. */
  readonly caFingerprint: string
  readonly clock: Clock
}

/** Opens the issuer of join tokens. Throws MeshError `unavailable` when the key file is damaged or others can read it. */
export async function openJoinTokens({ keyFile, caFingerprint, clock }: JoinTokenOptions): Promise<JoinTokens> {
  const hex = (await readOrCreateSecret(keyFile, () => `${randomBytes(KEY_BYTES).toString('hex')}\n`)).trim()
  if (!/^[0-9a-f]{64}$/.test(hex)) {
    throw new MeshError(
      'unavailable',
      `${keyFile} is damaged; delete it for a new key, and mint all join tokens again.`,
    )
  }
  return new JoinTokens(Buffer.from(hex, 'hex'), caFingerprint, clock)
}

/**
 * Mints and verifies join tokens (shape: runtime/model/join-token.ts). A token may be used until it ends, by every
 * instance of the one virtual node or gateway it names.
 */
export class JoinTokens {
  readonly #key: Buffer
  readonly #caDigest: string
  readonly #clock: Clock

  /** @internal Made by {@link openJoinTokens}. */
  constructor(key: Buffer, caFingerprint: string, clock: Clock) {
    this.#key = key
    this.#caDigest = Buffer.from(caFingerprint, 'hex').toString('base64url')
    this.#clock = clock
  }

  /** A token for a subject. Throws MeshError `invalid` for a lifetime outside of 1 s to 366 days, or endless names. */
  mint(
    { mesh, kind, name }: Subject,
    { ttlMs }: { readonly ttlMs: number },
  ): { readonly token: string; readonly expiresAtMs: number } {
    if (!(ttlMs >= 1000 && ttlMs <= MAX_TTL_MS)) {
      throw new MeshError('invalid', `A join token lives from 1 second to 366 days, not ${ttlMs} ms.`)
    }
    const exp = Math.floor((this.#clock.now() + ttlMs) / 1000)
    const payload: JoinTokenPayload = { mesh, kind, name, exp, jti: randomUUID() }
    const signed = `weft1.${this.#caDigest}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`
    const token = `${signed}.${this.#sign(signed)}`
    if (token.length > MAX_JOIN_TOKEN || parseJoinToken(token) === undefined) {
      throw new MeshError(
        'invalid',
        'These names do not fit into a join token: mesh and node take 1 to 255 characters.',
      )
    }
    return { token, expiresAtMs: exp * 1000 }
  }

  /** Whom a genuine token that has not ended names. Throws MeshError `unauthenticated`, never with the token in it. */
  verify(token: string): Subject {
    const claims = parseJoinToken(token)
    // Both sides have 43 characters: parseJoinToken saw to it. Compared as text, so that one signature has one spelling.
    const genuine =
      claims !== undefined && timingSafeEqual(Buffer.from(claims.signature), Buffer.from(this.#sign(claims.signed)))
    if (!genuine) {
      throw new MeshError('unauthenticated', 'The join token is not one of this control plane; mint a new one.')
    }
    if (this.#clock.now() >= claims.expiresAtMs) {
      const ended = new Date(claims.expiresAtMs).toISOString()
      throw new MeshError('unauthenticated', `The join token ended at ${ended}; mint a new one.`)
    }
    return claims.subject
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }
}

/**
 * Callers of a self-hosted control plane: a join token buys the first certificate, and that certificate is the proof
 * from then on. A certificate counts for more than a token; a token that names somebody else beside it is refused.
 */
export class JoinTokenIdentity implements CallerIdentity {
  readonly #tokens: JoinTokens
  readonly #trustDomain: string

  constructor(tokens: JoinTokens, trustDomain: string) {
    this.#tokens = tokens
    this.#trustDomain = trustDomain
  }

  async identify({ bearer, presigned, verifiedUris = [] }: Credentials): Promise<Subject> {
    if (verifiedUris.length > 0) {
      const subject = this.#certified(verifiedUris)
      // The token proves nothing here, so it need not be valid still; it must not contradict.
      const claimed = bearer === undefined ? subject : parseJoinToken(bearer)?.subject
      if (claimed === undefined || !sameSubject(subject, claimed)) {
        throw new MeshError('unauthenticated', 'Token and certificate name different callers; show one of them.')
      }
      return subject
    }
    if (presigned !== undefined) {
      const message =
        'This control plane takes no identities of AWS; start it with --aws-identity, or use a join token.'
      throw new MeshError('unauthenticated', message)
    }
    if (bearer === undefined) {
      throw new MeshError('unauthenticated', 'Show a join token (Authorization: Bearer) or a certificate of the mesh.')
    }
    return this.#tokens.verify(bearer)
  }

  /** X.509-SVID standard, section 2: exactly one URI. Only the spelling that this control plane issues counts. */
  #certified(uris: readonly string[]): Subject {
    const [uri] = uris
    const parsed = uris.length === 1 ? parseSpiffeId(uri!) : undefined
    if (parsed?.trustDomain !== this.#trustDomain || spiffeId(parsed.trustDomain, parsed.subject) !== uri) {
      throw new MeshError('unauthenticated', `The certificate is not of a workload of ${this.#trustDomain}.`)
    }
    return parsed.subject
  }
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && a.mesh === b.mesh && a.name === b.name
}

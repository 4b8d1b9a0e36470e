import 'reflect-metadata'
import { randomBytes, X509Certificate } from 'node:crypto'
import { GetPublicKeyCommand, type KMSClient, SignCommand } from '@aws-sdk/client-kms'
import { AsnEcSignatureFormatter, PublicKey } from '@peculiar/x509'
import { csrPublicKey, rootCertificate, type Sign, workloadCertificate } from '../ca/certificate.ts'
import { checkIssued } from '../ca/issued.ts'
import { MAX_LEAF_LIFETIME_MS } from '../ca/rotation.ts'
import { certificatePem } from '../ca/trust-bundle.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { MeshError } from '../model/problem.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { CaRoot, Clock, RotatingIssuer } from '../ports.ts'
import { awsFailure } from './aws-failure.ts'
import { CaRoots, type RootLog, type RootRecord } from './ca-roots.ts'

const DAY_MS = 86_400_000
const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const

const HINTS = {
  AccessDeniedException:
    'Allow the role of the control plane kms:Sign and kms:GetPublicKey on the key, and on the former one while a rotation lasts.',
  DisabledException: 'Enable the key.',
  KMSInvalidStateException: 'Cancel the deletion of the key, or choose another one as the key of the mesh CA.',
  UnsupportedOperationException: 'A mesh CA takes an asymmetric key of spec ECC_NIST_P256 and usage SIGN_VERIFY.',
  NotFoundException: 'Choose a key of this account and region as the key of the mesh CA.',
}

export interface KmsCaOptions {
  readonly client: KMSClient
  /** ARN of an asymmetric key: spec ECC_NIST_P256, usage SIGN_VERIFY. Another one than before starts a rotation to it. */
  readonly keyArn: string
  readonly log: RootLog
  /** Host part of the SPIFFE IDs. */
  readonly trustDomain: string
  readonly clock: Clock
  /** Default 24 hours, at most 7 days. */
  readonly leafLifetimeMs?: number
  /** Default 10 years. Counts when a root is made; a fifth of it before its end another one follows, of the same key. */
  readonly caLifetimeMs?: number
}

/**
 * A CA whose key never leaves KMS: nothing runs and nothing is paid for while nobody wants a certificate, but for the key
 * itself. Each certificate takes one kms:Sign call. The root is made once and kept in the {@link RootLog}.
 *
 * Throws MeshError `throttled` when KMS is asked too much, `unavailable` when the key can't be used (with what to do).
 */
export class KmsCa implements RotatingIssuer {
  readonly #options: Required<KmsCaOptions>
  readonly #roots: CaRoots

  constructor(options: KmsCaOptions) {
    this.#options = { leafLifetimeMs: DAY_MS, caLifetimeMs: 3_653 * DAY_MS, ...options }
    if (this.#options.leafLifetimeMs > MAX_LEAF_LIFETIME_MS) {
      throw new MeshError('invalid', `Workload certificates live 7 days at most, not ${options.leafLifetimeMs} ms.`)
    }
    this.#roots = new CaRoots(options.log, options.clock, () => this.#newRoot())
  }

  async trust(): Promise<TrustBundle> {
    return this.#roots.trust()
  }

  /** The chain is the leaf alone: the root that signs it is in the trust bundle. */
  async issue(csrPem: string, spiffeId: string): Promise<string> {
    const { trustDomain, clock, leafLifetimeMs } = this.#options
    if (parseSpiffeId(spiffeId)?.trustDomain !== trustDomain) {
      throw new MeshError('invalid', `This CA signs for workloads of trust domain ${trustDomain} only.`)
    }
    const publicKey = await csrPublicKey(csrPem)
    const { arn, certificate, pem } = await this.#roots.issuing()
    refuseOtherDomain(pem, trustDomain)
    const nowMs = clock.now()
    const times = { nowMs, lifetimeMs: leafLifetimeMs, serial: randomBytes(16) }
    const leaf = await workloadCertificate({ certificate, sign: this.#signer(arn) }, publicKey, spiffeId, times)
    const chain = certificatePem(leaf)
    // A key that is not that of the kept root would make certificates that nobody can verify.
    const notAfterMs = Math.min(nowMs + leafLifetimeMs, certificate.notAfter.getTime())
    checkIssued([chain], { spiffeId, publicKey, subject: '', nowMs, notAfterMs, roots: [pem] })
    return chain
  }

  async roots(): Promise<readonly CaRoot[]> {
    return this.#roots.fresh()
  }

  async nextRoot(): Promise<'chosen' | 'at-will'> {
    const last = (await this.#roots.fresh()).at(-1)
    return last?.arn === this.#options.keyArn ? 'at-will' : 'chosen'
  }

  async addRoot(count: number): Promise<void> {
    await this.#roots.add(count, await this.#newRoot())
  }

  async #newRoot(): Promise<RootRecord> {
    const { keyArn: arn, trustDomain, clock, caLifetimeMs } = this.#options
    const addedAtMs = clock.now()
    const keys = { publicKey: await this.#publicKey(arn), sign: this.#signer(arn) }
    const times = { nowMs: addedAtMs, lifetimeMs: caLifetimeMs, serial: randomBytes(16) }
    return { arn, certificate: certificatePem(await rootCertificate(trustDomain, keys, times)), addedAtMs }
  }

  async #publicKey(arn: string): Promise<PublicKey> {
    const { client } = this.#options
    const command = new GetPublicKeyCommand({ KeyId: arn })
    const answer = await client.send(command).catch((error: unknown) => {
      throw awsFailure(error, `read the public key of the KMS key ${arn}`, HINTS)
    })
    // What the key is, not what KMS calls it; a symmetric one has no public key and was refused above.
    const key = new PublicKey(new Uint8Array(answer.PublicKey ?? []))
    const { namedCurve } = key.algorithm as { readonly namedCurve?: string }
    if (namedCurve === P256.namedCurve && answer.KeyUsage === 'SIGN_VERIFY') return key
    throw new MeshError(
      'unavailable',
      `The KMS key ${arn} can't be that of a mesh CA: it takes one of spec ECC_NIST_P256 and usage SIGN_VERIFY.`,
    )
  }

  /**
   * The content goes to KMS as it is: KMS takes 4,096 bytes, and a certificate with the longest SPIFFE ID has 3,200. It answers in
   * DER; certificates are made from the two bare numbers.
   */
  #signer(arn: string): Sign {
    const { client } = this.#options
    return async (content) => {
      const command = new SignCommand({
        KeyId: arn,
        Message: new Uint8Array(content),
        MessageType: 'RAW',
        SigningAlgorithm: 'ECDSA_SHA_256',
      })
      const { Signature: der } = await client.send(command).catch((error: unknown) => {
        throw awsFailure(error, `sign with the KMS key ${arn}`, HINTS)
      })
      const raw = der === undefined ? null : new AsnEcSignatureFormatter().toWebSignature(P256, new Uint8Array(der))
      if (raw === null) throw new MeshError('unavailable', `KMS gave no signature of the key ${arn}; try again.`)
      return raw
    }
  }
}

/** A root may vouch for names of its own trust domain only; proxies would refuse all others, and could not say why. */
function refuseOtherDomain(root: string, trustDomain: string): void {
  const { subjectAltName } = new X509Certificate(root)
  if (subjectAltName === `URI:spiffe://${trustDomain}`) return
  throw new MeshError(
    'unavailable',
    `The root in the mesh's table is that of ${subjectAltName}, not of trust domain ${trustDomain}; a mesh keeps its trust domain for good.`,
  )
}

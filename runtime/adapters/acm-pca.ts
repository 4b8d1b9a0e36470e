import type { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { BACKDATE_MS, csrPublicKey } from '../ca/certificate.ts'
import { checkIssued } from '../ca/issued.ts'
import { MAX_LEAF_LIFETIME_MS } from '../ca/rotation.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { MeshError } from '../model/problem.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { CaRoot, Clock, RotatingIssuer } from '../ports.ts'
import { issueCertificate, PCA_COMMON_NAME, type PcaAuthority, readAuthority } from './acm-pca-calls.ts'
import { Pace } from './acm-pca-pace.ts'
import { CaRoots, type RootLog, type RootRecord } from './ca-roots.ts'
import type { DynamoDbAllowance } from './dynamodb-allowance.ts'

/** In short-lived mode a certificate spans 7 days at most, its backdated start included. */
const LONGEST_MS = MAX_LEAF_LIFETIME_MS - BACKDATE_MS
/** Issuing takes about a second. A proxy gives up after 10 s, so an answer after that would be for nobody. */
const ISSUE_MS = 8_000
/** A CA's certificate is renewed once in years. */
const CACHE_MS = 300_000
/** Of the 25 IssueCertificate calls a second that an account has by default. */
const ISSUES_PER_SECOND = 20

export interface AcmPcaOptions {
  readonly client: ACMPCAClient
  /** An ACTIVE CA, short-lived mode or general-purpose. Another one than before starts a rotation to it. */
  readonly caArn: string
  readonly log: RootLog
  /** Asked before each certificate, since each is paid for: a task that starts over and over, or was broken into, wants many. */
  readonly allowance: Pick<DynamoDbAllowance, 'take'>
  /** Host part of the SPIFFE IDs. */
  readonly trustDomain: string
  readonly clock: Clock
  /** Default and longest: 7 days less 5 minutes. Each certificate is paid for, so shorter ones cost more. */
  readonly leafLifetimeMs?: number
}

/**
 * Workload certificates from AWS Private CA. Whatever the CA makes is looked at before it is handed out.
 *
 * Throws MeshError `throttled` when more is asked than the quota allows, so that proxies back off; `unavailable` when the CA
 * can't be used, is late, or makes something else than it was asked for.
 */
export class AcmPca implements RotatingIssuer {
  readonly #options: Required<AcmPcaOptions>
  readonly #roots: CaRoots
  readonly #pace = new Pace(ISSUES_PER_SECOND)
  readonly #authorities = new Map<string, { readonly authority: PcaAuthority; readonly untilMs: number }>()

  constructor(options: AcmPcaOptions) {
    this.#options = { leafLifetimeMs: LONGEST_MS, ...options }
    if (this.#options.leafLifetimeMs > LONGEST_MS) {
      throw new MeshError('invalid', `Certificates of ACM PCA live 7 days less 5 minutes at most, to rotate its roots.`)
    }
    this.#roots = new CaRoots(options.log, options.clock, () => this.#chosenRoot())
  }

  async trust(): Promise<TrustBundle> {
    return this.#roots.trust()
  }

  /** The chain holds the CA's own certificate and those above it when it is no root; the root is in the trust bundle. */
  async issue(csrPem: string, spiffeId: string): Promise<string> {
    const { client, trustDomain, clock, leafLifetimeMs, allowance } = this.#options
    const identity = parseSpiffeId(spiffeId)
    if (identity?.trustDomain !== trustDomain) {
      throw new MeshError('invalid', `This CA signs for workloads of trust domain ${trustDomain} only.`)
    }
    const publicKey = await csrPublicKey(csrPem)
    const { arn } = await this.#roots.issuing()
    const { signingAlgorithm, notAfterMs: caEndMs } = await this.#authority(arn)
    await allowance.take(identity.subject, clock.now())
    await this.#pace.turn()
    const nowMs = clock.now()
    const notAfterMs = Math.min(nowMs + leafLifetimeMs, caEndMs)
    const asked = { arn, signingAlgorithm, csrPem, spiffeId, nowMs, notAfterMs, withinMs: ISSUE_MS }
    const chain = await issueCertificate(client, asked)
    const { certificates: roots } = await this.#roots.trust()
    checkIssued(chain, { spiffeId, publicKey, subject: `CN=${PCA_COMMON_NAME}`, nowMs, notAfterMs, roots })
    return chain.join('')
  }

  async roots(): Promise<readonly CaRoot[]> {
    return this.#roots.fresh()
  }

  /** Also `chosen` when the CA got a certificate under another root, as an operator renews it in place. */
  async nextRoot(): Promise<'chosen' | 'operator'> {
    const last = (await this.#roots.fresh()).at(-1)
    const chosen = await this.#chosenRoot()
    const same = last?.arn === chosen.arn && last.pem === chosen.certificate
    return same ? 'operator' : 'chosen'
  }

  async addRoot(count: number): Promise<void> {
    await this.#roots.add(count, await this.#chosenRoot())
  }

  async #chosenRoot(): Promise<RootRecord> {
    const { client, caArn: arn, clock } = this.#options
    const { root } = await readAuthority(client, arn)
    return { arn, certificate: root, addedAtMs: clock.now() }
  }

  async #authority(arn: string): Promise<PcaAuthority> {
    const nowMs = this.#options.clock.now()
    const cached = this.#authorities.get(arn)
    if (cached !== undefined && nowMs < cached.untilMs) return cached.authority
    const authority = await readAuthority(this.#options.client, arn)
    this.#authorities.set(arn, { authority, untilMs: nowMs + CACHE_MS })
    return authority
  }
}

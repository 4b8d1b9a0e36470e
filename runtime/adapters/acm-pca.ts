import { setTimeout as delay } from 'node:timers/promises'
import type { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { BACKDATE_MS, csrPublicKey } from '../ca/certificate.ts'
import { checkIssued } from '../ca/issued.ts'
import { MAX_LEAF_LIFETIME_MS } from '../ca/rotation.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { CaRoot, Clock, RotatingIssuer } from '../ports.ts'
import {
  type CertificateRequest,
  fetchCertificate,
  PCA_COMMON_NAME,
  type PcaAuthority,
  readAuthority,
  requestCertificate,
  requestId,
} from './acm-pca-calls.ts'
import { CaRoots, type RootLog, type RootRecord } from './ca-roots.ts'
import type { DynamoDbAllowance } from './dynamodb-allowance.ts'
import type { DynamoDbPace } from './dynamodb-pace.ts'
import type { DynamoDbPending, PendingCertificate } from './dynamodb-pending.ts'

/** In short-lived mode a certificate spans 7 days at most, its backdated start included. */
const LONGEST_MS = MAX_LEAF_LIFETIME_MS - BACKDATE_MS
/** Issuing takes about a second. A proxy gives up after 10 s, so an answer after that would be for nobody. */
const ISSUE_MS = 8_000
/** A CA's certificate is renewed once in years. */
const CACHE_MS = 300_000

export interface AcmPcaOptions {
  readonly client: ACMPCAClient
  /** An ACTIVE CA, short-lived mode or general-purpose. Another one than before starts a rotation to it. */
  readonly caArn: string
  readonly log: RootLog
  /**
   * Asked before each certificate, since each is paid for: a task that starts over and over, or was broken into, wants many.
   * What the CA did not take is given back.
   */
  readonly allowance: Pick<DynamoDbAllowance, 'take' | 'giveBack'>
  /** Says when each certificate may be asked for: the calls of an account are counted by the second. */
  readonly pace: Pick<DynamoDbPace, 'turn'>
  /** What is paid for already, for a proxy that did not get it. */
  readonly pending: Pick<DynamoDbPending, 'find' | 'keep'>
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
    const { client, trustDomain, clock, pending } = this.#options
    const deadlineMs = performance.now() + ISSUE_MS
    const identity = parseSpiffeId(spiffeId)
    if (identity?.trustDomain !== trustDomain) {
      throw new MeshError('invalid', `This CA signs for workloads of trust domain ${trustDomain} only.`)
    }
    const publicKey = await csrPublicKey(csrPem)
    const { arn } = await this.#roots.issuing()
    const authority = await this.#authority(arn)
    const { subject } = identity
    const request = { arn, csrPem, spiffeId }
    const { certificateArn, askedAtMs: nowMs } =
      (await pending.find(subject.mesh, requestId(request), clock.now())) ??
      (await this.#request(subject, request, authority))
    const chain = await fetchCertificate(client, { arn, certificateArn, deadlineMs })
    const { certificates: roots } = await this.#roots.trust()
    const notAfterMs = this.#end(nowMs, authority)
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

  /** Asks the CA for a certificate, and keeps what it will be. */
  async #request(subject: Subject, request: CertificateRequest, authority: PcaAuthority): Promise<PendingCertificate> {
    const certificate = await this.#bounded(subject, async () => {
      const { client, clock } = this.#options
      const nowMs = clock.now()
      const { signingAlgorithm } = authority
      const asked = { ...request, signingAlgorithm, nowMs, notAfterMs: this.#end(nowMs, authority) }
      return { certificateArn: await requestCertificate(client, asked), askedAtMs: nowMs }
    })
    await this.#options.pending.keep(subject.mesh, requestId(request), certificate)
    return certificate
  }

  /** Asks within what the workload and the account may have. */
  async #bounded<T>(subject: Subject, ask: () => Promise<T>): Promise<T> {
    const { clock, allowance, pace } = this.#options
    const takenMs = clock.now()
    await allowance.take(subject, takenMs)
    try {
      const turnMs = await pace.turn(clock.now())
      await delay(Math.max(0, turnMs - clock.now()))
      return await ask()
    } catch (error) {
      // What can't be given back counts: rather one too few than one more that is paid for.
      await allowance.giveBack(subject, takenMs).catch(() => {})
      throw error
    }
  }

  #end(nowMs: number, authority: PcaAuthority): number {
    return Math.min(nowMs + this.#options.leafLifetimeMs, authority.notAfterMs)
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

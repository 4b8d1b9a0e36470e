import 'reflect-metadata'
import { X509Certificate } from '@peculiar/x509'
import { issuingRoot, trustedRoots } from '../ca/rotation.ts'
import { trustBundle } from '../ca/trust-bundle.ts'
import { MeshError } from '../model/problem.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { CaRoot, Clock } from '../ports.ts'

/** A root as it is kept. It never changes, and none is ever taken away. */
export interface RootRecord {
  /** ARN of the KMS key or the CA that signs under it. */
  readonly arn: string
  /** PEM; self-signed. */
  readonly certificate: string
  readonly addedAtMs: number
}

/** Where the roots of a CA are kept, in the order in which they were added. */
export interface RootLog {
  list(): Promise<readonly RootRecord[]>
  /** Keeps a root at a position, from 0; does nothing when the position is taken. */
  add(position: number, record: RootRecord): Promise<void>
}

export interface KeptRoot extends CaRoot {
  readonly arn: string
  readonly pem: string
  readonly certificate: X509Certificate
}

/** A rotation's step is days, so all control planes may be this late. */
const CACHE_MS = 60_000

/** The roots of a CA whose keys AWS holds: who signs, whom to trust. The first one is made when somebody asks first. */
export class CaRoots {
  readonly #log: RootLog
  readonly #clock: Clock
  readonly #first: () => Promise<RootRecord>
  #cached: { readonly roots: Promise<readonly KeptRoot[]>; readonly untilMs: number } | undefined

  constructor(log: RootLog, clock: Clock, first: () => Promise<RootRecord>) {
    this.#log = log
    this.#clock = clock
    this.#first = first
  }

  /** Oldest first, as they are now. */
  async fresh(): Promise<readonly KeptRoot[]> {
    const roots = this.#load()
    const cached = { roots, untilMs: this.#clock.now() + CACHE_MS }
    this.#cached = cached
    // A failure is nothing to keep.
    roots.catch(() => {
      if (this.#cached === cached) this.#cached = undefined
    })
    return roots
  }

  async issuing(): Promise<KeptRoot> {
    return issuingRoot(await this.#recent(), this.#clock.now())
  }

  async trust(): Promise<TrustBundle> {
    return trustBundle(trustedRoots(await this.#recent(), this.#clock.now()).map(({ certificate }) => certificate))
  }

  async add(position: number, record: RootRecord): Promise<void> {
    await this.#keep(position, record)
    await this.fresh()
  }

  /** What is kept is kept for good, so a root is looked at before. */
  async #keep(position: number, record: RootRecord): Promise<void> {
    await parse(record)
    await this.#log.add(position, record)
  }

  #recent(): Promise<readonly KeptRoot[]> {
    const cached = this.#cached
    return cached !== undefined && this.#clock.now() < cached.untilMs ? cached.roots : this.fresh()
  }

  async #load(): Promise<readonly KeptRoot[]> {
    let records = await this.#log.list()
    if (records.length === 0) {
      await this.#keep(0, await this.#first())
      // Somebody else's first root, if that one was quicker.
      records = await this.#log.list()
    }
    return Promise.all(records.map(parse))
  }
}

async function parse({ arn, certificate: pem, addedAtMs }: RootRecord): Promise<KeptRoot> {
  try {
    const certificate = new X509Certificate(pem)
    if (!(await certificate.isSelfSigned())) throw new Error('it is not self-signed')
    const { notBefore, notAfter } = certificate
    return { arn, pem, certificate, addedAtMs, notBeforeMs: notBefore.getTime(), notAfterMs: notAfter.getTime() }
  } catch (cause) {
    throw new MeshError('unavailable', `The root of ${arn} can't be used: ${(cause as Error).message}.`, { cause })
  }
}

import 'reflect-metadata'
import {
  createPrivateKey,
  type KeyObject,
  X509Certificate as NodeCertificate,
  randomBytes,
  webcrypto,
} from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { type JsonGeneralNames, PemConverter, PublicKey, X509Certificate } from '@peculiar/x509'
import {
  type Authority,
  BACKDATE_MS,
  csrPublicKey,
  type Issuance,
  rootCertificate,
  serverCertificate,
  signWith,
  workloadCertificate,
} from '../ca/certificate.ts'
import { issuingRoot, MAX_LEAF_LIFETIME_MS, trustedRoots } from '../ca/rotation.ts'
import { certificatePem, fingerprint, trustBundle } from '../ca/trust-bundle.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { MeshError } from '../model/problem.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { CaRoot, Clock, RotatingIssuer } from '../ports.ts'
import { readOrCreateSecret } from './secret-file.ts'

const DAY_MS = 86_400_000
const SERVER_LIFETIME_MS = 30 * DAY_MS
const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const

export interface LocalCaOptions {
  /** Holds `root.pem`, then `root-2.pem` and so on (key and certificate, mode 0600); created with mode 0700. */
  readonly directory: string
  /** Host part of the SPIFFE IDs; fixed when the root is created. */
  readonly trustDomain: string
  readonly clock: Clock
  /** Default 24 hours, at most 7 days: the rotation of the roots counts on it. */
  readonly leafLifetimeMs?: number
  /** Default 10 years. Counts when a root is created. */
  readonly caLifetimeMs?: number
}

/**
 * Opens the CA of a self-hosted mesh, and makes its root at the first start. Throws MeshError `unavailable` when the
 * directory holds the root of another trust domain, or a file that is damaged or that others can read.
 */
export async function openLocalCa(options: LocalCaOptions): Promise<LocalCa> {
  const { trustDomain, leafLifetimeMs = DAY_MS } = options
  if (!/^[a-z0-9._-]{1,255}$/.test(trustDomain)) {
    throw new MeshError('invalid', `A trust domain is made of a-z, 0-9, dot, dash and underscore, not ${trustDomain}.`)
  }
  if (leafLifetimeMs > MAX_LEAF_LIFETIME_MS) {
    throw new MeshError('invalid', `Workload certificates live 7 days at most, not ${leafLifetimeMs} ms.`)
  }
  const ca = new LocalCa(options)
  await ca.addRoot(0)
  return ca
}

interface LocalRoot extends CaRoot, Authority {}

export class LocalCa implements RotatingIssuer {
  readonly #directory: string
  readonly #trustDomain: string
  readonly #clock: Clock
  readonly #leafLifetimeMs: number
  readonly #caLifetimeMs: number
  #roots: readonly LocalRoot[] = []

  /** @internal Made by {@link openLocalCa}. */
  constructor({ directory, trustDomain, clock, leafLifetimeMs, caLifetimeMs }: LocalCaOptions) {
    this.#directory = directory
    this.#trustDomain = trustDomain
    this.#clock = clock
    this.#leafLifetimeMs = leafLifetimeMs ?? DAY_MS
    this.#caLifetimeMs = caLifetimeMs ?? 3_653 * DAY_MS
  }

  async roots(): Promise<readonly CaRoot[]> {
    const numbers = (await readdir(this.#directory)).flatMap((name) => {
      const found = /^root(?:-([1-9][0-9]{0,3}))?\.pem$/.exec(name)
      return found === null ? [] : [Number(found[1] ?? 1)]
    })
    this.#roots = await Promise.all(numbers.sort((a, b) => a - b).map((number) => this.#open(number)))
    return this.#roots
  }

  async nextRoot(): Promise<'at-will'> {
    return 'at-will'
  }

  /** Roots that have had their time stay on disk: a clock that was wrong for a while must not destroy the good one. */
  async addRoot(count: number): Promise<void> {
    await this.#open(count + 1)
    await this.roots()
  }

  async trust(): Promise<TrustBundle> {
    return trustBundle(trustedRoots(this.#roots, this.#clock.now()).map(({ certificate }) => certificate))
  }

  /** The chain is the leaf alone: the root that signs it is in the trust bundle. */
  async issue(csrPem: string, spiffeId: string): Promise<string> {
    if (parseSpiffeId(spiffeId)?.trustDomain !== this.#trustDomain) {
      throw new MeshError('invalid', `This CA signs for workloads of trust domain ${this.#trustDomain} only.`)
    }
    const publicKey = await csrPublicKey(csrPem)
    const times = issuance(this.#clock.now(), this.#leafLifetimeMs)
    return certificatePem(await workloadCertificate(this.#issuing(), publicKey, spiffeId, times))
  }

  /**
   * A new key and certificate for the control plane's own TLS port, good for 30 days. The chain ends with the root, so
   * that a proxy that knows nothing but the root's fingerprint can find it in the handshake.
   */
  async issueServer(names: {
    readonly dns: readonly string[]
    readonly ips: readonly string[]
  }): Promise<{ keyPem: string; chainPem: string }> {
    const alternatives: JsonGeneralNames = [
      ...names.dns.map((value) => ({ type: 'dns', value }) as const),
      ...names.ips.map((value) => ({ type: 'ip', value }) as const),
    ]
    const wrong = [...names.dns.filter((name) => !DNS_NAME.test(name)), ...names.ips.filter((ip) => isIP(ip) === 0)]
    if (alternatives.length === 0 || wrong.length > 0) {
      throw new MeshError('invalid', `A server certificate needs DNS names or IP addresses, not: ${wrong.join(', ')}`)
    }
    const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
    const times = issuance(this.#clock.now(), SERVER_LIFETIME_MS)
    const authority = this.#issuing()
    const leaf = await serverCertificate(authority, await PublicKey.create(keys.publicKey), alternatives, times)
    return {
      keyPem: await privateKeyPem(keys.privateKey),
      chainPem: certificatePem(leaf) + certificatePem(authority.certificate),
    }
  }

  /** SHA-256 of the DER of the root that signs now, in hex: what a join token pins. */
  async fingerprint(): Promise<string> {
    return fingerprint(this.#issuing().certificate)
  }

  #issuing(): LocalRoot {
    return issuingRoot(this.#roots, this.#clock.now())
  }

  /** Makes the root of this number if it is not there. */
  async #open(number: number): Promise<LocalRoot> {
    const path = join(this.#directory, number === 1 ? 'root.pem' : `root-${number}.pem`)
    const times = issuance(this.#clock.now(), this.#caLifetimeMs)
    const pem = await readOrCreateSecret(path, () => createRoot(this.#trustDomain, times))
    const authority = await readRoot(path, pem, this.#trustDomain)
    const { notBefore, notAfter } = authority.certificate
    const notBeforeMs = notBefore.getTime()
    return { ...authority, notBeforeMs, notAfterMs: notAfter.getTime(), addedAtMs: notBeforeMs + BACKDATE_MS }
  }
}

const DNS_NAME = /^(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,20}$/

function issuance(nowMs: number, lifetimeMs: number): Issuance {
  return { nowMs, lifetimeMs, serial: randomBytes(16) }
}

async function createRoot(trustDomain: string, times: Issuance): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const publicKey = await PublicKey.create(keys.publicKey)
  const certificate = await rootCertificate(trustDomain, { publicKey, sign: signWith(keys.privateKey) }, times)
  return (await privateKeyPem(keys.privateKey)) + certificatePem(certificate)
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

async function readRoot(path: string, pem: string, trustDomain: string): Promise<Authority> {
  let key: KeyObject
  let certificate: NodeCertificate
  try {
    key = createPrivateKey(pem)
    certificate = new NodeCertificate(pem)
  } catch {
    // The parser's own words could hold pieces of the key.
    throw new MeshError('unavailable', `${path} is damaged: it must hold the key and the certificate of the root.`)
  }
  if (!certificate.checkPrivateKey(key)) {
    throw new MeshError('unavailable', `${path} is damaged: its key is not the key of its certificate.`)
  }
  if (certificate.subjectAltName !== `URI:spiffe://${trustDomain}`) {
    const found = certificate.subjectAltName ?? 'another CA'
    throw new MeshError(
      'unavailable',
      `${path} is the root of ${found}, not of trust domain ${trustDomain}; start with that one, or in another directory.`,
    )
  }
  return {
    certificate: new X509Certificate(new Uint8Array(certificate.raw)),
    // Not extractable: from here on nothing in this process can write it anywhere.
    sign: signWith(key.toCryptoKey(P256, false, ['sign'])),
  }
}

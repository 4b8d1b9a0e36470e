import 'reflect-metadata'
import {
  createPrivateKey,
  type KeyObject,
  X509Certificate as NodeCertificate,
  randomBytes,
  webcrypto,
} from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { type JsonGeneralNames, PemConverter, X509Certificate } from '@peculiar/x509'
import {
  type Authority,
  csrPublicKey,
  type Issuance,
  rootCertificate,
  serverCertificate,
  workloadCertificate,
} from '../ca/certificate.ts'
import { certificatePem, fingerprint, trustBundle } from '../ca/trust-bundle.ts'
import { parseSpiffeId } from '../model/identity.ts'
import { MeshError } from '../model/problem.ts'
import type { TrustBundle } from '../model/sync.ts'
import type { Clock, Issuer } from '../ports.ts'
import { readOrCreateSecret } from './secret-file.ts'

const DAY_MS = 86_400_000
const SERVER_LIFETIME_MS = 30 * DAY_MS
const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const

export interface LocalCaOptions {
  /** Holds `root.pem` (key and certificate, mode 0600); created with mode 0700. */
  readonly directory: string
  /** Host part of the SPIFFE IDs; fixed when the root is created. */
  readonly trustDomain: string
  readonly clock: Clock
  /** Default 24 hours. */
  readonly leafLifetimeMs?: number
  /** Default 10 years. Counts when the root is created. */
  readonly caLifetimeMs?: number
}

/**
 * Opens the CA of a self-hosted mesh, and makes its root at the first start. Throws MeshError `unavailable` when the
 * directory holds the root of another trust domain, or a file that is damaged or that others can read.
 */
export async function openLocalCa(options: LocalCaOptions): Promise<LocalCa> {
  const { directory, trustDomain, clock, leafLifetimeMs = DAY_MS, caLifetimeMs = 3_653 * DAY_MS } = options
  if (!/^[a-z0-9._-]{1,255}$/.test(trustDomain)) {
    throw new MeshError('invalid', `A trust domain is made of a-z, 0-9, dot, dash and underscore, not ${trustDomain}.`)
  }
  const path = join(directory, 'root.pem')
  const pem = await readOrCreateSecret(path, () => createRoot(trustDomain, issuance(clock.now(), caLifetimeMs)))
  return new LocalCa(await readRoot(path, pem, trustDomain), trustDomain, clock, leafLifetimeMs)
}

export class LocalCa implements Issuer {
  readonly #authority: Authority
  readonly #trustDomain: string
  readonly #clock: Clock
  readonly #leafLifetimeMs: number

  /** @internal Made by {@link openLocalCa}. */
  constructor(authority: Authority, trustDomain: string, clock: Clock, leafLifetimeMs: number) {
    this.#authority = authority
    this.#trustDomain = trustDomain
    this.#clock = clock
    this.#leafLifetimeMs = leafLifetimeMs
  }

  async trust(): Promise<TrustBundle> {
    return trustBundle([this.#authority.certificate])
  }

  /** The chain is the leaf alone: the root that signs it is in the trust bundle. */
  async issue(csrPem: string, spiffeId: string): Promise<string> {
    if (parseSpiffeId(spiffeId)?.trustDomain !== this.#trustDomain) {
      throw new MeshError('invalid', `This CA signs for workloads of trust domain ${this.#trustDomain} only.`)
    }
    const publicKey = await csrPublicKey(csrPem)
    const times = issuance(this.#clock.now(), this.#leafLifetimeMs)
    return certificatePem(await workloadCertificate(this.#authority, publicKey, spiffeId, times))
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
    const leaf = await serverCertificate(this.#authority, keys.publicKey, alternatives, times)
    return {
      keyPem: await privateKeyPem(keys.privateKey),
      chainPem: certificatePem(leaf) + certificatePem(this.#authority.certificate),
    }
  }

  /** SHA-256 of the root certificate's DER in hex: what a join token pins. */
  async fingerprint(): Promise<string> {
    return fingerprint(this.#authority.certificate)
  }
}

const DNS_NAME = /^(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,20}$/

function issuance(nowMs: number, lifetimeMs: number): Issuance {
  return { nowMs, lifetimeMs, serial: randomBytes(16) }
}

async function createRoot(trustDomain: string, times: Issuance): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await rootCertificate(trustDomain, keys, times)
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
    key: key.toCryptoKey(P256, false, ['sign']),
  }
}

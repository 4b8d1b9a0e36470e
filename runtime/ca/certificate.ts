import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  type X509CertificateCreateWithKeyParams,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { MeshError } from '../model/problem.ts'

/**
 * What the certificates of a mesh hold: P-256 keys, SHA-256, and names after the SPIFFE X.509-SVID standard. Pure: time,
 * serial numbers and keys come from the caller.
 */

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const
const MAX_CSR_CHARACTERS = 16_384
/** SPIFFE ID standard, section 2.3. */
const MAX_SPIFFE_ID = 2048
/** Certificates start this much earlier, for hosts whose clocks run late. */
export const BACKDATE_MS = 5 * 60_000
const NAME_CONSTRAINTS_OID = '2.5.29.30'

/** The platform's CryptoKey; its name is no global type without the DOM library. */
type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>

/**
 * Signs with the private key of a CA, wherever that is kept: ECDSA on P-256 over the SHA-256 of these bytes. The signature is
 * the two numbers as Web Crypto has them (IEEE P1363), 64 bytes, not DER.
 */
export type Sign = (content: ArrayBuffer) => Promise<ArrayBuffer>

/** A CA that can sign: its certificate and the private key to it. */
export interface Authority {
  readonly certificate: X509Certificate
  readonly sign: Sign
}

/** Signs with a private key of this process. */
export function signWith(key: Key): Sign {
  return (content) => crypto.subtle.sign({ name: P256.name, hash: 'SHA-256' }, key, content)
}

/** What the caller decides for each certificate. */
export interface Issuance {
  readonly nowMs: number
  /** Cut short where the CA itself ends. */
  readonly lifetimeMs: number
  /** 16 random bytes. */
  readonly serial: Uint8Array
}

/**
 * The public key of a PKCS#10 request in PEM, proven to be the sender's by its signature. All names and extensions in
 * it are ignored. Throws MeshError `invalid` for anything but one well-formed P-256 request signed with SHA-256.
 */
export async function csrPublicKey(csrPem: string): Promise<PublicKey> {
  if (csrPem.length > MAX_CSR_CHARACTERS) throw badCsr(`is longer than ${MAX_CSR_CHARACTERS} characters`)
  const block = /^\s*-----BEGIN CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE REQUEST-----\s*$/
  const base64 = block.exec(csrPem)?.[1]
  if (base64 === undefined) throw badCsr('is not one CERTIFICATE REQUEST block in PEM')
  let csr: Pkcs10CertificateRequest
  try {
    csr = new Pkcs10CertificateRequest(Uint8Array.from(atob(base64.replace(/\s+/g, '')), (c) => c.charCodeAt(0)))
  } catch (cause) {
    throw badCsr('does not parse as PKCS#10', cause)
  }
  let verified = false
  try {
    const key = csr.publicKey.algorithm as { name: string; namedCurve?: string }
    const signature = csr.signatureAlgorithm as unknown as { name: string; hash?: { name: string } }
    if (key.name !== P256.name || key.namedCurve !== P256.namedCurve) throw badCsr('has a key that is not P-256')
    if (signature.name !== P256.name || signature.hash?.name !== 'SHA-256') throw badCsr('is not signed with SHA-256')
    verified = await csr.verify()
  } catch (cause) {
    if (cause instanceof MeshError) throw cause
    throw badCsr('holds a key or signature that can not be read', cause)
  }
  if (!verified) throw badCsr('is not signed by the key it holds')
  return csr.publicKey
}

function badCsr(what: string, cause?: unknown): MeshError {
  const message = `The certificate request ${what}; send a PKCS#10 request for a P-256 key, signed with ECDSA and SHA-256.`
  return new MeshError('invalid', message, { cause, problems: [{ path: 'csr', code: 'bad-csr', message }] })
}

/**
 * A workload certificate. X.509-SVID standard: the SPIFFE ID is the one URI SAN (section 2), the leaf is no CA (4.1),
 * key usage is critical and holds digitalSignature but never keyCertSign (4.3), extended key usage holds both roles of
 * TLS (4.4). The subject is empty, and so the SAN is critical (RFC 5280, section 4.2.1.6).
 */
export async function workloadCertificate(
  authority: Authority,
  publicKey: PublicKey,
  spiffeId: string,
  issuance: Issuance,
): Promise<X509Certificate> {
  if (spiffeId.length > MAX_SPIFFE_ID || !/^spiffe:\/\/[\x21-\x7e]+$/.test(spiffeId)) {
    throw new MeshError('invalid', `A SPIFFE ID is at most ${MAX_SPIFFE_ID} characters of printable ASCII.`)
  }
  return sign(authority, publicKey, issuance, {
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }], true),
    ],
  })
}

/** The control plane's own TLS certificate: a server and nothing else, without a SPIFFE ID, so no workload's peer. */
export async function serverCertificate(
  authority: Authority,
  publicKey: PublicKey,
  names: JsonGeneralNames,
  issuance: Issuance,
): Promise<X509Certificate> {
  return sign(authority, publicKey, issuance, {
    subject: 'CN=weft control plane',
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names),
    ],
  })
}

async function sign(
  authority: Authority,
  publicKey: PublicKey,
  { nowMs, lifetimeMs, serial }: Issuance,
  content: { subject?: string; extensions: Extension[] },
): Promise<X509Certificate> {
  const { certificate } = authority
  const endMs = Math.min(nowMs + lifetimeMs, certificate.notAfter.getTime())
  if (endMs <= nowMs) {
    const ended = certificate.notAfter.toISOString()
    throw new MeshError('unavailable', `The root of the mesh CA ended on ${ended}, and none has taken its place yet.`)
  }
  return signed(authority.sign, {
    ...(content.subject !== undefined && { subject: content.subject }),
    issuer: certificate.subjectName,
    publicKey,
    serialNumber: serialNumber(serial),
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(endMs),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      await AuthorityKeyIdentifierExtension.create(certificate.publicKey),
      await SubjectKeyIdentifierExtension.create(publicKey),
      ...content.extensions,
    ],
  })
}

/**
 * The self-signed root of a trust domain. It may sign leaves only (path length 0), and URI names of its own trust
 * domain only (RFC 5280, section 4.2.1.10), so that its key is worthless in another mesh. Its own name is the SPIFFE
 * ID of the trust domain, which has no path (X.509-SVID standard, section 3.2).
 */
export async function rootCertificate(
  trustDomain: string,
  keys: { readonly publicKey: PublicKey; readonly sign: Sign },
  { nowMs, lifetimeMs, serial }: Issuance,
): Promise<X509Certificate> {
  const name = new Name([{ O: ['Weft'] }, { CN: [`${trustDomain} mesh CA`] }])
  return signed(keys.sign, {
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    serialNumber: serialNumber(serial),
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + lifetimeMs),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      new SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
      new Extension(NAME_CONSTRAINTS_OID, true, permittedUriHost(trustDomain)),
    ],
  })
}

/**
 * The library asks its crypto provider for one thing, the signature over the TBSCertificate, so that the key may be
 * anywhere; it turns the answer into DER.
 */
async function signed(
  sign: Sign,
  content: Omit<X509CertificateCreateWithKeyParams, 'signingKey' | 'signingAlgorithm'>,
): Promise<X509Certificate> {
  const provider = { subtle: { sign: (_algorithm: unknown, _key: unknown, tbs: ArrayBuffer) => sign(tbs) } }
  const signingKey = { algorithm: P256 } as unknown as Key
  const signingAlgorithm = { name: P256.name, hash: 'SHA-256' }
  const parameters = { ...content, signingKey, signingAlgorithm }
  return X509CertificateGenerator.create(parameters, provider as unknown as typeof crypto)
}

/** NameConstraints { permittedSubtrees [0] { { base uniformResourceIdentifier [6] host } } } in DER. */
function permittedUriHost(host: string): Uint8Array<ArrayBuffer> {
  const der = (tag: number, content: readonly number[]): number[] => {
    const { length } = content
    const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
    return [tag, ...header, ...content]
  }
  const base = der(0x86, [...new TextEncoder().encode(host)])
  return Uint8Array.from(der(0x30, der(0xa0, der(0x30, base))))
}

/** Hex of 16 bytes as a positive number of constant length (RFC 5280, section 4.1.2.2: not negative, not zero). */
function serialNumber(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new TypeError('A serial number takes 16 random bytes.')
  const positive = Uint8Array.from(bytes)
  positive[0] = (positive[0]! & 0x3f) | 0x40
  return Buffer.from(positive).toString('hex')
}

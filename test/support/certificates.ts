import 'reflect-metadata'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  type PublicKeyType,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { TrustBundle } from '../../runtime/model/sync.ts'

/** A CA that signs whatever a test wants, also what no honest CA would. */
export interface TestCa {
  readonly certificatePem: string
  readonly trust: TrustBundle
  /** Key and chain for these names; valid from an hour ago for an hour unless told otherwise. */
  issue(names: JsonGeneralName[], validity?: { notBefore?: Date; notAfter?: Date }): Promise<TestCertificate>
  /** The same for the public key of a CSR, whose signature is checked. */
  sign(csrPem: string, names: JsonGeneralName[], validity?: { notBefore?: Date; notAfter?: Date }): Promise<string>
}

export interface TestCertificate {
  readonly keyPem: string
  /** Leaf and CA. */
  readonly chainPem: string
}

const HOUR_MS = 3_600_000
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export async function createTestCa(name: string): Promise<TestCa> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const root = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore: new Date(Date.now() - 2 * HOUR_MS),
    notAfter: new Date(Date.now() + 24 * HOUR_MS),
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  })
  const certificatePem = root.toString('pem')

  async function signLeaf(
    publicKey: PublicKeyType,
    names: JsonGeneralName[],
    validity: { notBefore?: Date; notAfter?: Date } = {},
  ): Promise<string> {
    const leaf = await X509CertificateGenerator.create({
      issuer: root.subject,
      notBefore: validity.notBefore ?? new Date(Date.now() - HOUR_MS),
      notAfter: validity.notAfter ?? new Date(Date.now() + HOUR_MS),
      signingKey: keys.privateKey,
      publicKey,
      signingAlgorithm: algorithm,
      extensions: [
        new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names, true)]),
      ],
    })
    return `${leaf.toString('pem')}\n${certificatePem}\n`
  }

  return {
    certificatePem,
    trust: { revision: `trust-of-${name}`, certificates: [certificatePem] },
    async issue(names, validity) {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const chainPem = await signLeaf(spki(pair.publicKey), names, validity)
      return { keyPem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, chainPem }
    },
    async sign(csrPem, names, validity) {
      const request = new Pkcs10CertificateRequest(csrPem)
      if (!(await request.verify())) throw new Error('the CSR is not signed by its own key')
      return signLeaf(request.publicKey, names, validity)
    },
  }
}

function spki(key: KeyObject): ArrayBuffer {
  const der = key.export({ type: 'spki', format: 'der' })
  return der.buffer.slice(der.byteOffset, der.byteOffset + der.byteLength) as ArrayBuffer
}

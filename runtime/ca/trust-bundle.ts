import type { X509Certificate } from '@peculiar/x509'
import type { TrustBundle } from '../model/sync.ts'

/** SHA-256 over the DER form of a certificate, in hex: what a join token pins. */
export async function fingerprint(certificate: X509Certificate): Promise<string> {
  return Buffer.from(await certificate.getThumbprint('SHA-256')).toString('hex')
}

/** The bundle of some CA certificates. Order and repetition do not count: the same CAs have the same revision. */
export async function trustBundle(certificates: readonly X509Certificate[]): Promise<TrustBundle> {
  const byFingerprint = new Map<string, string>()
  for (const certificate of certificates) byFingerprint.set(await fingerprint(certificate), certificatePem(certificate))
  const sorted = [...byFingerprint].sort(([a], [b]) => (a < b ? -1 : 1))
  const names = new TextEncoder().encode(sorted.map(([name]) => name).join())
  const revision = Buffer.from(await crypto.subtle.digest('SHA-256', names)).toString('hex')
  return { revision, certificates: sorted.map(([, pem]) => pem) }
}

/** PEM with the final newline that lets blocks be joined into a chain. */
export function certificatePem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

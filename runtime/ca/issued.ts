import 'reflect-metadata'
import { X509Certificate as NodeCertificate } from 'node:crypto'
import { KeyUsageFlags, type KeyUsagesExtension, type PublicKey, X509Certificate } from '@peculiar/x509'
import { MeshError } from '../model/problem.ts'
import { BACKDATE_MS } from './certificate.ts'

const KEY_USAGE_OID = '2.5.29.15'
const SERVER_AUTH_OID = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH_OID = '1.3.6.1.5.5.7.3.2'
/** Leaf and intermediates; more is no chain of ours. */
const MAX_CHAIN = 8
/** Certificates count whole seconds. */
const SECOND_MS = 1000

/** What a CA was asked for. */
export interface Asked {
  readonly spiffeId: string
  readonly publicKey: PublicKey
  /** As RFC 4514 text; empty for none. */
  readonly subject: string
  readonly nowMs: number
  readonly notAfterMs: number
  /** The roots that proxies trust, in PEM. */
  readonly roots: readonly string[]
}

/**
 * Looks at what a CA made before anybody gets it: a CA that is set up wrongly must not hand out another identity, a CA
 * certificate, or one that outlives a rotation of the roots.
 * @throws MeshError `unavailable`, naming everything that is wrong
 */
export function checkIssued(chain: readonly string[], asked: Asked): void {
  const wrong = chain.length === 0 || chain.length > MAX_CHAIN ? ['the length of its chain'] : wrongsOf(chain, asked)
  if (wrong.length === 0) return
  throw new MeshError(
    'unavailable',
    `The CA made a certificate for ${asked.spiffeId} that is not as asked (${wrong.join(', ')}), so nobody gets it; check the settings of the CA.`,
  )
}

function wrongsOf(chain: readonly string[], asked: Asked): readonly string[] {
  const certificates = chain.map((pem) => new NodeCertificate(pem))
  const leaf = certificates[0]!
  const usage = new X509Certificate(new Uint8Array(leaf.raw)).getExtension<KeyUsagesExtension>(KEY_USAGE_OID)?.usages
  const purposes = [...(leaf.keyUsage ?? [])].sort().join()
  const startMs = leaf.validFromDate.getTime()
  const checks: readonly (readonly [what: string, right: boolean])[] = [
    ['its names', leaf.subjectAltName === `URI:${asked.spiffeId}`],
    ['its subject', (leaf.subject ?? '') === asked.subject],
    ['its key', leaf.publicKey.export({ type: 'spki', format: 'der' }).equals(Buffer.from(asked.publicKey.rawData))],
    ['it is a CA', !leaf.ca],
    ['its key usage', usage === KeyUsageFlags.digitalSignature],
    ['its extended key usage', purposes === `${SERVER_AUTH_OID},${CLIENT_AUTH_OID}`],
    ['its start', startMs <= asked.nowMs + BACKDATE_MS],
    ['its end', leaf.validToDate.getTime() < asked.notAfterMs + SECOND_MS],
    ['its signature', isSigned(certificates, asked.roots)],
  ]
  return checks.flatMap(([what, right]) => (right ? [] : [what]))
}

/** Each certificate by the next one, the last one by a root. */
function isSigned(certificates: readonly NodeCertificate[], roots: readonly string[]): boolean {
  return certificates.every((certificate, position) => {
    const next = certificates[position + 1]
    const issuers = next === undefined ? roots.map((pem) => new NodeCertificate(pem)) : [next]
    return issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))
  })
}

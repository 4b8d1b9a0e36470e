import { X509Certificate } from 'node:crypto'
import type { TrustBundle } from '../../../runtime/model/sync.ts'
import { certificatesOf, isIssuedBy } from '../tls/chain.ts'

/** Whether a chain (PEM, leaf first, with or without its root) ends at one of the CAs to trust. */
export function issuedUnder(chainPem: string, { certificates }: TrustBundle): boolean {
  const end = certificatesOf(chainPem).at(-1)
  if (end === undefined) return false
  const last = new X509Certificate(end)
  return certificates.some((pem) => {
    const root = new X509Certificate(pem)
    return last.raw.equals(root.raw) || isIssuedBy(last, root)
  })
}

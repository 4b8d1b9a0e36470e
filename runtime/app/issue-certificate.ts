import { spiffeId } from '../model/identity.ts'
import type { Subject } from '../model/reference.ts'
import type { CertificateResponse } from '../model/sync.ts'
import type { Issuer, ResourceStore } from '../ports.ts'
import { requireSubject } from './describe-resource.ts'

export interface IssueCertificateDeps {
  readonly issuer: Issuer
  readonly store: ResourceStore
  readonly trustDomain: string
}

/**
 * Signs a CSR for the identity that the caller proved; names inside of the CSR count for nothing.
 * @throws MeshError `not-found` when the node or gateway does not (any more) exist: a removed one must not renew;
 * `invalid` for a CSR that does not parse or verify.
 */
export function issueCertificate(
  deps: IssueCertificateDeps,
): (input: { readonly subject: Subject; readonly csr: string }) => Promise<CertificateResponse> {
  return async ({ subject, csr }) => {
    // Asked at once, so that a function that has just started loads its CA while the store is read.
    const trust = deps.issuer.trust()
    trust.catch(() => {})
    await requireSubject(deps.store, subject)
    const chain = await deps.issuer.issue(csr, spiffeId(deps.trustDomain, subject))
    return { chain, trust: await trust }
  }
}

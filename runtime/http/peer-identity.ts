import type { TLSSocket } from 'node:tls'
import type { Credentials } from '../ports.ts'

/** What a caller showed, and why a certificate that it showed does not count. */
export interface ShownCredentials extends Credentials {
  readonly refusedCertificate?: string
}

/**
 * Credentials of a data-plane call. A certificate counts when the TLS layer verified it against the mesh CA and it has
 * not ended since the handshake (a connection may outlive it); then what stands in Authorization is not looked at.
 */
export function credentialsOf(socket: TLSSocket, authorization: string | undefined, nowMs: number): ShownCredentials {
  const certificate = socket.getPeerX509Certificate()
  if (socket.authorized && certificate !== undefined && certificate.validToDate.getTime() > nowMs) {
    return { verifiedUris: uriNames(certificate.subjectAltName ?? '') }
  }
  const bearer = /^Bearer +([\w.~+/=-]{1,8192})$/i.exec(authorization ?? '')?.[1]
  if (bearer !== undefined) return { bearer }
  const presigned = /^Weft-Sts +([\w-]{1,8192})$/i.exec(authorization ?? '')?.[1]
  if (presigned !== undefined) return { presigned }
  if (certificate === undefined) return {}
  const reason = socket.authorized ? 'CERT_HAS_EXPIRED' : String(socket.authorizationError)
  return { refusedCertificate: reason }
}

/**
 * URI names of a certificate in Node's text form. A name that needs quoting there can't be a SPIFFE ID of ours, and
 * a text that holds one is refused whole: quoting is how a crafted name could pose as two (CVE-2021-44532).
 */
function uriNames(subjectAltName: string): readonly string[] {
  if (subjectAltName.includes('"')) return []
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length))
}

import { X509Certificate } from 'node:crypto'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { parseSpiffeId } from '../../../runtime/model/identity.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { ProxyError } from '../errors.ts'

/** This long before the first certificate of a connection ends it takes no further request, and TCP on it ends. */
export const CERTIFICATE_MARGIN_MS = 1_000

/**
 * The subject alternative names of a certificate, such as `['DNS', 'shop.example']`. None when they can't be told apart.
 *
 * Node gives subject alternative names only as one string. A name with a comma or a quote in it used to look like
 * several names there (CVE-2021-44532, mended by quoting such values as JSON). So the string is read by its grammar
 * from end to end: what does not fit it counts as no name at all, and one that needed quoting keeps its quotes.
 */
export function alternativeNames(certificate: X509Certificate): readonly (readonly [type: string, value: string])[] {
  const text = certificate.subjectAltName ?? ''
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  const names: [string, string][] = []
  while (entry.lastIndex < text.length) {
    const match = entry.exec(text)
    if (match === null) return []
    names.push([match[1]!, match[2]!])
  }
  return names
}

/** True when the certificate has one of these names, exactly, as DNS name or URI. */
export function carriesName(certificate: X509Certificate, accepted: readonly string[]): boolean {
  return alternativeNames(certificate).some(
    ([type, value]) => (type === 'DNS' || type === 'URI') && !value.startsWith('"') && accepted.includes(value),
  )
}

/** The one SPIFFE ID that a certificate names, or undefined. Exactly one URI SAN may be there (X.509-SVID, section 2). */
export function certificateSpiffeId(certificate: X509Certificate): string | undefined {
  const uris = alternativeNames(certificate).flatMap(([type, value]) => (type === 'URI' ? [value] : []))
  const [uri] = uris
  if (uris.length !== 1 || uri === undefined || parseSpiffeId(uri) === undefined) return undefined
  return uri
}

/** SPIFFE ID of the peer of a connection whose chain was verified; undefined when it has none (or several). */
export function peerSpiffeId(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate()
  return certificate === undefined ? undefined : certificateSpiffeId(certificate)
}

/**
 * For the `checkServerIdentity` option of `tls.connect`: the peer must be exactly this workload, host names play no
 * part. The error that the socket then fails with is a {@link ProxyError} `peer_not_in_mesh`; no byte of a request
 * was sent by then.
 */
export function expectPeer(spiffeId: string): (host: string, certificate: PeerCertificate) => Error | undefined {
  return (_host, certificate) => {
    const found = certificateSpiffeId(new X509Certificate(certificate.raw))
    if (found === spiffeId) return undefined
    const message = `expected the peer ${spiffeId}, but its certificate names ${found ?? 'no single SPIFFE ID'}`
    return new ProxyError('peer_not_in_mesh', 'upstream', { retry: 'unsent', message })
  }
}

/** Who a peer is by its certificate: undefined for one of another trust domain or mesh, or without identity. */
export function memberOf(trustDomain: string, mesh: string, certificate: X509Certificate): Subject | undefined {
  const id = certificateSpiffeId(certificate)
  const parsed = id === undefined ? undefined : parseSpiffeId(id)
  return parsed?.trustDomain === trustDomain && parsed.subject.mesh === mesh ? parsed.subject : undefined
}

/**
 * Milliseconds until the first of both certificates of a connection ends, negative when one has: no connection
 * outlives its certificates. Infinity when neither side showed one.
 */
export function remainingLifeMs(socket: TLSSocket, nowMs: number = Date.now()): number {
  const ends = [socket.getX509Certificate(), socket.getPeerX509Certificate()].map((certificate) =>
    certificate === undefined ? Number.POSITIVE_INFINITY : certificate.validToDate.getTime(),
  )
  return Math.min(...ends) - nowMs
}

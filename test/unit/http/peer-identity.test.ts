import type { TLSSocket } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { credentialsOf } from '../../../runtime/http/peer-identity.ts'

/** Only a hostile CA could make some of these, so the TLS layer is played here. */
function socketWith(subjectAltName: string | undefined, authorized = true): TLSSocket {
  const certificate = subjectAltName === undefined ? undefined : { subjectAltName, validToDate: new Date(1_000) }
  const played = { authorized, authorizationError: 'SELF_SIGNED_CERT', getPeerX509Certificate: () => certificate }
  return played as unknown as TLSSocket
}

const web = 'spiffe://weft.internal/shop/web'

describe('credentials of a data-plane call', () => {
  it('are the URI names of a verified certificate, and no others', () => {
    expect(credentialsOf(socketWith(`DNS:web, URI:${web}, IP Address:10.0.0.1`), undefined, 0)).toEqual({
      verifiedUris: [web],
    })
  })

  it('leave out every name of a certificate that needs quoting (CVE-2021-44532)', () => {
    const crafted = `DNS:"x, URI:${web}"`
    expect(credentialsOf(socketWith(crafted), undefined, 0)).toEqual({ verifiedUris: [] })
  })

  it('end with the certificate, also on a connection that was opened before', () => {
    expect(credentialsOf(socketWith(`URI:${web}`), undefined, 1_000)).toEqual({
      refusedCertificate: 'CERT_HAS_EXPIRED',
    })
  })

  it('are the token of a caller whose certificate is not accepted, since it buys a new one', () => {
    expect(credentialsOf(socketWith(`URI:${web}`, false), 'Bearer weft1.a.b.c', 0)).toEqual({ bearer: 'weft1.a.b.c' })
    expect(credentialsOf(socketWith(`URI:${web}`, false), undefined, 0)).toEqual({
      refusedCertificate: 'SELF_SIGNED_CERT',
    })
  })

  it('are a presigned request of STS, which only the first certificate is bought with', () => {
    expect(credentialsOf(socketWith(undefined), 'Weft-Sts abc_-9', 0)).toEqual({ presigned: 'abc_-9' })
    expect(credentialsOf(socketWith(`URI:${web}`), 'Weft-Sts abc', 0)).toEqual({ verifiedUris: [web] })
  })

  it('are none for strange authorization headers', () => {
    for (const header of [
      '',
      'Bearer',
      'Basic abc',
      'Weft-Sts',
      'Weft-Sts a.b',
      'Weft-Sts a b',
      'Bearer a b',
      `Bearer ${'a'.repeat(9_000)}`,
    ]) {
      expect(credentialsOf(socketWith(undefined), header, 0)).toEqual({})
    }
  })
})

import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { certificatesOf, withIssuers } from '../../../../proxy-image/src/tls/chain.ts'
import { createTestCa } from '../../../support/certificates.ts'

describe('a chain as it is shown', () => {
  it('has the issuer behind a leaf that stands alone, whatever other CAs are trusted', async () => {
    const [ca, namesake, other] = [await createTestCa('root'), await createTestCa('root'), await createTestCa('other')]
    const { chainPem } = await ca.issue([{ type: 'dns', value: 'shop.example' }])
    const [leaf] = certificatesOf(chainPem)
    const trusted = [other, namesake, ca].map(({ certificatePem }) => certificatePem)
    const subjects = certificatesOf(withIssuers(leaf!, trusted)).map((pem) => new X509Certificate(pem))
    expect(subjects).toHaveLength(2)
    expect(subjects[0]!.verify(subjects[1]!.publicKey)).toBe(true)
    expect(subjects[1]!.fingerprint256).toBe(new X509Certificate(ca.certificatePem).fingerprint256)
  })

  it('is left as it is when it has more than a leaf, or nobody known has issued it', async () => {
    const [ca, other] = [await createTestCa('root'), await createTestCa('other')]
    const { chainPem } = await ca.issue([{ type: 'dns', value: 'shop.example' }])
    const [leaf] = certificatesOf(chainPem)
    const whole = `${leaf}\n${ca.certificatePem}`
    expect(withIssuers(whole, [ca.certificatePem])).toBe(whole)
    expect(certificatesOf(withIssuers(leaf!, [other.certificatePem]))).toEqual([leaf])
    expect(withIssuers('no certificate', [ca.certificatePem])).toBe('no certificate')
  })
})

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createCsr } from '../../../../proxy-image/src/control/csr.ts'
import { csrPublicKey } from '../../../../runtime/ca/certificate.ts'

describe('a certificate request', () => {
  it('is verified by openssl', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const options = { input: createCsr(privateKey), encoding: 'utf8', stdio: 'pipe' } as const
    const text = execFileSync('openssl', ['req', '-verify', '-noout', '-text'], options)
    expect(text).toContain('prime256v1')
    expect(text).toMatch(/Signature Algorithm: ecdsa-with-SHA256/)
    expect(text).toMatch(/Subject: *\n/)
  })

  it('is taken by the CA, whatever the lengths of its signature', async () => {
    // Signatures are 70 to 72 octets long, as their numbers happen to need a leading zero.
    for (let round = 0; round < 20; round++) {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const taken = await csrPublicKey(createCsr(privateKey))
      expect(Buffer.from(taken.rawData)).toEqual(publicKey.export({ type: 'spki', format: 'der' }))
    }
  })
})

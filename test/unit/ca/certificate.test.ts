import 'reflect-metadata'
import { generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto'
import { Pkcs10CertificateRequestGenerator, PublicKey, X509Certificate } from '@peculiar/x509'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type Authority,
  csrPublicKey,
  type Issuance,
  rootCertificate,
  signWith,
  workloadCertificate,
} from '../../../runtime/ca/certificate.ts'
import { fingerprint, trustBundle } from '../../../runtime/ca/trust-bundle.ts'

const P256 = { name: 'ECDSA', namedCurve: 'P-256' }
const NOW = Date.UTC(2026, 10, 23, 12)
const HOUR = 3_600_000

async function pair(algorithm: object = P256): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm as never, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
}

async function csr(keys: webcrypto.CryptoKeyPair, signingAlgorithm: object): Promise<string> {
  const request = { keys, name: 'CN=admin', signingAlgorithm } as never
  return (await Pkcs10CertificateRequestGenerator.create(request)).toString('pem')
}

function issuance(lifetimeMs: number, nowMs = NOW): Issuance {
  return { nowMs, lifetimeMs, serial: randomBytes(16) }
}

async function authority(lifetimeMs = 24 * HOUR): Promise<Authority> {
  const keys = await pair()
  const publicKey = await PublicKey.create(keys.publicKey)
  const sign = signWith(keys.privateKey)
  return { certificate: await rootCertificate('weft.internal', { publicKey, sign }, issuance(lifetimeMs)), sign }
}

describe('a certificate request', () => {
  let good: string
  let keys: webcrypto.CryptoKeyPair
  beforeAll(async () => {
    keys = await pair()
    good = await csr(keys, { name: 'ECDSA', hash: 'SHA-256' })
  })

  it('gives its public key', async () => {
    const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey)
    expect(Buffer.from((await csrPublicKey(good)).rawData)).toEqual(Buffer.from(spki))
    expect(Buffer.from((await csrPublicKey(`\r\n${good.replaceAll('\n', '\r\n')}\n`)).rawData)).toEqual(
      Buffer.from(spki),
    )
  })

  it('is refused when its signature is not of its key', async () => {
    const other = await csr(await pair(), { name: 'ECDSA', hash: 'SHA-256' })
    const der = (pem: string) => Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64')
    const at = der(good).indexOf(Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey)).subarray(-64))
    const forged = der(good)
    const stolen = der(other)
    stolen.copy(forged, at, at, at + 64)
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${forged.toString('base64')}\n-----END CERTIFICATE REQUEST-----`
    await expect(csrPublicKey(pem)).rejects.toMatchObject({ code: 'invalid' })
  })

  it('never gives another key for a flipped byte, and is refused for nearly every one', async () => {
    const der = Buffer.from(good.replace(/-----.*-----/g, ''), 'base64')
    const key = Buffer.from((await csrPublicKey(good)).rawData)
    const accepted: number[] = []
    for (let index = 0; index < der.length; index++) {
      const bent = Buffer.from(der)
      bent[index] = bent[index]! ^ 0x01
      const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${bent.toString('base64')}\n-----END CERTIFICATE REQUEST-----`
      const found = await csrPublicKey(pem).catch((error) => void expect(error).toMatchObject({ code: 'invalid' }))
      if (found === undefined) continue
      expect(Buffer.from(found.rawData), `byte ${index}`).toEqual(key)
      accepted.push(index)
    }
    // The signature does not cover the outer frame, where a bit or two of DER pedantry is the parser's own business.
    expect(accepted.length).toBeLessThan(4)
  })

  it.each([
    ['P-384', { name: 'ECDSA', namedCurve: 'P-384' }, { name: 'ECDSA', hash: 'SHA-256' }, /not P-256/],
    ['Ed25519', { name: 'Ed25519' }, { name: 'Ed25519' }, /not P-256/],
    [
      'RSA',
      { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
      { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
      /not P-256/,
    ],
    ['P-256 with SHA-1', P256, { name: 'ECDSA', hash: 'SHA-1' }, /not signed with SHA-256/],
    ['P-256 with SHA-512', P256, { name: 'ECDSA', hash: 'SHA-512' }, /not signed with SHA-256/],
  ])('is refused with %s', async (_what, key, signing, message) => {
    const pem = await csr(await pair(key), signing)
    await expect(csrPublicKey(pem)).rejects.toMatchObject({ code: 'invalid', message: expect.stringMatching(message) })
  })

  it('is refused when it is something else, twice, too long, or not there', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const cases = [
      '',
      'x',
      key,
      good + good,
      good + key,
      good.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE'),
      `${good}${' '.repeat(16_384)}`,
    ]
    for (const text of cases) {
      const error = await csrPublicKey(text).then(
        () => expect.fail(`took ${text.slice(0, 40)}`),
        (reason) => reason,
      )
      expect(error).toMatchObject({ code: 'invalid', problems: [{ path: 'csr', code: 'bad-csr' }] })
    }
  })

  it('of hostile shape is refused quickly', async () => {
    const pem = (body: string) => `-----BEGIN CERTIFICATE REQUEST-----${body}-----END CERTIFICATE REQUEST-----`
    const nested = Buffer.concat(Array.from({ length: 2900 }, () => Buffer.from([0x30, 0x80]))).toString('base64')
    const started = performance.now()
    for (const body of [' '.repeat(16_000), 'A'.repeat(16_000), nested, `${'A '.repeat(8000)}!`]) {
      await expect(csrPublicKey(pem(body))).rejects.toMatchObject({ code: 'invalid' })
    }
    expect(performance.now() - started).toBeLessThan(2_000)
  })
})

describe('a workload certificate', () => {
  it('starts five minutes early, ends on time, and never after its CA', async () => {
    const ca = await authority(2 * HOUR)
    const keys = await pair()
    const key = await csrPublicKey(await csr(keys, { name: 'ECDSA', hash: 'SHA-256' }))
    const short = await workloadCertificate(ca, key, 'spiffe://weft.internal/m/n', issuance(HOUR))
    expect(short.notBefore.getTime()).toBe(NOW - 300_000)
    expect(short.notAfter.getTime()).toBe(NOW + HOUR)
    const long = await workloadCertificate(ca, key, 'spiffe://weft.internal/m/n', issuance(24 * HOUR))
    expect(long.notAfter).toEqual(ca.certificate.notAfter)
    const late = workloadCertificate(ca, key, 'spiffe://weft.internal/m/n', issuance(HOUR, NOW + 2 * HOUR))
    await expect(late).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('has a positive serial number of 16 bytes, whatever the random bytes are', async () => {
    const ca = await authority()
    const key = await csrPublicKey(await csr(await pair(), { name: 'ECDSA', hash: 'SHA-256' }))
    for (const byte of [0x00, 0x7f, 0x80, 0xff]) {
      const serial = Buffer.alloc(16, byte)
      const { serialNumber } = await workloadCertificate(ca, key, 'spiffe://weft.internal/m/n', {
        ...issuance(HOUR),
        serial,
      })
      expect(serialNumber).toMatch(/^[4-7][0-9a-f]{31}$/)
    }
    const short = workloadCertificate(ca, key, 'spiffe://weft.internal/m/n', {
      ...issuance(HOUR),
      serial: Buffer.alloc(15),
    })
    await expect(short).rejects.toThrow(TypeError)
  })

  it.each([
    '',
    'https://x/y',
    'spiffe://weft.internal/ü',
    'spiffe://weft.internal/a b',
    `spiffe://weft.internal/${'x'.repeat(2048)}`,
  ])('is not made for the name %.40s', async (name) => {
    const ca = await authority()
    const key = await csrPublicKey(await csr(await pair(), { name: 'ECDSA', hash: 'SHA-256' }))
    await expect(workloadCertificate(ca, key, name, issuance(HOUR))).rejects.toMatchObject({ code: 'invalid' })
  })
})

describe('a trust bundle', () => {
  it('has the same revision for the same CAs in any order and number, and another for others', async () => {
    const [a, b] = [(await authority()).certificate, (await authority()).certificate]
    const bundle = await trustBundle([a, b])
    expect(await trustBundle([b, a, b])).toEqual(bundle)
    expect(bundle.certificates).toHaveLength(2)
    expect((await trustBundle([a])).revision).not.toBe(bundle.revision)
  })

  it('names a CA by the SHA-256 of its DER, as others do', async () => {
    const { certificate } = await authority()
    const again = new X509Certificate(certificate.toString('pem'))
    expect(await fingerprint(again)).toMatch(/^[0-9a-f]{64}$/)
    expect(await fingerprint(again)).toBe(await fingerprint(certificate))
  })
})

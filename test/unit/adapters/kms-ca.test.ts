import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { GetPublicKeyCommand, type KMSClient, SignCommand } from '@aws-sdk/client-kms'
import { beforeEach, describe, expect, it } from 'vitest'
import { KmsCa } from '../../../runtime/adapters/kms-ca.ts'
import { rotateCa } from '../../../runtime/app/rotate-ca.ts'
import { ROTATION_STEP_MS as STEP } from '../../../runtime/ca/rotation.ts'
import { MemoryRootLog } from '../../support/memory-root-log.ts'
import { obtain } from '../../support/workload.ts'

const ID = 'spiffe://weft.internal/shop/orders'
const KEY = 'arn:aws:kms:eu-west-1:111122223333:key/one'
const OTHER_KEY = 'arn:aws:kms:eu-west-1:111122223333:key/two'

/** KMS with a key for each ARN, and with what moto has none of: errors, keys that change, short signatures. */
class StandInKms {
  readonly calls: string[] = []
  readonly failures: string[] = []
  readonly keys = new Map<string, ReturnType<typeof generateKey>>()
  wanted = (_signature: Buffer) => true

  async send(command: unknown): Promise<object> {
    if (!(command instanceof SignCommand || command instanceof GetPublicKeyCommand)) throw new TypeError('not known')
    const arn = command.input.KeyId!
    this.calls.push(`${command instanceof SignCommand ? 'Sign' : 'GetPublicKey'} ${arn.slice(-3)}`)
    const failure = this.failures.shift()
    if (failure) throw Object.assign(new Error('as the test has it'), { name: failure, $response: 'credentials' })
    if (!this.keys.has(arn)) this.keys.set(arn, generateKey())
    const { publicKey, privateKey } = this.keys.get(arn)!
    if (command instanceof GetPublicKeyCommand) {
      return { KeyUsage: 'SIGN_VERIFY', PublicKey: publicKey.export({ type: 'spki', format: 'der' }) }
    }
    // As AWS does with raw messages.
    if (command.input.Message!.length > 4096)
      throw Object.assign(new Error('too long'), { name: 'ValidationException' })
    for (;;) {
      const Signature = sign('sha256', command.input.Message!, privateKey)
      if (this.wanted(Signature)) return { Signature }
    }
  }
}

function generateKey() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

let kms: StandInKms
let log: MemoryRootLog
beforeEach(() => {
  kms = new StandInKms()
  log = new MemoryRootLog()
})

function open(more: Partial<ConstructorParameters<typeof KmsCa>[0]> = {}): KmsCa {
  const client = kms as unknown as KMSClient
  return new KmsCa({ client, keyArn: KEY, log, trustDomain: 'weft.internal', clock: Date, ...more })
}

describe('a CA whose key is in KMS', () => {
  it('takes one signature a certificate, and nothing for trust', async () => {
    const issuer = open()
    await issuer.trust()
    expect(kms.calls).toEqual(['GetPublicKey one', 'Sign one'])
    kms.calls.length = 0
    await obtain(issuer, ID)
    await obtain(open(), ID)
    expect(kms.calls).toEqual(['Sign one', 'Sign one'])
  })

  it('signs the longest certificate there can be', async () => {
    const trustDomain = 'x'.repeat(255)
    const id = `spiffe://${trustDomain}/${'m'.repeat(255)}/`.padEnd(2048, 'n')
    const { chainPem } = await obtain(open({ trustDomain }), id)
    expect(new X509Certificate(chainPem).subjectAltName).toBe(`URI:${id}`)
  })

  it('makes right certificates of signatures whose numbers are short', async () => {
    const issuer = open()
    await issuer.trust()
    // In DER a number takes 33 bytes when its first bit is set, and fewer than 32 when its first byte is zero.
    for (const length of [69, 72]) {
      kms.wanted = (signature) => signature.length === length
      const { chainPem, trust } = await obtain(issuer, ID)
      const root = new X509Certificate(trust.certificates[0]!)
      expect(new X509Certificate(chainPem).verify(root.publicKey)).toBe(true)
    }
  })

  it.each([
    ['ThrottlingException', 'throttled', /try again/],
    ['LimitExceededException', 'unavailable', /LimitExceededException/],
    ['AccessDeniedException', 'unavailable', /kms:Sign and kms:GetPublicKey/],
    ['DisabledException', 'unavailable', /Enable the key/],
    ['KMSInvalidStateException', 'unavailable', /Cancel the deletion/],
    ['NotFoundException', 'unavailable', /this account and region/],
    ['UnsupportedOperationException', 'unavailable', /ECC_NIST_P256/],
    ['KMSInternalException', 'unavailable', /KMSInternalException/],
  ])('says what to do about %s', async (name, code, message) => {
    const issuer = open()
    kms.failures.push(name)
    await expect(issuer.trust()).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    kms.failures.push('', '', name)
    await expect(obtain(issuer, ID)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    await obtain(issuer, ID)
  })

  it('lets no word of the credentials out with an error', async () => {
    kms.failures.push('AccessDeniedException')
    const error = (await open()
      .trust()
      .catch((reason: unknown) => reason)) as Error
    expect(JSON.stringify(Object.entries(error.cause as object)) + (error.cause as Error).message).not.toMatch(
      /credentials/,
    )
  })

  it.each([
    ['P-384', { namedCurve: 'P-384' }],
    ['secp256k1', { namedCurve: 'secp256k1' }],
  ])('is not made of a key of %s', async (_, curve) => {
    kms.keys.set(KEY, generateKeyPairSync('ec', curve))
    await expect(open().trust()).rejects.toThrow(/ECC_NIST_P256 and usage SIGN_VERIFY/)
    expect(log.records).toEqual([])
  })

  it('hands nothing out when the key is not that of the kept root', async () => {
    const issuer = open()
    await issuer.trust()
    kms.keys.set(KEY, generateKey())
    await expect(obtain(issuer, ID)).rejects.toThrow(/its signature/)
  })

  it('keeps no root that its key did not sign', async () => {
    kms.keys.set(KEY, { publicKey: generateKey().publicKey, privateKey: generateKey().privateKey })
    await expect(open().trust()).rejects.toThrow(/not self-signed/)
    expect(log.records).toEqual([])
  })

  it('is not served from a root that was damaged', async () => {
    await log.add(0, {
      arn: KEY,
      certificate: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      addedAtMs: 0,
    })
    await expect(open().trust()).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('refuses to go on under another trust domain, with both named', async () => {
    await open().trust()
    const issuer = open({ trustDomain: 'other.internal' })
    await expect(obtain(issuer, 'spiffe://other.internal/shop/orders')).rejects.toThrow(
      /spiffe:\/\/weft\.internal, not of trust domain other\.internal/,
    )
  })

  it('signs for its own trust domain only, and for 7 days at most', async () => {
    await expect(obtain(open(), 'spiffe://other.internal/shop/orders')).rejects.toMatchObject({ code: 'invalid' })
    expect(() => open({ leafLifetimeMs: 8 * 86_400_000 })).toThrow(/7 days/)
    expect(kms.calls).toEqual([])
  })
})

describe('another key in KMS', () => {
  it('takes over when all know of it; until then the former one signs', async () => {
    let nowMs = Date.now()
    const clock = { now: () => nowMs }
    await open({ clock }).trust()
    const issuer = open({ clock, keyArn: OTHER_KEY })
    const rotate = rotateCa({ issuer, clock })
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true })
    kms.calls.length = 0
    await obtain(issuer, ID)
    nowMs += STEP
    await obtain(issuer, ID)
    expect(kms.calls).toEqual(['Sign one', 'Sign two'])
    nowMs += STEP
    expect(await rotate()).toMatchObject({ phase: 'steady' })
    expect((await issuer.trust()).certificates).toHaveLength(1)
  })

  it('is not needed when only the root comes to its end: the same key gets a new one', async () => {
    let nowMs = Date.now()
    const clock = { now: () => nowMs }
    const issuer = open({ clock, caLifetimeMs: 50 * STEP })
    const rotate = rotateCa({ issuer, clock })
    expect(await rotate()).toMatchObject({ phase: 'steady', added: false })
    nowMs += 41 * STEP
    expect(await rotate()).toMatchObject({ phase: 'spreading', added: true })
    expect(log.records.map(({ arn }) => arn)).toEqual([KEY, KEY])
  })
})

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JoinTokenIdentity, type JoinTokens, openJoinTokens } from '../../../runtime/adapters/join-tokens.ts'
import { spiffeId } from '../../../runtime/model/identity.ts'
import { parseJoinToken } from '../../../runtime/model/join-token.ts'
import type { MeshError } from '../../../runtime/model/problem.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { Credentials } from '../../../runtime/ports.ts'

const FINGERPRINT = 'ab'.repeat(32)
const TTL = { ttlMs: 60_000 }
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }

let directory: string
let now: number
let tokens: JoinTokens
let identity: JoinTokenIdentity

function open(file = 'key'): Promise<JoinTokens> {
  return openJoinTokens({ keyFile: join(directory, file), caFingerprint: FINGERPRINT, clock: { now: () => now } })
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weft-tokens-'))
  now = 1_800_000_000_000
  tokens = await open()
  identity = new JoinTokenIdentity(tokens, 'weft.internal')
})
afterEach(() => rmSync(directory, { recursive: true }))

/** The refusal of some credentials; fails when they are accepted. */
async function refusal(credentials: Credentials): Promise<MeshError> {
  const error: MeshError = await identity.identify(credentials).then(
    (subject) => expect.fail(`accepted as ${subject.name}`),
    (reason) => reason,
  )
  expect(error.code).toBe('unauthenticated')
  if ((credentials.bearer?.length ?? 0) > 8)
    expect(`${error.message} ${error.cause ?? ''}`).not.toContain(credentials.bearer)
  return error
}

describe('a join token', () => {
  it.each<Subject>([
    orders,
    { kind: 'virtual-gateway', mesh: 'shop', name: 'orders' },
    { kind: 'virtual-node', mesh: 'a/b.c', name: 'ünï "quoted" \u{1F600}.%' },
    { kind: 'virtual-node', mesh: 'm'.repeat(255), name: '\u{FF5E}'.repeat(255) },
  ])('is good for whom it was minted: %o', async (subject) => {
    expect(await identity.identify({ bearer: tokens.mint(subject, TTL).token })).toEqual(subject)
  })

  it('tells a proxy the fingerprint of the CA, its own name and its end, without any key', () => {
    const { token, expiresAtMs } = tokens.mint(orders, TTL)
    expect(token).toMatch(/^weft1\.[\w-]{43}\.[\w-]+\.[\w-]{43}$/)
    expect(expiresAtMs).toBe(now + 60_000)
    expect(parseJoinToken(token)).toMatchObject({ caFingerprint: FINGERPRINT, subject: orders, expiresAtMs })
  })

  it('works until it ends and not a millisecond longer', async () => {
    const { token, expiresAtMs } = tokens.mint(orders, TTL)
    now = expiresAtMs - 1
    expect(await identity.identify({ bearer: token })).toEqual(orders)
    now = expiresAtMs
    expect((await refusal({ bearer: token })).message).toMatch(/ended at 2027-.*mint a new one/)
  })

  it('still works after a restart, but not with the key of another control plane', async () => {
    const { token } = tokens.mint(orders, TTL)
    expect((await open()).verify(token)).toEqual(orders)
    const foreign = await open('other-key')
    expect(() => foreign.verify(token)).toThrow(/not one of this control plane/)
  })

  it('is refused when any single character was changed', async () => {
    const { token } = tokens.mint(orders, TTL)
    for (let index = 0; index < token.length; index++) {
      const forged = token.slice(0, index) + (token[index] === 'A' ? 'B' : 'A') + token.slice(index + 1)
      await refusal({ bearer: forged })
    }
  })

  it('is refused when cut off anywhere, or with something added', async () => {
    const { token } = tokens.mint(orders, TTL)
    for (let length = 0; length < token.length; length++) await refusal({ bearer: token.slice(0, length) })
    for (const more of ['=', '.', 'A', ' ', '\n']) await refusal({ bearer: token + more })
  })

  it('is refused with the payload, fingerprint or signature of another genuine one', async () => {
    const [a, b] = [tokens.mint(orders, TTL), tokens.mint({ ...orders, mesh: 'other' }, TTL)].map(({ token }) =>
      token.split('.'),
    )
    for (const part of [2, 3]) {
      const swapped = a!.map((text, index) => (index === part ? b![index] : text)).join('.')
      await refusal({ bearer: swapped })
    }
    await refusal({ bearer: a!.with(1, Buffer.alloc(32).toString('base64url')).join('.') })
    await refusal({ bearer: a!.with(0, 'weft2').join('.') })
  })

  it('is refused with an equal signature spelled otherwise', async () => {
    const { token } = tokens.mint(orders, TTL)
    // 43 characters of base64url carry two bits more than 32 bytes: the last one has four spellings.
    const spellings = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].filter((last) =>
      Buffer.from(token.slice(-43, -1) + last, 'base64url').equals(Buffer.from(token.slice(-43), 'base64url')),
    )
    expect(spellings).toHaveLength(4)
    for (const last of spellings.filter((last) => !token.endsWith(last)))
      await refusal({ bearer: token.slice(0, -1) + last })
  })

  it.each([
    '',
    'weft1',
    'weft1...',
    'x'.repeat(1_000_000),
    `weft1.${'A'.repeat(43)}.${'A'.repeat(5000)}.${'A'.repeat(43)}`,
  ])('is nothing like %.20s', async (bearer) => {
    expect(parseJoinToken(bearer)).toBeUndefined()
    await refusal({ bearer })
  })

  it.each([
    'null',
    '[]',
    '{}',
    '{"mesh":"m","kind":"mesh","name":"n","exp":9999999999,"jti":"j"}',
    '{"mesh":"m","kind":"virtual-node","name":"n","exp":"9999999999","jti":"j"}',
    '{"mesh":"m","kind":"virtual-node","name":"n","exp":1e300,"jti":"j"}',
    '{"mesh":"m","kind":"virtual-node","name":"n","exp":9999999999,"jti":"j","admin":true}',
    '{"mesh":"","kind":"virtual-node","name":"n","exp":9999999999,"jti":"j"}',
    '\xff\xfe',
  ])('can not hold the payload %s', (payload) => {
    const encoded = Buffer.from(payload, 'latin1').toString('base64url')
    expect(parseJoinToken(`weft1.${'A'.repeat(43)}.${encoded}.${'A'.repeat(43)}`)).toBeUndefined()
  })

  it.each([0, -1, 999, Number.NaN, Number.POSITIVE_INFINITY])('can not be minted for %s ms', (ttlMs) => {
    expect(() => tokens.mint(orders, { ttlMs })).toThrow(/1 second to 366 days/)
  })

  it('can not be minted for names that no proxy could read back', () => {
    expect(() => tokens.mint({ ...orders, name: '' }, TTL)).toThrow(/1 to 255/)
    expect(() => tokens.mint({ ...orders, name: 'n'.repeat(256) }, TTL)).toThrow(/1 to 255/)
  })
})

describe('the key of join tokens', () => {
  it('is readable for its owner only', () => {
    expect(statSync(join(directory, 'key')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(directory, 'key'), 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
  })

  it.each(['', 'short', 'zz'.repeat(32)])('is refused when damaged to %j, without being quoted', async (content) => {
    writeFileSync(join(directory, 'damaged'), content, { mode: 0o600 })
    const error: Error = await open('damaged').then(
      () => expect.fail('opened'),
      (reason) => reason,
    )
    expect(error.message).toMatch(/damaged is damaged; delete it/)
    if (content.length > 10) expect(error.message).not.toContain(content)
  })
})

describe('a caller', () => {
  const certified = (subject: Subject, trustDomain = 'weft.internal') => ({
    verifiedUris: [spiffeId(trustDomain, subject)],
  })

  it('with a certificate of the mesh is whom the certificate names', async () => {
    for (const subject of [orders, { ...orders, kind: 'virtual-gateway' as const }, { ...orders, name: 'a/b ü' }]) {
      expect(await identity.identify(certified(subject))).toEqual(subject)
    }
  })

  it('without any proof is nobody', async () => {
    await refusal({})
    await refusal({ verifiedUris: [] })
  })

  it('with a certificate of another trust domain is nobody', async () => {
    await refusal(certified(orders, 'evil.internal'))
    await refusal({ verifiedUris: ['https://weft.internal/shop/orders'] })
    await refusal({ verifiedUris: ['spiffe://weft.internal'] })
  })

  it('with two names in its certificate is nobody', async () => {
    const one = spiffeId('weft.internal', orders)
    await refusal({ verifiedUris: [one, spiffeId('weft.internal', { ...orders, name: 'admin' })] })
    await refusal({ verifiedUris: [one, one] })
  })

  it('with a name spelled otherwise than this control plane does is nobody', async () => {
    await refusal({ verifiedUris: ['spiffe://weft.internal/shop/%6frders'] })
    await refusal({ verifiedUris: ['spiffe://weft.internal/shop/%zz'] })
  })

  it('with a certificate may show its own token too, even an ended one', async () => {
    const { token } = tokens.mint(orders, TTL)
    now += 120_000
    expect(await identity.identify({ ...certified(orders), bearer: token })).toEqual(orders)
  })

  it('with a certificate and the token of somebody else, or no token at all in it, is nobody', async () => {
    for (const other of [
      { ...orders, name: 'x' },
      { ...orders, mesh: 'x' },
      { ...orders, kind: 'virtual-gateway' as const },
    ]) {
      await refusal({ ...certified(orders), bearer: tokens.mint(other, TTL).token })
    }
    await refusal({ ...certified(orders), bearer: 'nonsense' })
  })

  it('with a bad certificate is not saved by a good token', async () => {
    await refusal({ ...certified(orders, 'evil.internal'), bearer: tokens.mint(orders, TTL).token })
  })
})

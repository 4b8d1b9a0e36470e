import { execFileSync, spawnSync } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Credentials } from '../../proxy-image/src/tls/identity.ts'
import { rotateCa } from '../../runtime/app/rotate-ca.ts'
import { ROTATION_STEP_MS as STEP } from '../../runtime/ca/rotation.ts'
import type { Clock, RotatingIssuer } from '../../runtime/ports.ts'
import { CLAIMS, certificateRequest, handshake, obtain } from '../support/workload.ts'

export const TRUST_DOMAIN = 'weft.internal'
const ID = `spiffe://${TRUST_DOMAIN}/shop/orders`
const PEER = `spiffe://${TRUST_DOMAIN}/shop/gateway/web%20front`
const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
/** The longest that every CA gives. */
const LIFE_MS = 7 * DAY_MS - 5 * MINUTE_MS
const HAS_OPENSSL = spawnSync('openssl', ['version']).status === 0

/** One CA's state. `open` may be called several times, as control planes on many machines would. */
export interface CaUnderTest {
  open(options: { readonly clock: Clock; readonly leafLifetimeMs: number }): Promise<RotatingIssuer>
  /** The same state as seen by a control plane whose operator chose the next key or CA, where the adapter knows that. */
  openNext(options: { readonly clock: Clock; readonly leafLifetimeMs: number }): Promise<RotatingIssuer>
}

/** What every CA does, whoever holds its keys. `create` makes an empty state. */
export function issuerContract(create: () => CaUnderTest): void {
  const open = (leafLifetimeMs = DAY_MS) => create().open({ clock: Date, leafLifetimeMs })

  describe('a certificate', () => {
    it('names the SPIFFE ID that was decided and nothing that the request claims', async () => {
      const issuer = await open()
      const { csr, keyPem } = await certificateRequest(CLAIMS)
      const leaf = new X509Certificate(await issuer.issue(csr, ID))
      expect(leaf.subjectAltName).toBe(`URI:${ID}`)
      expect(leaf.subject ?? '').not.toMatch(/admin|Somebody Else/)
      expect(leaf.keyUsage?.toSorted()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
      expect(leaf.ca).toBe(false)
      expect(leaf.publicKey.equals(createPublicKey(keyPem))).toBe(true)
    })

    it.each([60 * MINUTE_MS, DAY_MS, LIFE_MS])(
      'lives as long as it should and no second longer: %d ms',
      async (life) => {
        const issuer = await open(life)
        const beforeMs = Date.now()
        const leaf = new X509Certificate((await obtain(issuer, ID)).chainPem)
        expect(leaf.validToDate.getTime()).toBeGreaterThan(beforeMs + life - 1000)
        expect(leaf.validToDate.getTime()).toBeLessThanOrEqual(Date.now() + life)
        expect(leaf.validFromDate.getTime()).toBeLessThanOrEqual(beforeMs - 4 * MINUTE_MS)
      },
    )

    it('is not given for a name outside of the trust domain', async () => {
      const issuer = await open()
      const { csr } = await certificateRequest()
      for (const id of ['spiffe://other.internal/shop/orders', `spiffe://${TRUST_DOMAIN}`, 'https://x/y/z', '']) {
        await expect(issuer.issue(csr, id)).rejects.toMatchObject({ code: 'invalid' })
      }
    })

    it('is not given for a request that is none, or that another key signed', async () => {
      const issuer = await open()
      const { csr } = await certificateRequest()
      const signature = csr.trimEnd().split('\n').at(-2)!
      const forged = csr.replace(signature, `${signature.slice(0, 8)}AAAA${signature.slice(12)}`)
      for (const bad of ['', 'x', forged, csr + csr, csr.replaceAll('REQUEST', 'NOTHING')]) {
        await expect(issuer.issue(bad, ID)).rejects.toMatchObject({ code: 'invalid' })
      }
    })

    it.skipIf(!HAS_OPENSSL)(
      'stands before OpenSSL, in both roles of TLS (skipped where there is no openssl)',
      async () => {
        const { chainPem, trust } = await obtain(await open(), ID)
        const directory = mkdtempSync(join(tmpdir(), 'weft-issuer-'))
        try {
          const file = (name: string, content: string) => {
            writeFileSync(join(directory, name), content)
            return join(directory, name)
          }
          const [chain, roots] = [file('chain.pem', chainPem), file('roots.pem', trust.certificates.join(''))]
          for (const purpose of ['sslserver', 'sslclient']) {
            const args = ['verify', '-purpose', purpose, '-CAfile', roots, '-untrusted', chain, chain]
            expect(execFileSync('openssl', args, { encoding: 'utf8' })).toContain('OK')
          }
        } finally {
          rmSync(directory, { recursive: true })
        }
      },
    )

    it('opens mTLS between two proxies', async () => {
      const issuer = await open()
      const [one, other] = [await obtain(issuer, ID), await obtain(issuer, PEER)]
      await handshake(one, other)
      await handshake(other, one)
    })

    it('is worth nothing under another CA', async () => {
      const [one, other] = [await obtain(await open(), ID), await obtain(await open(), PEER)]
      await expect(handshake(one, other)).rejects.toThrow()
      await expect(handshake({ ...one, trust: other.trust }, other)).rejects.toThrow()
    })
  })

  describe('the trust bundle', () => {
    it('is the same from every control plane, also when they start at once', async () => {
      const ca = create()
      const options = { clock: Date, leafLifetimeMs: DAY_MS }
      const bundles = await Promise.all([1, 2, 3].map(async () => (await ca.open(options)).trust()))
      expect(bundles[0]!.certificates).toHaveLength(1)
      expect(new Set(bundles.map(({ revision }) => revision)).size).toBe(1)
    })
  })

  describe('a rotation', () => {
    it('adds the next root once, and drops the old one after its last certificate', async () => {
      const ca = create()
      let nowMs = Date.now()
      const options = { clock: { now: () => nowMs }, leafLifetimeMs: LIFE_MS }
      const [before] = (await (await ca.open(options)).trust()).certificates
      const control = await ca.openNext(options)
      const twin = await ca.openNext(options)
      await Promise.all([control.addRoot(1), twin.addRoot(1)])
      const rotate = rotateCa({ issuer: control, clock: options.clock })
      expect(await rotate()).toMatchObject({ phase: 'spreading', added: false })
      expect((await control.trust()).certificates).toHaveLength(2)
      expect(await twin.trust()).toEqual(await control.trust())
      nowMs += STEP
      expect(await rotate()).toMatchObject({ phase: 'retiring' })
      nowMs += STEP
      expect(await rotate()).toMatchObject({ phase: 'steady' })
      const { certificates } = await twin.trust()
      expect(certificates).toHaveLength(1)
      expect(certificates).not.toEqual([before])
    })

    // Real TLS knows the real time only, so the past is moved: now is this long after the new root was added.
    it.each([
      ['as it is added', 0],
      ['before the new root signs', STEP - MINUTE_MS],
      ['as the new root signs', STEP + MINUTE_MS],
      ['before the old root is dropped', 2 * STEP - MINUTE_MS],
      ['when it is over', 2 * STEP + MINUTE_MS],
    ])('has nobody refused: %s', async (_, sinceAddedMs) => {
      const realMs = Date.now()
      const ca = create()
      let nowMs = realMs - 60 * DAY_MS
      const options = { clock: { now: () => nowMs }, leafLifetimeMs: LIFE_MS }
      let control = await ca.open(options)
      await control.roots()
      let old: Credentials | undefined
      const steps = [
        { atMs: realMs - LIFE_MS + MINUTE_MS, run: async () => (old = await obtain(control, ID)) },
        {
          atMs: realMs - sinceAddedMs,
          run: async () => {
            control = await ca.openNext(options)
            await control.addRoot(1)
          },
        },
      ].sort((a, b) => a.atMs - b.atMs)
      for (const { atMs, run } of steps) {
        nowMs = atMs
        await run()
      }
      nowMs = realMs
      const fresh = await obtain(control, PEER)
      const synced = { ...old!, trust: fresh.trust }
      for (const one of [old!, synced]) {
        await handshake(one, fresh)
        await handshake(fresh, one)
      }
    })
  })
}

import { X509Certificate } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import { certificateSpiffeId } from '../../../../proxy-image/src/tls/peer.ts'
import { createTestCa, type TestCa } from '../../../support/certificates.ts'

const ORDERS = 'spiffe://weft.internal/shop/orders'

let ca: TestCa
beforeAll(async () => {
  ca = await createTestCa('mesh')
})

const issue = async (uri = ORDERS) => ({ ...(await ca.issue([{ type: 'url', value: uri }])), trust: ca.trust })

describe('the workload identity', () => {
  it('is not ready before its first certificate, then knows who it is', async () => {
    const identity = new WorkloadIdentity()
    expect(identity.ready).toBe(false)
    expect(() => identity.clientContext()).toThrow('no workload certificate yet')
    identity.update(await issue())
    expect(identity).toMatchObject({
      ready: true,
      spiffeId: ORDERS,
      trustDomain: 'weft.internal',
      subject: { kind: 'virtual-node', mesh: 'shop', name: 'orders' },
    })
  })

  it('builds a context once a change and tells its listeners', async () => {
    const identity = new WorkloadIdentity()
    let changes = 0
    const stop = identity.onChange(() => changes++)
    identity.update(await issue())
    const context = identity.clientContext()
    expect(identity.clientContext()).toBe(context)
    identity.updateTrust({ revision: 'next', certificates: [...ca.trust.certificates] })
    expect(identity.clientContext()).not.toBe(context)
    expect(identity.trust.revision).toBe('next')
    stop()
    identity.update(await issue())
    expect(changes).toBe(2)
  })

  it('keeps what it has when new credentials are unusable', async () => {
    const identity = new WorkloadIdentity()
    const good = await issue()
    identity.update(good)
    const context = identity.clientContext()
    const other = await issue()
    expect(() => identity.update({ ...other, keyPem: good.keyPem })).toThrow('not issued for the private key')
    expect(() => identity.update({ ...other, trust: { revision: 'x', certificates: [] } })).toThrow('bundle is empty')
    expect(() => identity.updateTrust({ revision: 'x', certificates: ['nonsense'] })).toThrow()
    expect(() => identity.updateTrust({ revision: 'x', certificates: [] })).toThrow('bundle is empty')
    const refuse = () => {
      throw new Error('somebody else')
    }
    expect(() => identity.update(other, refuse)).toThrow('somebody else')
    const nameless = { ...(await ca.issue([{ type: 'dns', value: 'orders' }])), trust: ca.trust }
    expect(() => identity.update(nameless)).toThrow('no single SPIFFE ID')
    expect(identity.credentials).toBe(good)
    expect(identity.clientContext()).toBe(context)
  })
})

describe('the SPIFFE ID of a certificate', () => {
  const read = async (...names: Parameters<TestCa['issue']>[0]) => {
    const { chainPem } = await ca.issue(names)
    return certificateSpiffeId(new X509Certificate(chainPem))
  }

  it('is its only URI, whatever other names there are', async () => {
    expect(await read({ type: 'url', value: ORDERS })).toBe(ORDERS)
    const others = [
      { type: 'dns', value: 'orders.shop' },
      { type: 'ip', value: '10.0.0.1' },
      { type: 'ip', value: '2001:db8::1' },
      { type: 'email', value: 'a@b.c' },
    ] as const
    expect(await read(others[0], others[1], { type: 'url', value: ORDERS }, others[2], others[3])).toBe(ORDERS)
  })

  it('is none of what only looks like one', async () => {
    expect(await read({ type: 'dns', value: `a, URI:${ORDERS}` })).toBeUndefined()
    expect(await read({ type: 'dns', value: `a", URI:${ORDERS}` })).toBeUndefined()
    expect(await read({ type: 'email', value: `a@b, URI:${ORDERS}, DNS:"` })).toBeUndefined()
    expect(await read({ type: 'url', value: `${ORDERS}, DNS:x` })).toBeUndefined()
    expect(await read({ type: 'url', value: `${ORDERS}\0x` })).toBeUndefined()
    expect(await read({ type: 'url', value: 'https://weft.internal/shop/orders' })).toBeUndefined()
    expect(await read({ type: 'url', value: ORDERS }, { type: 'url', value: ORDERS })).toBeUndefined()
  })
})

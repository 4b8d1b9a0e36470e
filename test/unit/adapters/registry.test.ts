import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import { Registry } from '../../../runtime/adapters/registry.ts'
import { EndpointSetSchema } from '../../../runtime/model/endpoints.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { ProxyReport } from '../../../runtime/ports.ts'

const TTL = 10_000
const orders: Subject = { kind: 'virtual-node', mesh: 'm', name: 'orders' }
const gateway: Subject = { kind: 'virtual-gateway', mesh: 'm', name: 'orders' }

const status = { applied: 'r', rejected: null, certificateNotAfterMs: 2_000_000 }

function instance(id: string, more: Partial<ProxyReport['instance']> = {}): ProxyReport {
  const address = `10.0.0.${1 + (id.charCodeAt(0) % 200)}`
  const fixed = { id, address, meshPort: 15000, protocols: ['http/1.1'], version: '1', state: 'ready' as const }
  return { instance: { ...fixed, ...more }, status }
}

describe('the registry', () => {
  let now: number
  let registry: Registry
  let changed: string[]

  beforeEach(() => {
    now = 1_000_000
    changed = []
    registry = new Registry({ now: () => now })
    registry.onChange((mesh, node) => changed.push(`${mesh}/${node}`))
  })

  async function ids(node = 'orders'): Promise<string[]> {
    return (await registry.endpoints('m', node)).endpoints.map((endpoint) => endpoint.id)
  }

  it('has an empty, well-formed set for a node it never heard of', async () => {
    const set = await registry.endpoints('m', 'nobody')
    expect(set.endpoints).toEqual([])
    expect(v.is(EndpointSetSchema, set)).toBe(true)
  })

  it('publishes an instance as an endpoint that is dialled on its mesh port', async () => {
    await registry.report(orders, instance('a', { address: '10.1.2.3', version: '1.2.3' }), TTL)
    const set = await registry.endpoints('m', 'orders')
    expect(set.node).toBe('orders')
    expect(set.endpoints).toEqual([
      {
        id: 'a',
        address: '10.1.2.3',
        port: 15000,
        sidecar: { port: 15000, protocols: ['http/1.1'], version: '1.2.3' },
        state: 'ready',
      },
    ])
    expect(v.is(EndpointSetSchema, set)).toBe(true)
  })

  it('keeps a draining instance listed as such, and hides one that still starts', async () => {
    await registry.report(orders, instance('a', { state: 'starting' }), TTL)
    expect(await ids()).toEqual([])
    await registry.report(orders, instance('a'), TTL)
    await registry.report(orders, instance('a', { state: 'draining' }), TTL)
    expect((await registry.endpoints('m', 'orders')).endpoints).toMatchObject([{ id: 'a', state: 'draining' }])
  })

  it('lets an instance lapse exactly one lifetime after its last heartbeat', async () => {
    await registry.report(orders, instance('a'), TTL)
    now += TTL - 1
    await registry.report(orders, instance('a'), TTL)
    now += TTL - 1
    expect(await ids()).toEqual(['a'])
    now += 1
    expect(await ids()).toEqual([])
  })

  it('lapses only those that fell silent', async () => {
    await registry.report(orders, instance('a'), TTL)
    now += TTL / 2
    await registry.report(orders, instance('b'), TTL)
    now += TTL / 2
    expect(await ids()).toEqual(['b'])
  })

  it('tells listeners of a lapse at the sweep, once', async () => {
    await registry.report(orders, instance('a'), TTL)
    changed.length = 0
    now += TTL
    registry.sweep()
    registry.sweep()
    expect(changed).toEqual(['m/orders'])
  })

  it('tells listeners of every change of the set, and of no heartbeat that changes nothing', async () => {
    await registry.report(orders, instance('a'), TTL)
    expect(changed).toHaveLength(1)
    await registry.report(orders, instance('a'), TTL)
    expect(changed).toHaveLength(1)
    await registry.report(orders, instance('b', { state: 'starting' }), TTL)
    expect(changed).toHaveLength(1)
    await registry.report(orders, instance('b'), TTL)
    await registry.report(orders, instance('b', { version: '2' }), TTL)
    await registry.remove(orders, 'b')
    await registry.remove(orders, 'b')
    expect(changed).toHaveLength(4)
  })

  it('tells a listener no more that has ended', async () => {
    const heard: string[] = []
    const end = registry.onChange((_mesh, node) => heard.push(node))
    end()
    await registry.report(orders, instance('a'), TTL)
    expect(heard).toEqual([])
    expect(changed).toHaveLength(1)
  })

  it('shows a listener the new set already', async () => {
    let seen: Promise<string[]> | undefined
    registry.onChange(() => {
      seen = ids()
    })
    await registry.report(orders, instance('a'), TTL)
    expect(await seen).toEqual(['a'])
  })

  it('gives equal content an equal revision whatever the order of reports, and other content another', async () => {
    const other = new Registry({ now: () => now })
    for (const id of ['a', 'b', 'c']) await registry.report(orders, instance(id), TTL)
    for (const id of ['c', 'a', 'b']) await other.report(orders, instance(id), TTL)
    const set = await registry.endpoints('m', 'orders')
    expect(await other.endpoints('m', 'orders')).toEqual(set)
    await other.report(orders, instance('b', { state: 'draining' }), TTL)
    expect((await other.endpoints('m', 'orders')).revision).not.toBe(set.revision)
  })

  it('gives two empty nodes different sets, but each one always the same', async () => {
    const before = await registry.endpoints('m', 'orders')
    await registry.report(orders, instance('a'), TTL)
    await registry.remove(orders, 'a')
    expect(await registry.endpoints('m', 'orders')).toEqual(before)
  })

  it('takes a process restarted in place for the one at its address, without waiting for the dead one to lapse', async () => {
    await registry.report(orders, instance('z-old', { address: '10.0.0.9' }), TTL)
    await registry.report(orders, instance('a-new', { address: '10.0.0.9' }), TTL)
    expect(await ids()).toEqual(['a-new'])
    await registry.report(orders, instance('other-port', { address: '10.0.0.9', meshPort: 15001 }), TTL)
    expect(await ids()).toEqual(['a-new', 'other-port'])
    await registry.remove(orders, 'a-new')
    expect(await ids()).toEqual(['other-port', 'z-old'])
  })

  it('does not let one node displace the endpoints of another by claiming its address', async () => {
    await registry.report(orders, instance('a', { address: '10.0.0.9' }), TTL)
    await registry.report({ ...orders, name: 'evil' }, instance('a', { address: '10.0.0.9' }), TTL)
    await registry.remove({ ...orders, name: 'evil' }, 'a')
    expect(await ids()).toEqual(['a'])
  })

  it('keeps meshes, nodes and gateways of one name apart', async () => {
    await registry.report(orders, instance('a'), TTL)
    await registry.report({ ...orders, mesh: 'm2' }, instance('b'), TTL)
    await registry.report(gateway, instance('g', { meshPort: null }), TTL)
    expect(await ids()).toEqual(['a'])
  })

  it('keeps gateways for operators, without endpoints and without waking anybody', async () => {
    await registry.report(gateway, instance('g', { meshPort: null }), TTL)
    await registry.report(orders, instance('a', { state: 'starting' }), TTL)
    expect(changed).toEqual([])
    expect(await registry.proxies('m')).toMatchObject([
      { subject: gateway, instance: 'g', meshPort: null, state: 'ready', lastSeenMs: now, ...status },
      { subject: orders, instance: 'a', meshPort: 15000, state: 'starting', firstSeenMs: now },
    ])
    now += TTL
    expect(await registry.proxies('m')).toEqual([])
  })

  it('takes 1,000 instances of a node, refuses one more, and takes it when another is gone', async () => {
    for (let n = 0; n < 1000; n++) {
      await registry.report(orders, instance(`i${n}`, { address: `10.0.${n >> 8}.${n & 255}` }), TTL)
    }
    const late = instance('late', { address: '10.9.9.9' })
    await expect(registry.report(orders, late, TTL)).rejects.toMatchObject({ code: 'limit-exceeded' })
    await registry.report(orders, instance('i5', { address: '10.0.0.5' }), TTL)
    await registry.remove(orders, 'i7')
    await registry.report(orders, late, TTL)
    expect(await ids()).toHaveLength(1000)
  })

  it.each(['', 'localhost', '10.0.0.256', '10.1', '0x7f.1', '1.2.3.4:80', '[::1]', 'fe80::1%eth0', '10.0.0.1/8'])(
    'refuses the address %j, which is no IP literal',
    async (address) => {
      await expect(registry.report(orders, instance('a', { address }), TTL)).rejects.toMatchObject({ code: 'invalid' })
      expect(await registry.proxies('m')).toEqual([])
    },
  )

  it.each([
    '127.64.0.1',
    '127.127.255.255',
    '::ffff:127.64.0.1',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
  ])('refuses the address %s, which would dial oneself or nobody', async (address) => {
    await expect(registry.report(orders, instance('a', { address }), TTL)).rejects.toMatchObject({ code: 'invalid' })
  })

  it.each(['127.0.0.1', '127.63.255.255', '127.128.0.0', '10.0.0.1', '::1', '2001:db8::1'])(
    'takes the address %s',
    async (address) => {
      await registry.report(orders, instance('a', { address }), TTL)
      expect(await ids()).toEqual(['a'])
    },
  )

  it('refuses endless texts and lists, which every peer would have to carry', async () => {
    for (const more of [
      { id: '' },
      { id: 'x'.repeat(65) },
      { version: 'x'.repeat(65) },
      { protocols: Array(17).fill('h2') },
    ]) {
      await expect(registry.report(orders, instance('a', more), TTL)).rejects.toMatchObject({ code: 'invalid' })
    }
  })
})

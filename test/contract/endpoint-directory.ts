import * as v from 'valibot'
import { beforeEach, describe, expect, it } from 'vitest'
import { EndpointSetSchema } from '../../runtime/model/endpoints.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import type { EndpointDirectory, NodeDiscovery, ProxyReport } from '../../runtime/ports.ts'

export interface DirectoryUnderTest {
  readonly directory: EndpointDirectory
  /** Lets time pass for the directory. */
  advance(ms: number): void
  /** Now, as the directory takes it. */
  now(): number
  /** Where a node's instances are registered. */
  discovery(subject: Subject): NodeDiscovery
  /** Registers an instance wherever this directory wants it, beside what its proxy reports. */
  register(subject: Subject, address: string): Promise<void>
}

const TTL = 600_000
/** Longer than any directory takes a read for current. */
const A_MOMENT = 300

const status = { applied: 'r1', rejected: null, certificateNotAfterMs: 2_000_000 }

export function instance(id: string, more: Partial<ProxyReport['instance']> = {}): ProxyReport {
  const address = `10.0.0.${1 + (id.charCodeAt(0) % 200)}`
  const fixed = { id, address, meshPort: 15000, protocols: ['http/1.1'], version: '1', state: 'ready' as const }
  return { instance: { ...fixed, ...more }, status }
}

/** What any endpoint directory does. `open` gives an empty one. */
export function endpointDirectoryContract(name: string, open: () => Promise<DirectoryUnderTest>): void {
  describe(`${name} as an endpoint directory`, () => {
    const orders: Subject = { kind: 'virtual-node', mesh: 'm', name: 'orders' }
    const gateway: Subject = { kind: 'virtual-gateway', mesh: 'm', name: 'orders' }
    let under: DirectoryUnderTest
    let directory: EndpointDirectory

    beforeEach(async () => {
      under = await open()
      directory = under.directory
    })

    /** A proxy syncs: its report goes in, and its own node is looked at if that is due. */
    async function sync(subject: Subject, report: ProxyReport): Promise<void> {
      await under.register(subject, report.instance.address)
      await again(subject, report)
    }

    async function again(subject: Subject, report: ProxyReport): Promise<void> {
      await directory.report(subject, report, TTL)
      if (subject.kind === 'virtual-node') await directory.refresh(subject.mesh, [under.discovery(subject)], 'due')
      under.advance(A_MOMENT)
    }

    async function ids({ mesh, name: node } = orders): Promise<string[]> {
      return (await directory.endpoints(mesh, node)).endpoints.map(({ id }) => id)
    }

    it('has an empty, well-formed set for a node it never heard of, and no proxies of such a mesh', async () => {
      const set = await directory.endpoints('m', 'nobody')
      expect(set).toMatchObject({ node: 'nobody', endpoints: [] })
      expect(v.is(EndpointSetSchema, set)).toBe(true)
      expect(await directory.proxies('nowhere')).toEqual([])
    })

    it('publishes an instance as an endpoint that is dialled on its mesh port', async () => {
      await sync(orders, instance('a', { address: '10.1.2.3', version: '1.2.3' }))
      const set = await directory.endpoints('m', 'orders')
      const sidecar = { port: 15000, protocols: ['http/1.1'], version: '1.2.3' }
      expect(set.endpoints).toEqual([{ id: 'a', address: '10.1.2.3', port: 15000, sidecar, state: 'ready' }])
      expect(v.is(EndpointSetSchema, set)).toBe(true)
    })

    it('hides an instance that still starts, and keeps a draining one listed as such', async () => {
      await sync(orders, instance('a', { state: 'starting' }))
      expect(await ids()).toEqual([])
      await again(orders, instance('a'))
      expect(await ids()).toEqual(['a'])
      await again(orders, instance('a', { state: 'draining' }))
      expect((await directory.endpoints('m', 'orders')).endpoints).toMatchObject([{ id: 'a', state: 'draining' }])
    })

    it('takes an instance out at once, which may come back', async () => {
      await sync(orders, instance('a'))
      await sync(orders, instance('b'))
      await directory.remove(orders, 'a')
      await directory.remove(orders, 'a')
      under.advance(A_MOMENT)
      expect(await ids()).toEqual(['b'])
      expect((await directory.proxies('m')).map((proxy) => proxy.instance)).toEqual(['b'])
      await sync(orders, instance('a'))
      expect(await ids()).toEqual(['a', 'b'])
    })

    it('gives equal content an equal revision whatever the order of reports, and other content another', async () => {
      const other = { ...orders, mesh: 'm2' }
      for (const id of ['a', 'b', 'c']) await sync(orders, instance(id))
      for (const id of ['c', 'a', 'b']) await sync(other, instance(id))
      const set = await directory.endpoints('m', 'orders')
      expect(await directory.endpoints('m2', 'orders')).toEqual(set)
      await again(other, instance('b', { state: 'draining' }))
      expect((await directory.endpoints('m2', 'orders')).revision).not.toBe(set.revision)
    })

    it('gives two empty nodes different sets, but each one always the same', async () => {
      const before = await directory.endpoints('m', 'orders')
      expect((await directory.endpoints('m', 'nobody')).revision).not.toBe(before.revision)
      await sync(orders, instance('a'))
      await directory.remove(orders, 'a')
      under.advance(A_MOMENT)
      expect(await directory.endpoints('m', 'orders')).toEqual(before)
    })

    it('takes a process restarted in place for the one at its address, and knows the one before when that is gone', async () => {
      await sync(orders, instance('z-old', { address: '10.0.0.9' }))
      await again(orders, instance('a-new', { address: '10.0.0.9' }))
      expect(await ids()).toEqual(['a-new'])
      await directory.remove(orders, 'a-new')
      under.advance(A_MOMENT)
      expect(await ids()).toEqual(['z-old'])
    })

    it('does not let one node displace the endpoints of another by claiming its address', async () => {
      await sync(orders, instance('a', { address: '10.0.0.9' }))
      await again({ ...orders, name: 'evil' }, instance('a', { address: '10.0.0.9' }))
      await directory.remove({ ...orders, name: 'evil' }, 'a')
      under.advance(A_MOMENT)
      expect(await ids()).toEqual(['a'])
    })

    it('keeps meshes, nodes and gateways of one name apart, and names that look like two', async () => {
      await sync(orders, instance('a'))
      await sync({ ...orders, mesh: 'm2' }, instance('b'))
      await sync(gateway, instance('g', { meshPort: null }))
      await sync({ ...orders, name: 'orders#a' }, instance('c'))
      await sync({ ...orders, name: 'o' }, instance('rders#a#d'))
      expect(await ids()).toEqual(['a'])
      expect(await ids({ ...orders, mesh: 'm2' })).toEqual(['b'])
      expect(await ids({ ...orders, name: 'orders#a' })).toEqual(['c'])
    })

    it('lists the proxies of a mesh, gateways too, with what they run, by kind, name and instance', async () => {
      const rejected = { revision: 'r2', problems: [{ path: 'p', code: 'c', message: 'm' }] }
      await sync(orders, instance('b'))
      const firstSeenMs = under.now()
      await sync(orders, { ...instance('a'), status: { ...status, rejected } })
      await sync(gateway, instance('g', { meshPort: null, state: 'draining' }))
      const of = (id: string, subject: Subject) => {
        const { address } = instance(id).instance
        return { subject, instance: id, address, version: '1', ...status }
      }
      expect(await directory.proxies('m')).toMatchObject([
        { ...of('g', gateway), meshPort: null, state: 'draining' },
        {
          ...of('a', orders),
          meshPort: 15000,
          state: 'ready',
          rejected,
          firstSeenMs,
          lastSeenMs: firstSeenMs,
          lapsesAtMs: firstSeenMs + TTL,
        },
        { ...of('b', orders), meshPort: 15000, state: 'ready', rejected: null },
      ])
      // What it says of itself counts at once.
      await again(orders, { ...instance('a'), status: { ...status, applied: 'r2' } })
      const [, a] = await directory.proxies('m')
      expect(a).toMatchObject({ applied: 'r2', rejected: null, firstSeenMs, lastSeenMs: firstSeenMs + A_MOMENT * 2 })
      await again(orders, {
        ...instance('a', { metricsPort: 9902, zone: 'eu-1a' }),
        status: { ...status, applied: 'r2' },
      })
      expect((await directory.proxies('m'))[1]).toMatchObject({ metricsPort: 9902, zone: 'eu-1a' })
    })

    it('forgets a proxy one lifetime after its last report', async () => {
      await sync(gateway, instance('g'))
      under.advance(TTL - A_MOMENT - 1)
      expect(await directory.proxies('m')).toHaveLength(1)
      await again(gateway, instance('g'))
      under.advance(TTL - A_MOMENT - 1)
      expect(await directory.proxies('m')).toHaveLength(1)
      under.advance(1)
      expect(await directory.proxies('m')).toEqual([])
    })

    it.each([
      '',
      'localhost',
      '10.0.0.256',
      'fe80::1%eth0',
      '10.0.0.1/8',
      '127.64.0.1',
      '::ffff:127.64.0.1',
      '0.0.0.0',
      // What a machine tells itself, credentials of its roles among it.
      '169.254.169.254',
      '::ffff:169.254.170.2',
      'fe80::1',
      'fd00:ec2::254',
    ])('refuses a report from %j, which nobody can dial', async (address) => {
      await expect(directory.report(orders, instance('a', { address }), TTL)).rejects.toMatchObject({ code: 'invalid' })
      expect(await directory.proxies('m')).toEqual([])
    })

    it('takes a report from an IPv6 address, however it is written', async () => {
      await sync(orders, instance('a', { address: '2001:DB8:0:0::1' }))
      expect(await ids()).toEqual(['a'])
    })

    it('refuses endless texts and lists, which every peer would have to carry', async () => {
      const endless = [
        { id: '' },
        { id: 'x'.repeat(65) },
        { version: 'x'.repeat(33) },
        { zone: 'x'.repeat(65) },
        { protocols: ['x'.repeat(13)] },
        { protocols: Array(7).fill('h2') },
      ]
      for (const more of endless) {
        await expect(directory.report(orders, instance('a', more), TTL)).rejects.toMatchObject({ code: 'invalid' })
      }
    })

    it.each([{ id: 'a\u001b[2Jb' }, { version: '1\n2' }, { zone: 'a b' }, { protocols: ['h2\u0000'] }])(
      'refuses %j, which would move the cursor of whoever looks at it',
      async (more) => {
        await expect(directory.report(orders, instance('a', more), TTL)).rejects.toMatchObject({ code: 'invalid' })
      },
    )
  })
}

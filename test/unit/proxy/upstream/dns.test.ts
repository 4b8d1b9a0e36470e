import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type DnsAddress, type DnsLookup, DnsResolver } from '../../../../proxy-image/src/upstream/dns.ts'

/** A name server that gives one answer after the other, and the last one for ever. */
function server(...answers: (readonly DnsAddress[] | Error)[]) {
  let asked = 0
  const lookup: DnsLookup = async () => {
    const answer = answers[Math.min(asked++, answers.length - 1)]!
    if (answer instanceof Error) throw answer
    return answer
  }
  return { lookup, asked: () => asked }
}

function resolve(lookup: DnsLookup) {
  const resolver = new DnsResolver('orders.example', { lookup })
  const seen: (readonly string[])[] = []
  resolver.subscribe((addresses) => seen.push(addresses))
  return { resolver, seen }
}

const a = (address: string, ttl = 10): DnsAddress => ({ address, ttl })

describe('the DNS resolver', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('asks again when the shortest TTL is over and tells of changes', async () => {
    const { lookup, asked } = server([a('10.0.0.1', 60), a('10.0.0.2', 5)], [a('10.0.0.3')])
    const { resolver, seen } = resolve(lookup)
    await resolver.settled
    expect(resolver.addresses).toEqual(['10.0.0.1', '10.0.0.2'])
    await vi.advanceTimersByTimeAsync(4999)
    expect(asked()).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(seen).toEqual([['10.0.0.1', '10.0.0.2'], ['10.0.0.3']])
    resolver.close()
  })

  it.each([
    [0, 1000],
    [86_400, 300_000],
  ])('takes a TTL of %i s for %i ms', async (ttl, ms) => {
    const { lookup, asked } = server([a('10.0.0.1', ttl)])
    const { resolver } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(ms - 1)
    expect(asked()).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(asked()).toBe(2)
    resolver.close()
  })

  it('says nothing when only the order or a repetition changed', async () => {
    const { lookup, asked } = server([a('10.0.0.1'), a('10.0.0.2')], [a('10.0.0.2'), a('10.0.0.1'), a('10.0.0.2')])
    const { resolver, seen } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(asked()).toBe(2)
    expect(seen).toHaveLength(1)
    expect(resolver.addresses).toEqual(['10.0.0.1', '10.0.0.2'])
    resolver.close()
  })

  it('keeps the last set while nobody answers, asks ever less often, and says why', async () => {
    const { lookup, asked } = server([a('10.0.0.1', 1)], new Error('SERVFAIL'))
    const { resolver, seen } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(1000 + 1000 + 2000 + 4000)
    expect(asked()).toBe(5)
    await vi.advanceTimersByTimeAsync(3_600_000)
    expect(asked()).toBeLessThan(140)
    expect(seen).toEqual([['10.0.0.1']])
    expect(resolver.problem).toBe('orders.example could not be resolved: SERVFAIL')
    resolver.close()
  })

  it('recovers from a failure at the next good answer', async () => {
    const { lookup } = server(new Error('timeout'), [a('10.0.0.1')])
    const { resolver, seen } = resolve(lookup)
    await resolver.settled
    expect(resolver.addresses).toEqual([])
    await vi.advanceTimersByTimeAsync(1000)
    expect(seen).toEqual([['10.0.0.1']])
    expect(resolver.problem).toBeUndefined()
    resolver.close()
  })

  it('asks soon again when it fails after it had recovered', async () => {
    const bad = new Error('SERVFAIL')
    const { lookup, asked } = server(bad, bad, [a('10.0.0.1', 1)], bad)
    const { resolver } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(1000 + 2000 + 1000)
    expect(asked()).toBe(4)
    await vi.advanceTimersByTimeAsync(1000)
    expect(asked()).toBe(5)
    resolver.close()
  })

  it('does not empty a live set for an empty answer, only after a minute of them', async () => {
    const { lookup } = server([a('10.0.0.1', 1)], [])
    const { resolver, seen } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(1000 + 59_999)
    expect(resolver.addresses).toEqual(['10.0.0.1'])
    await vi.advanceTimersByTimeAsync(30_000)
    expect(seen).toEqual([['10.0.0.1'], []])
    expect(resolver.problem).toContain('no address')
    resolver.close()
  })

  it('starts the minute anew when an answer came in between', async () => {
    const { lookup } = server([a('10.0.0.1', 1)], [], [a('10.0.0.1', 50)], [])
    const { resolver } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(1000 + 1000 + 50_000 + 20_000)
    expect(resolver.addresses).toEqual(['10.0.0.1'])
    resolver.close()
  })

  it('refuses addresses that would dial this proxy itself, also as mapped IPv6, and what is no address', async () => {
    const { lookup } = server([a('127.64.0.7'), a('::ffff:127.100.0.1'), a('127.0.0.1'), a('evil'), a('2001:db8::1')])
    const { resolver } = resolve(lookup)
    await resolver.settled
    expect(resolver.addresses).toEqual(['127.0.0.1', '2001:db8::1'])
    resolver.close()
  })

  it('refuses where a machine tells itself the credentials of its roles, which a gateway would hand to strangers', async () => {
    const credentials = ['169.254.169.254', '::ffff:169.254.170.2', '169.254.170.23', 'fd00:ec2::254', 'fd00:ec2::23']
    // VPC Lattice answers with link-local addresses, too.
    const lattice = ['169.254.171.32', 'fd00:ec2:80::a9fe:ab20']
    const { lookup } = server([...credentials, ...lattice].map((address) => a(address)))
    const { resolver } = resolve(lookup)
    await resolver.settled
    expect(resolver.addresses).toEqual(lattice)
    resolver.close()
  })

  it('keeps the last set when all of an answer is refused, and says why', async () => {
    const { lookup } = server([a('10.0.0.1', 1)], [a('127.64.0.7')])
    const { resolver } = resolve(lookup)
    await vi.advanceTimersByTimeAsync(1000)
    expect(resolver.addresses).toEqual(['10.0.0.1'])
    expect(resolver.problem).toContain('127.64.0.0/10')
    resolver.close()
  })

  it('takes no more than 1,024 addresses', async () => {
    const { lookup } = server(Array.from({ length: 3000 }, (_, i) => a(`10.0.${i >> 8}.${i & 255}`)))
    const { resolver } = resolve(lookup)
    await resolver.settled
    expect(resolver.addresses).toHaveLength(1024)
    resolver.close()
  })

  it('leaves no timer behind, ignores a late answer, and settles when it is closed', async () => {
    const { promise, resolve: answer } = Promise.withResolvers<readonly DnsAddress[]>()
    const { resolver, seen } = resolve(() => promise)
    resolver.close()
    await resolver.settled
    answer([a('10.0.0.1')])
    await vi.advanceTimersByTimeAsync(1000)
    expect(seen).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
    const other = resolve(server([a('10.0.0.1')]).lookup)
    await other.resolver.settled
    other.resolver.close()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('tells no more to who unsubscribed', async () => {
    const { lookup } = server([a('10.0.0.1', 1)], [a('10.0.0.2')])
    const resolver = new DnsResolver('orders.example', { lookup })
    const seen: unknown[] = []
    const unsubscribe = resolver.subscribe((addresses) => seen.push(addresses))
    await resolver.settled
    unsubscribe()
    await vi.advanceTimersByTimeAsync(1000)
    expect(resolver.addresses).toEqual(['10.0.0.2'])
    expect(seen).toEqual([['10.0.0.1']])
    resolver.close()
  })
})

describe('the lookup of the system', () => {
  it.each([
    ['127.0.0.1', ['127.0.0.1']],
    ['2001:db8::1', ['2001:db8::1']],
  ])('takes the literal %s for itself', async (hostname, expected) => {
    const resolver = new DnsResolver(hostname)
    resolver.subscribe(() => {})
    await resolver.settled
    expect(resolver.addresses).toEqual(expected)
    resolver.close()
  })

  it('knows localhost', async () => {
    const resolver = new DnsResolver('localhost')
    resolver.subscribe(() => {})
    await resolver.settled
    expect(resolver.addresses.some((address) => address === '127.0.0.1' || address === '::1')).toBe(true)
    resolver.close()
  })
})

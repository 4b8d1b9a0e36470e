import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pick } from '../../../../proxy-image/src/upstream/balancer.ts'
import { UpstreamEndpoint } from '../../../../proxy-image/src/upstream/endpoint.ts'

const NOW = 1_000_000

function endpoint(index: number, state: Partial<UpstreamEndpoint> = {}): UpstreamEndpoint {
  const made = new UpstreamEndpoint({
    id: `e${index}`,
    address: `10.0.0.${index}`,
    port: 80,
    sidecar: null,
    state: 'ready',
  })
  return Object.assign(made, state)
}

const many = (count: number, state: (index: number) => Partial<UpstreamEndpoint> = () => ({})) =>
  Array.from({ length: count }, (_, index) => endpoint(index, state(index)))

/** How often each endpoint is chosen. */
function tally(endpoints: readonly UpstreamEndpoint[], picks: number): Map<UpstreamEndpoint, number> {
  const counts = new Map(endpoints.map((one) => [one, 0]))
  for (let i = 0; i < picks; i++) {
    const chosen = pick(endpoints, NOW, null)!
    counts.set(chosen, counts.get(chosen)! + 1)
  }
  return counts
}

describe('an endpoint', () => {
  it('is available unless it is draining, unhealthy, or ejected', () => {
    expect(endpoint(1).available(NOW)).toBe(true)
    expect(endpoint(1, { draining: true }).available(NOW)).toBe(false)
    expect(endpoint(1, { healthy: false }).available(NOW)).toBe(false)
    expect(endpoint(1, { ejectedUntilMs: NOW + 1 }).available(NOW)).toBe(false)
    expect(endpoint(1, { ejectedUntilMs: NOW }).available(NOW)).toBe(true)
  })

  it('is draining from the start when the mesh says so', () => {
    const made = new UpstreamEndpoint({ id: 'e', address: '10.0.0.1', port: 80, sidecar: null, state: 'draining' })
    expect(made.draining).toBe(true)
  })
})

describe('the balancer', () => {
  it('has nothing to choose from nothing', () => {
    expect(pick([], NOW, null)).toBeUndefined()
  })

  it.each([1, 2, 3, 1000])('spreads idle picks evenly over %i endpoints', (count) => {
    const picks = count * 1000
    for (const [, chosen] of tally(many(count), picks)) {
      expect(chosen).toBeGreaterThan(800)
      expect(chosen).toBeLessThan(1200)
    }
  })

  it('always takes the less busy of two', () => {
    const endpoints = many(2, (index) => ({ active: index }))
    for (let i = 0; i < 200; i++) expect(pick(endpoints, NOW, null)).toBe(endpoints[0])
  })

  it('never takes the busiest of many', () => {
    const endpoints = many(100, (index) => ({ active: index }))
    for (let i = 0; i < 2000; i++) expect(pick(endpoints, NOW, null)).not.toBe(endpoints[99])
  })

  it('shares evenly among the few available of many, whatever their place in the list', () => {
    const endpoints = many(1000, (index) => ({ healthy: index > 996 }))
    const counts = tally(endpoints, 3000)
    for (const survivor of endpoints.slice(997)) expect(counts.get(survivor)).toBeGreaterThan(850)
  })

  it('does not choose again what was tried while something else is left', () => {
    const endpoints = many(3)
    for (let i = 0; i < 200; i++) {
      expect(pick(endpoints, NOW, [endpoints[0]!, endpoints[2]!])).toBe(endpoints[1])
    }
    expect(endpoints).toContain(pick(endpoints, NOW, endpoints))
  })

  it('prefers a tried endpoint that works over an untried one that does not', () => {
    const endpoints = [endpoint(0), endpoint(1, { healthy: false })]
    for (let i = 0; i < 100; i++) expect(pick(endpoints, NOW, [endpoints[0]!])).toBe(endpoints[0])
  })

  it('fails open: with none available it takes those that do not drain, and with all draining any', () => {
    const sick = endpoint(0, { healthy: false })
    const ejected = endpoint(1, { ejectedUntilMs: NOW + 5 })
    const draining = endpoint(2, { draining: true })
    const chosen = new Set<unknown>()
    for (let i = 0; i < 500; i++) chosen.add(pick([sick, ejected, draining], NOW, null))
    expect(chosen).toEqual(new Set([sick, ejected]))
    expect(pick([draining], NOW, null)).toBe(draining)
    expect(pick([draining, endpoint(3, { draining: true, healthy: false })], NOW, [draining])?.id).toBe('e3')
  })

  it('never chooses a worse group while a better one has a member', () => {
    const state = fc.record({
      healthy: fc.boolean(),
      draining: fc.boolean(),
      ejectedUntilMs: fc.constantFrom(0, NOW + 1),
      active: fc.nat(5),
      tried: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(state, { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        (states, numbers) => {
          const endpoints = states.map(({ tried: _, ...fields }, index) => endpoint(index, fields))
          const tried = endpoints.filter((_, index) => states[index]!.tried)
          const chosen = pick(endpoints, NOW, tried, () => numbers.next().value)!
          const groups = [
            endpoints.filter((one) => one.available(NOW) && !tried.includes(one)),
            endpoints.filter((one) => one.available(NOW)),
            endpoints.filter((one) => !one.draining && !tried.includes(one)),
            endpoints.filter((one) => !one.draining),
            endpoints.filter((one) => !tried.includes(one)),
            endpoints,
          ]
          expect(groups.find((group) => group.length > 0)).toContain(chosen)
        },
      ),
    )
  })
})

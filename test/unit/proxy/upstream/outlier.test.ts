import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UpstreamEndpoint } from '../../../../proxy-image/src/upstream/endpoint.ts'
import { OutlierDetector } from '../../../../proxy-image/src/upstream/outlier.ts'
import type { OutlierDetection } from '../../../../runtime/model/snapshot.ts'

const POLICY: OutlierDetection = {
  maxServerErrors: 3,
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionPercent: 50,
  origin: { kind: 'virtual-node', name: 'orders' },
}
const NOW = 1_000_000_000

function cluster(count: number, policy: Partial<OutlierDetection> = {}) {
  const endpoints = Array.from(
    { length: count },
    (_, index) =>
      new UpstreamEndpoint({ id: `e${index}`, address: `10.0.0.${index}`, port: 80, sidecar: null, state: 'ready' }),
  )
  const detector = new OutlierDetector({ ...POLICY, ...policy }, () => endpoints)
  const fail = (endpoint: UpstreamEndpoint, times: number, nowMs = NOW) => {
    for (let i = 0; i < times; i++) detector.onServerError(endpoint, nowMs)
  }
  return { endpoints, detector, fail, first: endpoints[0]! }
}

describe('outlier detection', () => {
  it('ejects after so many errors in a row, 5xx answers and failed connections alike', () => {
    const { detector, fail, first } = cluster(4)
    fail(first, 2)
    expect(first.available(NOW)).toBe(true)
    detector.onConnectFailure(first, NOW)
    expect(first.available(NOW)).toBe(false)
    expect(first.available(NOW + 29_999)).toBe(false)
    expect(first.available(NOW + 30_000)).toBe(true)
    expect(detector.stats).toEqual({ ejections: 1, overflows: 0 })
    expect([detector.ejected(NOW), detector.ejected(NOW + 30_000)]).toEqual([1, 0])
  })

  it('forgets errors when something succeeds in between', () => {
    const { detector, fail, first } = cluster(4)
    fail(first, 2)
    detector.onSuccess(first)
    fail(first, 2)
    expect(first.available(NOW)).toBe(true)
  })

  it('does not count what was in flight when the endpoint was ejected', () => {
    const { fail, first } = cluster(4)
    fail(first, 3)
    fail(first, 50, NOW + 1)
    fail(first, 2, NOW + 30_000)
    expect(first.available(NOW + 30_000)).toBe(true)
    expect(first.ejectedUntilMs).toBe(NOW + 30_000)
  })

  it('ejects for longer each time, at most five minutes', () => {
    const { fail, first } = cluster(4)
    const lasted: number[] = []
    let now = NOW
    for (let i = 0; i < 12; i++) {
      fail(first, 3, now)
      lasted.push(first.ejectedUntilMs - now)
      now = first.ejectedUntilMs
    }
    expect(lasted.slice(0, 3)).toEqual([30_000, 60_000, 90_000])
    expect(lasted.slice(-2)).toEqual([300_000, 300_000])
  })

  it('ejects for the base when that is longer than five minutes', () => {
    const { fail, first } = cluster(4, { baseEjectionMs: 400_000 })
    fail(first, 3)
    expect(first.ejectedUntilMs).toBe(NOW + 400_000)
  })

  it('takes one off the multiplier for each calm interval', () => {
    const { fail, first } = cluster(4)
    fail(first, 3)
    fail(first, 3, NOW + 30_000)
    expect(first.ejections).toBe(2)
    const calm = first.ejectedUntilMs + 10_000
    fail(first, 3, calm)
    expect(first.ejectedUntilMs - calm).toBe(60_000)
    const long = first.ejectedUntilMs + 1_000_000
    fail(first, 3, long)
    expect(first.ejectedUntilMs - long).toBe(30_000)
  })

  it('may always eject one of two or more, however small the percentage', () => {
    const { endpoints, detector, fail } = cluster(4, { maxEjectionPercent: 1 })
    fail(endpoints[0]!, 3)
    fail(endpoints[1]!, 3)
    expect(endpoints.map((one) => one.available(NOW))).toEqual([false, true, true, true])
    expect(detector.stats).toEqual({ ejections: 1, overflows: 1 })
  })

  it('ejects neither the only endpoint nor any at 0 %', () => {
    const alone = cluster(1)
    alone.fail(alone.first, 10)
    expect(alone.first.available(NOW)).toBe(true)
    const off = cluster(4, { maxEjectionPercent: 0 })
    off.fail(off.first, 10)
    expect(off.first.available(NOW)).toBe(true)
  })

  it('ignores an endpoint that left the cluster', () => {
    const { detector, first } = cluster(4)
    const gone = new UpstreamEndpoint({ id: 'gone', address: '10.0.0.9', port: 80, sidecar: null, state: 'ready' })
    for (let i = 0; i < 5; i++) detector.onServerError(gone, NOW)
    expect(gone.available(NOW)).toBe(true)
    expect(first.available(NOW)).toBe(true)
  })

  it('never has more out than the percentage, or one', () => {
    const event = fc.record({ at: fc.nat(20_000), who: fc.nat(19), good: fc.boolean() })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.nat(100),
        fc.array(event, { maxLength: 200 }),
        (count, maxEjectionPercent, events) => {
          const { endpoints, detector } = cluster(count, { maxEjectionPercent, maxServerErrors: 1 })
          const least = maxEjectionPercent > 0 && count > 1 ? 1 : 0
          let now = NOW
          for (const { at, who, good } of events) {
            now += at
            const endpoint = endpoints[who % count]!
            if (good) detector.onSuccess(endpoint)
            else detector.onServerError(endpoint, now)
            const out = endpoints.filter((one) => !one.available(now)).length
            expect(out).toBeLessThanOrEqual(Math.max(least, Math.floor((count * maxEjectionPercent) / 100)))
          }
        },
      ),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RetryBudget } from '../../../../proxy-image/src/upstream/retry-budget.ts'

/** How many of `tries` retries are granted at one moment. */
function granted(budget: RetryBudget, tries: number, nowMs: number): number {
  let count = 0
  for (let i = 0; i < tries; i++) if (budget.tryRetry(nowMs)) count++
  return count
}

describe('a retry budget', () => {
  it('allows its reserve on a quiet cluster, and no more until time has passed', () => {
    const budget = new RetryBudget({ percent: 20, minRetriesPerSecond: 1 })
    expect(granted(budget, 100, 5_000)).toBe(10)
    expect(granted(budget, 100, 14_999)).toBe(0)
    expect(granted(budget, 100, 15_000)).toBe(10)
  })

  it('allows its share of the requests of the last ten seconds', () => {
    const budget = new RetryBudget({ percent: 20, minRetriesPerSecond: 0 })
    for (let i = 0; i < 1_000; i++) budget.begin(i * 5)
    expect(granted(budget, 1_000, 5_000)).toBe(200)
    expect(granted(budget, 1_000, 9_000)).toBe(0)
  })

  it('covers everything that was in flight to one of ten instances when it died', () => {
    const budget = new RetryBudget({ percent: 20, minRetriesPerSecond: 0 })
    for (let i = 0; i < 2_000; i++) budget.begin(i * 5)
    expect(granted(budget, 200, 10_000)).toBe(200)
  })

  it('allows nothing when both bounds are zero', () => {
    const budget = new RetryBudget({ percent: 0, minRetriesPerSecond: 0 })
    for (let i = 0; i < 100; i++) budget.begin(0)
    expect(granted(budget, 10, 0)).toBe(0)
  })

  it('grants, within any ten seconds, no more than its share and its reserve, in whatever order things happen', () => {
    const step = fc.record({ retry: fc.boolean(), waitMs: fc.nat(3_000) })
    fc.assert(
      fc.property(fc.nat(100), fc.nat(3), fc.array(step, { maxLength: 200 }), (percent, minRetriesPerSecond, steps) => {
        const budget = new RetryBudget({ percent, minRetriesPerSecond })
        const requests: number[] = []
        const retries: number[] = []
        let now = 0
        for (const { retry, waitMs } of steps) {
          now += waitMs
          if (!retry) {
            budget.begin(now)
            requests.push(now)
          } else if (budget.tryRetry(now)) retries.push(now)
          const inWindow = (times: number[]) => times.filter((at) => at > now - 9_000).length
          expect(inWindow(retries)).toBeLessThanOrEqual((percent * requests.length) / 100 + minRetriesPerSecond * 10)
        }
      }),
    )
  })
})

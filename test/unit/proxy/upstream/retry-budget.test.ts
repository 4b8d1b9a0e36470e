import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RetryBudget } from '../../../../proxy-image/src/upstream/retry-budget.ts'

describe('a retry budget', () => {
  it('allows its minimum on a quiet cluster', () => {
    const budget = new RetryBudget({ percent: 20, minRetries: 2 })
    budget.begin()
    expect([budget.tryRetry(), budget.tryRetry(), budget.tryRetry()]).toEqual([true, true, false])
    budget.endRetry()
    expect(budget.tryRetry()).toBe(true)
  })

  it('allows its share of the active requests on a busy one', () => {
    const budget = new RetryBudget({ percent: 20, minRetries: 0 })
    for (let i = 0; i < 14; i++) budget.begin()
    expect([budget.tryRetry(), budget.tryRetry(), budget.tryRetry()]).toEqual([true, true, false])
    budget.begin()
    expect(budget.tryRetry()).toBe(true)
    expect([budget.active, budget.retrying]).toEqual([15, 3])
  })

  it('allows nothing when both bounds are zero', () => {
    const budget = new RetryBudget({ percent: 0, minRetries: 0 })
    for (let i = 0; i < 100; i++) budget.begin()
    expect(budget.tryRetry()).toBe(false)
  })

  it('grants no retry beyond the larger of its bounds, in whatever order things happen', () => {
    const steps = fc.array(fc.constantFrom('begin', 'end', 'retry', 'endRetry'), { maxLength: 200 })
    fc.assert(
      fc.property(fc.nat(100), fc.nat(5), steps, (percent, minRetries, happenings) => {
        const budget = new RetryBudget({ percent, minRetries })
        for (const step of happenings) {
          if (step === 'begin') budget.begin()
          if (step === 'end' && budget.active > 0) budget.end()
          if (step === 'endRetry' && budget.retrying > 0) budget.endRetry()
          const before = budget.retrying
          if (step !== 'retry') continue
          const granted = budget.tryRetry()
          expect(budget.retrying).toBe(before + (granted ? 1 : 0))
          const bound = Math.max(minRetries, Math.floor((percent * budget.active) / 100))
          expect(granted).toBe(before + 1 <= bound)
        }
      }),
    )
  })
})

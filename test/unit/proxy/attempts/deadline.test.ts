import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Deadline } from '../../../../proxy-image/src/attempts/deadline.ts'

// Real deadlines take as long as they take; only the clock is replaced here.
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function deadline(log: string[], name: string, then: (one: Deadline) => void = () => {}): Deadline {
  return new Deadline({
    onDeadline(one) {
      log.push(name)
      then(one)
    },
  })
}

describe('deadlines', () => {
  it('expire in the order of their time, each once, and not when cancelled', () => {
    const log: string[] = []
    const [a, b, c] = ['a', 'b', 'c'].map((name) => deadline(log, name))
    a!.set(1000, performance.now())
    vi.advanceTimersByTime(400)
    b!.set(1000, performance.now())
    c!.set(50, performance.now())
    vi.advanceTimersByTime(400)
    expect(log).toEqual(['c'])
    a!.cancel()
    a!.cancel()
    vi.advanceTimersByTime(5000)
    expect(log).toEqual(['c', 'b'])
  })
  it('move when they are set again', () => {
    const log: string[] = []
    const one = deadline(log, 'x')
    one.set(1000, performance.now())
    vi.advanceTimersByTime(900)
    one.set(1000, performance.now())
    vi.advanceTimersByTime(900)
    expect(log).toEqual([])
    vi.advanceTimersByTime(200)
    expect(log).toEqual(['x'])
  })
  it('keep one timer for each duration, also when an owner sets its deadline again as it expires', () => {
    const log: string[] = []
    const again = deadline(log, 'again', (one) => one.set(1000, performance.now()))
    const other = deadline(log, 'other')
    again.set(1000, performance.now())
    other.set(1000, performance.now())
    for (let second = 1; second <= 10; second++) {
      vi.advanceTimersByTime(1000)
      expect(vi.getTimerCount()).toBe(1)
    }
    expect(log.filter((name) => name === 'again').length).toBeGreaterThanOrEqual(9)
    expect(log.filter((name) => name === 'other')).toHaveLength(1)
    again.cancel()
    vi.advanceTimersByTime(2000)
    expect(vi.getTimerCount()).toBe(0)
  })
  it('may be longer than any timer of the platform', () => {
    const log: string[] = []
    const days = 30 * 86_400_000
    deadline(log, 'x').set(days, performance.now())
    vi.advanceTimersByTime(days - 1000)
    expect(log).toEqual([])
    vi.advanceTimersByTime(2000)
    expect(log).toEqual(['x'])
  })
})

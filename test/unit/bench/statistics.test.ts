import { describe, expect, it } from 'vitest'
import { median, pairedRatio, rowsOf, type Sample } from '../../../bench/statistics.ts'

const sample = (subject: Sample['subject'], round: number, value: number): Sample => ({
  subject,
  metric: 'cpu-per-request',
  round,
  value,
})

describe('the median', () => {
  it('is the middle of an odd count and the mean of the middle two of an even one', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([4, 1, 2, 9])).toBe(3)
  })

  it('of nothing is an error rather than NaN', () => {
    expect(() => median([])).toThrow(RangeError)
  })
})

describe('a ratio', () => {
  it('pairs the values of one round, so that a machine that slows down for a round does not move it', () => {
    const samples = [
      ...[100, 300, 110].map((value, index) => sample('envoy', index + 1, value)),
      ...[50, 150, 55].map((value, index) => sample('weft', index + 1, value)),
    ]
    expect(pairedRatio(samples, 'cpu-per-request', 'weft', 'envoy')).toBe(0.5)
  })

  it('leaves out rounds that one of both does not have', () => {
    const samples = [sample('envoy', 1, 100), sample('envoy', 3, 100), sample('weft', 2, 10), sample('weft', 3, 40)]
    expect(pairedRatio(samples, 'cpu-per-request', 'weft', 'envoy')).toBe(0.4)
  })

  it('is undefined when the peer was not there', () => {
    expect(pairedRatio([sample('weft', 1, 10)], 'cpu-per-request', 'weft', 'envoy')).toBeUndefined()
  })
})

describe('the rows of a case', () => {
  it('carry median, spread, valid rounds and the ratio to Envoy', () => {
    const samples = [sample('envoy', 1, 100), sample('envoy', 2, 120), sample('weft', 1, 40)]
    expect(rowsOf('h1-hop', samples)).toEqual([
      {
        case: 'h1-hop',
        subject: 'envoy',
        metric: 'cpu-per-request',
        unit: 'us',
        median: 110,
        min: 100,
        max: 120,
        rounds: 2,
        ratioToEnvoy: 1,
      },
      {
        case: 'h1-hop',
        subject: 'weft',
        metric: 'cpu-per-request',
        unit: 'us',
        median: 40,
        min: 40,
        max: 40,
        rounds: 1,
        ratioToEnvoy: 0.4,
      },
    ])
  })
})

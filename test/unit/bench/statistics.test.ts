import { describe, expect, it } from 'vitest'
import { addedLatency, median, pairedRatio, rowsOf, type Sample } from '../../../bench/statistics.ts'

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

describe('added latency', () => {
  const latency = (subject: Sample['subject'], round: number, value: number): Sample => ({
    ...sample(subject, round, value),
    metric: 'p99',
  })

  it('is taken off what the machine gave without proxies in the same round', () => {
    const samples = [latency('direct', 1, 1), latency('direct', 2, 5), latency('weft', 1, 3), latency('weft', 2, 6)]
    expect(addedLatency(samples).map(({ subject, metric, value }) => [subject, metric, value])).toEqual([
      ['weft', 'added-p99', 2],
      ['weft', 'added-p99', 1],
    ])
  })

  it('is unknown in a round without direct, and is made of nothing but latencies', () => {
    expect(addedLatency([latency('direct', 1, 1), latency('weft', 2, 3), sample('weft', 1, 9)])).toEqual([])
  })

  it('of nothing or less, which noise can make of it, is no base of a ratio', () => {
    const added = (subject: Sample['subject'], round: number, value: number) =>
      ({ ...sample(subject, round, value), metric: 'added-p99' }) as const
    const samples = [added('envoy', 1, -0.1), added('envoy', 2, 2), added('weft', 1, 1), added('weft', 2, 1)]
    expect(pairedRatio(samples, 'added-p99', 'weft', 'envoy')).toBe(0.5)
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

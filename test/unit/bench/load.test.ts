import { describe, expect, it } from 'vitest'
import { parseFortio } from '../../../bench/load/fortio.ts'
import { parseH2load } from '../../../bench/load/h2load.ts'
import { parseSTime } from '../../../bench/load/s-time.ts'
import { parseWrk } from '../../../bench/load/wrk.ts'

const WRK = `Running 2s test @ http://127.0.0.1:41433/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    0.20ms   9.00ms   90.00%
  62000 requests in 2.00s, 15.00MB read
Requests/sec:  30990.55
Transfer/sec:      7.50MB
`

describe('what wrk reports', () => {
  it('is read as a count and a rate', () => {
    expect(parseWrk(WRK)).toEqual({ count: 62000, figures: { throughput: 30990.55 }, errors: undefined })
  })

  it('names non-2xx answers and socket errors, so that the round does not count', () => {
    const bad = WRK.replace(
      'Requests/sec',
      '  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\nRequests/sec',
    )
    expect(parseWrk(bad).errors).toBe(
      'Socket errors: connect 0, read 3, write 0, timeout 1; Non-2xx or 3xx responses: 7',
    )
  })

  it('counts a run without any answer as an error', () => {
    expect(parseWrk(WRK.replace('62000', '0')).errors).toBe('no request was answered')
  })

  it('is refused when it holds no figures', () => {
    expect(() => parseWrk('unable to connect')).toThrow('wrk reported no requests')
  })
})

const H2LOAD = `starting benchmark...
finished in 3.00s, 41021.33 req/s, 5.11MB/s
requests: 123064 total, 123128 started, 123064 done, 123064 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 123070 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 15.34MB (16088316) total
`

describe('what h2load reports', () => {
  it('is read as a count and a rate', () => {
    expect(parseH2load(H2LOAD)).toEqual({
      count: 123_064,
      figures: { throughput: 41_021.33 },
      errors: undefined,
    })
  })

  it('names failures and other answers than 2xx, so that the round does not count', () => {
    const bad = H2LOAD.replace('0 failed', '3 failed').replace('0 5xx', '7 5xx')
    expect(parseH2load(bad).errors).toBe('3 failed, 0 errored, 0 timeout; status codes: 0 3xx, 0 4xx, 7 5xx')
  })

  it('is refused when it holds no figures', () => {
    expect(() => parseH2load('Could not connect')).toThrow('h2load reported no requests')
  })
})

const fortioReport = (codes: Record<string, number>, rate = 999.9) =>
  JSON.stringify({
    RequestedQPS: '1000',
    ActualQPS: rate,
    RetCodes: codes,
    DurationHistogram: {
      Count: 6000,
      Percentiles: [
        { Percentile: 50, Value: 0.00025 },
        { Percentile: 99, Value: 0.001 },
        { Percentile: 99.9, Value: 0.004 },
      ],
    },
  })

describe('what fortio reports', () => {
  it('is read as percentiles in milliseconds', () => {
    expect(parseFortio(fortioReport({ 200: 6000 }))).toEqual({
      count: 6000,
      figures: { throughput: 999.9, p50: 0.25, p99: 1, 'p99.9': 4 },
      errors: undefined,
    })
  })

  it('does not count when there were other answers, or when the rate was another one', () => {
    expect(parseFortio(fortioReport({ 200: 5990, 503: 8, '-1': 2 })).errors).toBe(
      '8 answers of status 503; 2 answers of status -1',
    )
    expect(parseFortio(fortioReport({ 200: 6000 }, 700)).errors).toBe('700 requests/s in place of 1000')
  })
})

const sTime = (letters: string, bytes = 259) => `Collecting connection statistics for 2 seconds
${letters}

${letters.length} connections in 0.97s; ${letters.length / 0.97} connections/user sec, bytes read 1
${letters.length} connections in 2 real seconds, ${bytes} bytes read per connection
`

describe('what s_time reports', () => {
  it('is read as connections, and the share of them that were resumed', () => {
    expect(parseSTime(sTime('*rrr'))).toEqual({ count: 4, figures: { throughput: 2, resumed: 75 }, errors: undefined })
    expect(parseSTime(sTime('****')).figures.resumed).toBe(0)
  })

  it('does not count when connections ended without an answer: nobody knows whether they were let in', () => {
    expect(parseSTime(sTime('**', 0)).errors).toBe('connections ended without an answer')
  })

  it('is refused when it holds no figures', () => {
    expect(() => parseSTime('ERROR')).toThrow('s_time reported no connections')
  })
})

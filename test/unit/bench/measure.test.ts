import { describe, expect, it } from 'vitest'
import { parseCoreSeconds, parseCpuUs, parseH2load, parseSmaps, parseWrk } from '../../../bench/measure.ts'

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
    expect(parseWrk(WRK)).toEqual({ requests: 62000, requestsPerSecond: 30990.55, errors: undefined })
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
    expect(parseH2load(H2LOAD)).toEqual({ requests: 123_064, requestsPerSecond: 41_021.33, errors: undefined })
  })

  it('names failures and other answers than 2xx, so that the round does not count', () => {
    const bad = H2LOAD.replace('0 failed', '3 failed').replace('0 5xx', '7 5xx')
    expect(parseH2load(bad).errors).toBe('3 failed, 0 errored, 0 timeout; status codes: 0 3xx, 0 4xx, 7 5xx')
  })

  it('is refused when it holds no figures', () => {
    expect(() => parseH2load('Could not connect')).toThrow('h2load reported no requests')
  })
})

describe('what /proc says', () => {
  it('gives user and system time whatever the command is called', () => {
    const stat = '42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 100 1000 10'
    expect(parseCpuUs(stat, 100)).toBe(2_000_000)
  })

  it('tells how long a core was had by processes and by the hypervisor, idle time and interrupts left out', () => {
    const stat = 'cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 10 50 900 5 6 7 40 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\n'
    expect(parseCoreSeconds(stat, 0, 100)).toBe(2)
  })

  it('gives resident and private dirty memory in MiB', () => {
    const text = '55 [rollup]\nRss:           20480 kB\nPss:  1 kB\nPrivate_Clean:  4 kB\nPrivate_Dirty:   5120 kB\n'
    expect(parseSmaps(text)).toEqual({ rss: 20, privateDirty: 5 })
  })
})

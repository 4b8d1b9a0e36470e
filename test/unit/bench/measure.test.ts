import { describe, expect, it } from 'vitest'
import { parseCoreSeconds, parseCpuUs, parseSmaps } from '../../../bench/measure.ts'

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

import { expect, it } from 'vitest'
import { topFunctions } from '../../../bench/profile.ts'

it('lists functions by self time over all call sites, with idle time left out of the shares', () => {
  const frame = (id: number, functionName: string, url = '') => ({
    id,
    callFrame: { functionName, url, lineNumber: 9 },
  })
  const profile = {
    nodes: [
      frame(1, '(idle)'),
      frame(2, 'parse', 'file:///x/proxy.mjs'),
      frame(3, 'parse', 'file:///x/proxy.mjs'),
      frame(4, 'write'),
    ],
    samples: [1, 2, 3, 4],
    timeDeltas: [90_000, 4000, 2000, 2000],
  }
  expect(topFunctions(profile, 2)).toEqual([
    { name: 'parse proxy.mjs:10', selfMs: 6, share: 0.75 },
    { name: 'write', selfMs: 2, share: 0.25 },
  ])
})

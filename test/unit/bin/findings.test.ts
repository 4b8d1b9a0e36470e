import { describe, expect, it } from 'vitest'
import { onlyBehind, proxyFindings, type SeenProxy, xrayFinding } from '../../../bin/findings.ts'

const NOW = Date.UTC(2026, 10, 23)
const MINUTE = 60_000

function proxy(over: Partial<SeenProxy> = {}): SeenProxy {
  return {
    subject: { kind: 'virtual-node', mesh: 'shop', name: 'orders' },
    instance: 'one',
    state: 'ready',
    applied: 'r2',
    current: 'r2',
    rejected: null,
    certificateNotAfterMs: NOW + 3_600_000,
    lastSeenMs: NOW - 20 * MINUTE,
    lapsesAtMs: NOW + 30 * MINUTE,
    problems: [],
    warnings: [],
    ...over,
  }
}

const problem = (message: string, path = '') => ({ path, code: 'x', message })

describe('what is found of the proxies of a mesh', () => {
  it('is one line where all is well', () => {
    expect(proxyFindings('shop', [proxy(), proxy({ instance: 'two' })], NOW)).toEqual([
      { verdict: 'ok', subject: 'proxies of shop', text: '2 of 2 are in sync and certified' },
    ])
  })
  it('is a warning where nobody reported', () => {
    expect(proxyFindings('shop', [], NOW)).toMatchObject([{ verdict: 'warning' }])
  })
  it.each<[string, Partial<SeenProxy>, string]>([
    ['is behind', { applied: 'r1' }, 'it runs revision r1, not r2'],
    ['runs nothing yet', { applied: null }, 'it runs revision none, not r2'],
    [
      'refused what it should run',
      { applied: 'r1', rejected: { revision: 'r2', problems: [problem('EADDRINUSE', 'listeners[0]')] } },
      'it refused revision r2: listeners[0]: EADDRINUSE',
    ],
    [
      'has a node that does not compile',
      { current: null, problems: [problem('no such route')] },
      'do not compile: no such route',
    ],
    ['has no certificate', { certificateNotAfterMs: null }, 'no certificate'],
    ['has one that ended', { certificateNotAfterMs: NOW - 1 }, 'ends at 2026-11-22T23:59:59.999Z'],
    ['has one that nobody renews', { certificateNotAfterMs: NOW + 60_000 }, 'was not renewed'],
  ])('fails where one %s', (_what, over, text) => {
    const [summary, found] = proxyFindings('shop', [proxy({ instance: 'good' }), proxy(over)], NOW)
    expect(summary).toMatchObject({ verdict: 'failed', text: '1 of 2 are in sync and certified' })
    expect(found).toEqual({ verdict: 'failed', subject: 'orders (one)', text: expect.stringContaining(text) })
  })
  it('warns of one that is silent for longer than any that is well', () => {
    const silent = proxy({ lastSeenMs: NOW - 49 * MINUTE, lapsesAtMs: NOW + MINUTE })
    const [summary, found] = proxyFindings('shop', [proxy({ instance: 'good' }), silent], NOW)
    expect(summary).toMatchObject({ verdict: 'ok', text: '1 of 2 are in sync and certified' })
    const text = expect.stringContaining('it was last heard of 49 minutes ago')
    expect(found).toEqual({ verdict: 'warning', subject: 'orders (one)', text })
    // Just not noted at 20 minutes; the next call of one that listens comes twice 5 minutes and a fifth later.
    const rare = proxy({ lastSeenMs: NOW - 32 * MINUTE, lapsesAtMs: NOW + 18 * MINUTE })
    expect(proxyFindings('shop', [rare], NOW)).toMatchObject([{ verdict: 'ok' }])
    const slow = proxy({ lastSeenMs: NOW - 49 * MINUTE, lapsesAtMs: NOW + 600 * MINUTE })
    expect(proxyFindings('shop', [slow], NOW)).toHaveLength(1)
  })
  it('leaves alone who drains, who starts, and what was refused long ago', () => {
    const fine = [
      proxy({ state: 'draining', applied: 'r1' }),
      proxy({ state: 'starting', certificateNotAfterMs: null }),
      proxy({ rejected: { revision: 'r0', problems: [] } }),
    ]
    expect(proxyFindings('shop', fine, NOW).map(({ verdict }) => verdict)).toEqual(['ok'])
  })
  it('names the first of many problems, and passes warnings on as such', () => {
    const problems = Array.from({ length: 9 }, (_, i) => problem(`p${i}`))
    const [, failed] = proxyFindings('shop', [proxy({ current: null, problems })], NOW)
    expect(failed!.text).toMatch(/p0; p1; p2; and 6 more$/)
    const [, warning] = proxyFindings('shop', [proxy({ warnings: [problem('not applied')] })], NOW)
    expect(warning).toMatchObject({ verdict: 'warning', text: 'not applied' })
  })
  it('holds nothing that a terminal would obey, whatever a proxy says', () => {
    const rejected = { revision: 'r2', problems: [problem('\u001b[2J\rall is well', 'a\u009b0m')] }
    const found = proxyFindings('shop', [proxy({ instance: 'x\u0007', applied: 'r1', rejected })], NOW)
    expect(found[1]).toMatchObject({ subject: 'orders (x?)', text: expect.stringContaining('a?0m: ?[2J?all is well') })
  })

  it('may be mended by time alone where proxies are only behind', () => {
    expect(onlyBehind([proxy(), proxy({ applied: 'r1' })])).toBe(true)
    expect(onlyBehind([proxy()])).toBe(false)
    expect(onlyBehind([proxy({ applied: 'r1', rejected: { revision: 'r2', problems: [] } })])).toBe(false)
  })
})

describe('what is found of X-Ray', () => {
  it.each([
    [{ destination: 'CloudWatchLogs', status: 'ACTIVE' }, 'ok', 'ok'],
    [{ destination: 'CloudWatchLogs', status: 'PENDING' }, 'warning', 'warning'],
    [{ destination: 'XRay', status: 'ACTIVE' }, 'warning', 'failed'],
    [{ refused: '403 AccessDenied' }, 'skipped', 'failed'],
  ] as const)('%o is %s, and %s where traces go there', (answer, otherwise, needed) => {
    expect(xrayFinding(answer, 'eu-west-1', false).verdict).toBe(otherwise)
    expect(xrayFinding(answer, 'eu-west-1', true).verdict).toBe(needed)
  })
  it('says how to enable Transaction Search', () => {
    const { text } = xrayFinding({ destination: 'XRay', status: 'ACTIVE' }, 'eu-west-1', false)
    expect(text).toContain('update-trace-segment-destination --destination CloudWatchLogs --region eu-west-1')
  })
})

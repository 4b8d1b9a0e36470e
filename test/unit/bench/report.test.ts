import { describe, expect, it } from 'vitest'
import { bodyHttp1 } from '../../../bench/cases/body.ts'
import { h1Hop } from '../../../bench/cases/h1-hop.ts'
import { caseTable, keepOthers, readmeWith, resultsPage, toResults } from '../../../bench/report.ts'
import type { Sample } from '../../../bench/statistics.ts'

const facts = {
  machine: { cpu: 'Some CPU', cores: 2, memoryGb: 24, kernel: 'Linux 6.1', node: 'v24.1.0', wrk: 'wrk 4.1' },
  versions: { envoy: 'Envoy 1.40.0' },
  date: '2026-11-23 15:00 UTC',
  commit: 'abcdef0',
}
const sample = (subject: Sample['subject'], value: number): Sample => ({
  subject,
  metric: 'cpu-per-request',
  round: 1,
  value,
})
const measured = (weft: number) =>
  toResults(
    [{ case: h1Hop, samples: [sample('envoy', 100), sample('weft', weft)], notes: ['haproxy: not installed'] }],
    facts,
  )

describe('the table of a case', () => {
  it('says which bars are reached and which are missed', () => {
    expect(caseTable(h1Hop, measured(40))).toContain('must: CPU per request <= 0.5 x envoy: 0.40, reached')
    expect(caseTable(h1Hop, measured(60))).toContain('must: CPU per request <= 0.5 x envoy: 0.60, **missed**')
  })

  it('holds what is better when it is more to a least, and says so', () => {
    const bytes = (subject: Sample['subject'], value: number) =>
      ({ ...sample(subject, value), metric: 'bytes-per-cpu-second' }) as const
    const table = (weft: number) => {
      const samples = [bytes('envoy', 1000), bytes('weft', weft)]
      return caseTable(bodyHttp1, toResults([{ case: bodyHttp1, samples, notes: [] }], facts))
    }
    expect(table(900)).toContain('| bytes per CPU second, MiB, more is better |')
    expect(table(900)).toContain('must: bytes per CPU second >= 0.8 x envoy: 0.90, reached')
    expect(table(700)).toContain('must: bytes per CPU second >= 0.8 x envoy: 0.70, **missed**')
  })

  it('does not call a bar reached whose peer is missing, and says why it is missing', () => {
    const table = caseTable(h1Hop, measured(40))
    expect(table).toContain('moonshot: CPU per request <= 1.25 x haproxy: not measured')
    expect(table).toContain('note: haproxy: not installed')
  })
})

describe('the results page', () => {
  it('names the machine, the commit and what is switched on in every row', () => {
    const page = resultsPage([h1Hop], measured(40))
    expect(page).toContain('2 cores of Some CPU')
    expect(page).toContain('commit abcdef0')
    expect(page).toContain('`haproxy`: retries; no access log')
  })
})

describe('results of an earlier run', () => {
  const now = measured(40)
  const earlier = { ...now, cases: now.cases.map((row) => ({ ...row, case: 'memory' })), verdicts: [], notes: [] }

  it('are kept for cases that were not measured now', () => {
    expect(new Set(keepOthers(now, earlier).cases.map((row) => row.case))).toEqual(new Set(['memory', 'h1-hop']))
  })

  it('are dropped when they are of another commit', () => {
    expect(keepOthers(now, { ...earlier, commit: 'fedcba9' })).toEqual(now)
  })

  it('never live beside new ones of the same case', () => {
    expect(keepOthers(now, measured(60))).toEqual(now)
  })
})

describe('the section of the README', () => {
  it('is replaced between its markers and nowhere else', () => {
    const readme = 'before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n'
    const text = readmeWith(readme, [h1Hop], measured(40))
    expect(text).toMatch(/^before\n<!-- bench:start -->\n/)
    expect(text).toMatch(/\| h1-hop: CPU per request, us \| 40 \(0.40x\) +\| 100 \(1.00x\) +\|/)
    expect(text).not.toContain('old')
    expect(text.endsWith('<!-- bench:end -->\nafter\n')).toBe(true)
  })

  it('leaves a README without markers as it is', () => {
    expect(readmeWith('nothing here\n', [h1Hop], measured(40))).toBe('nothing here\n')
  })
})

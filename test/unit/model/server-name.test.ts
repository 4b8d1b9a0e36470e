import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ServerNames } from '../../../runtime/model/server-name.ts'

const PATTERNS = ['*.example', 'db.a.example', '*.a.example', 'a.example', '*.B.a.example', '*.test']
const table = (star: 'label' | 'labels') =>
  new ServerNames(
    PATTERNS.map((pattern) => [pattern, pattern] as const),
    star,
  )

describe('patterns of server names', () => {
  it('find the exact name first, then the longest wildcard of one or more labels', () => {
    const names = table('labels')
    const found = (name: string) => names.find(name)
    expect(found('db.a.example')).toBe('db.a.example')
    expect(found('x.a.example')).toBe('*.a.example')
    expect(found('x.y.a.example')).toBe('*.a.example')
    expect(found('x.b.a.example')).toBe('*.B.a.example')
    expect(found('b.a.example')).toBe('*.a.example')
    expect(found('x.c.example')).toBe('*.example')
    for (const name of ['example', '.example', 'test', 'xexample', 'elsewhere', '', '.', 'a.example.']) {
      expect(found(name)).toBe(undefined)
    }
  })

  it('take a wildcard of certificates for one label alone (RFC 9525, section 6.3)', () => {
    const names = table('label')
    expect(names.find('x.a.example')).toBe('*.a.example')
    expect(names.find('x.y.a.example')).toBe(undefined)
    expect(names.find('c.example')).toBe('*.example')
    expect(names.find('x.c.example')).toBe(undefined)
  })

  it('let the first of two equal ones count', () => {
    const names = new ServerNames(
      [
        ['a.test', 1],
        ['A.test', 2],
        ['*.test', 3],
        ['*.TEST', 4],
      ],
      'labels',
    )
    expect([names.find('a.test'), names.find('b.test')]).toEqual([1, 3])
  })

  it('agree with the rule in its plainest form', () => {
    const name = fc
      .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
      .map((labels) => labels.join('.'))
    const pattern = fc.tuple(fc.boolean(), name).map(([wild, rest]) => (wild ? `*.${rest}` : rest))
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 8 }), name, (patterns, asked) => {
        const fits = (one: string) => one === asked || (one.startsWith('*.') && asked.endsWith(one.slice(1)))
        const best = patterns
          .filter(fits)
          .sort((a, b) => Number(a.startsWith('*')) - Number(b.startsWith('*')) || b.length - a.length)
        const entries = patterns.map((one) => [one, one] as const)
        expect(new ServerNames(entries, 'labels').find(asked)).toBe(best[0])
      }),
    )
  })
})

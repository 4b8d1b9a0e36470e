import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Entry,
  type LeafRef,
  leafOf,
  listPrefix,
  rewrite,
  runsOf,
  sizeOf,
  treeKey,
} from '../../../runtime/adapters/dynamodb-tree.ts'
import { compareNames } from '../../../runtime/adapters/store-rules.ts'

const LEAF = 64 * 1024
const leaf = (first: string, size = LEAF): LeafRef => [first, ['id', 0, 1], size]
const names = fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 40,
})

function totalOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + sizeOf(entry), 0)
}

describe('the leaves of a DynamoDB store', () => {
  it('hold resources by kind, then parent, then name, so that each listing is one run', () => {
    const route = (parent: string, name: string) => treeKey({ kind: 'route', mesh: 'm', parent, name })
    const keys = [route('a', 'z'), route('a', 'ä'), route('a-b', 'a'), route('ab', 'a')]
    expect([...keys].sort(compareNames)).toEqual(keys)
    expect(keys.filter((key) => key.startsWith(listPrefix('route', 'a')))).toHaveLength(2)
    expect(treeKey({ kind: 'virtual-node', mesh: 'm', name: 'n' })).toBe(`${listPrefix('virtual-node', '')}n`)
  })

  it('are found by the last first key that is not behind the one looked for', () => {
    fc.assert(
      fc.property(names, fc.string({ unit: 'grapheme', maxLength: 3 }), (firsts, key) => {
        const index = firsts.toSorted(compareNames).map((first) => leaf(first))
        const expected = index.filter(([first]) => compareNames(first, key) <= 0).length - 1
        expect(leafOf(index, key)).toBe(Math.max(0, expected))
      }),
    )
  })

  it('are cut in key order, none larger than it should be by more than one resource', () => {
    const sizes = fc.dictionary(fc.string({ minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 2 * LEAF }))
    fc.assert(
      fc.property(
        sizes,
        fc.dictionary(fc.string({ minLength: 1, maxLength: 4 }), fc.option(fc.nat(LEAF))),
        (old, edits) => {
          const text = (size: number) => 'x'.repeat(size)
          const before = Object.entries(old).map(([key, size]) => [key, text(size)] as const)
          const changes = Object.entries(edits).map(([key, size]) => [key, size === null ? null : text(size)] as const)
          const leaves = rewrite(before, new Map(changes))
          const expected = new Map<string, string | null>([...before, ...changes])
          const kept = [...expected].filter(([, json]) => json !== null).sort(([a], [b]) => compareNames(a, b))
          expect(leaves.flat()).toEqual(kept)
          const largest = Math.max(0, ...kept.map(([key, json]) => sizeOf([key, json!])))
          for (const entries of leaves) {
            expect(entries.length).toBeGreaterThan(0)
            expect(totalOf(entries)).toBeLessThanOrEqual(LEAF + largest)
          }
        },
      ),
      { numRuns: 50 },
    )
  })

  it('are cut evenly, so that no crumb is left beside a full one', () => {
    const entries = Array.from({ length: 66 }, (_, n) => [`k${1000 + n}`, 'x'.repeat(1000)] as const)
    const sizes = rewrite(entries, new Map()).map(totalOf)
    expect(sizes).toHaveLength(2)
    expect(Math.min(...sizes)).toBeGreaterThan(LEAF / 3)
  })

  it('are rewritten in runs that hold every changed key and leave the others alone', () => {
    fc.assert(
      fc.property(names, names, (firsts, keys) => {
        const index = firsts.toSorted(compareNames).map((first) => leaf(first))
        const runs = runsOf(index, keys)
        const rewritten = new Set(runs.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, n) => from + n)))
        expect(rewritten).toEqual(new Set(keys.map((key) => leafOf(index, key))))
        for (const [n, run] of runs.entries()) expect(run.from).toBeGreaterThan(runs[n - 1]?.to ?? -1)
      }),
    )
  })

  it('take a neighbour in when they have become small, so that crumbs do not pile up', () => {
    const index = [leaf('a'), leaf('b', 10), leaf('c'), leaf('d', 10)]
    expect(runsOf(index, ['a'])).toEqual([{ from: 0, to: 1 }])
    expect(runsOf(index, ['b'])).toEqual([{ from: 1, to: 3 }])
    expect(runsOf(index, ['d'])).toEqual([{ from: 2, to: 4 }])
    expect(runsOf([leaf('a', 10)], ['b'])).toEqual([{ from: 0, to: 1 }])
    expect(runsOf([], ['b'])).toEqual([{ from: 0, to: 0 }])
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  isEnding,
  issuingRoot,
  MAX_LEAF_LIFETIME_MS,
  ROTATION_STEP_MS,
  trustedRoots,
} from '../../../runtime/ca/rotation.ts'

const STEP = ROTATION_STEP_MS
const ENDLESS = 1_000 * STEP

function root(name: string, addedAtMs: number, notAfterMs = ENDLESS) {
  return { name, addedAtMs, notBeforeMs: addedAtMs, notAfterMs }
}

function at(roots: readonly ReturnType<typeof root>[], nowMs: number) {
  const trusted = trustedRoots(roots, nowMs).map(({ name }) => name)
  return `${issuingRoot(roots, nowMs).name} signs, ${trusted.join('')} are trusted`
}

describe('the rotation of the roots', () => {
  it('trusts a new root first, then signs with it, then forgets the old one', () => {
    const roots = [root('a', 0), root('b', 10 * STEP)]
    expect(at(roots.slice(0, 1), 0)).toBe('a signs, a are trusted')
    expect(at(roots, 10 * STEP)).toBe('a signs, ab are trusted')
    expect(at(roots, 11 * STEP - 1)).toBe('a signs, ab are trusted')
    expect(at(roots, 11 * STEP)).toBe('b signs, ab are trusted')
    expect(at(roots, 12 * STEP - 1)).toBe('b signs, ab are trusted')
    expect(at(roots, 12 * STEP)).toBe('b signs, b are trusted')
  })

  it('does not wait when the old root has ended', () => {
    expect(at([root('a', 0, 9 * STEP), root('b', 10 * STEP)], 10 * STEP)).toBe('b signs, ab are trusted')
  })

  it('says so when all roots have ended', () => {
    expect(() => issuingRoot([root('a', 0, 5)], 6)).toThrow(/Every root of the mesh CA has ended/)
  })

  it('never refuses anybody: whoever holds a valid certificate trusts the root of every other valid certificate', () => {
    const gaps = fc.array(fc.integer({ min: STEP, max: 4 * STEP }), { maxLength: 4 })
    const age = fc.integer({ min: 0, max: MAX_LEAF_LIFETIME_MS })
    const share = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 0, max: 20 * STEP }), age, age, share, (between, nowMs, one, other, part) => {
        const added = [0]
        for (const gap of between) added.push(added.at(-1)! + gap)
        // Roots that came later nobody could know.
        const known = (thenMs: number) => added.filter((ms) => ms <= thenMs).map((ms) => root(`${ms}`, ms))
        const issuedMs = Math.max(nowMs - one, 0)
        // The bundle came with the certificate, or with any sync since.
        const toldMs = Math.floor(Math.max(nowMs - other * part, 0))
        const trusted = trustedRoots(known(toldMs), toldMs).map(({ name }) => name)
        expect(trusted).toContain(issuingRoot(known(issuedMs), issuedMs).name)
      }),
    )
  })

  it('is due when a fifth of the life of a root is left', () => {
    expect(isEnding({ addedAtMs: 0, notBeforeMs: 0, notAfterMs: 100 }, 80)).toBe(false)
    expect(isEnding({ addedAtMs: 0, notBeforeMs: 0, notAfterMs: 100 }, 81)).toBe(true)
  })
})

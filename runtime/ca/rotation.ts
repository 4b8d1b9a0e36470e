import { MeshError } from '../model/problem.ts'

/**
 * How the roots of a CA follow one another, told from the time each was added and nothing else: nobody keeps a phase, so
 * nothing can be left half done, and all control planes of a mesh come to the same answer.
 *
 *     added          + step             + 2 steps
 *     | old issues, both are trusted | new issues, both are trusted | new issues, new is trusted
 *
 * A step is longer than any certificate lives. With every certificate comes the trust bundle of that moment; so, a step after
 * a root was added, whoever holds a certificate that is still valid was told to trust that root, and, a step after a root
 * issued its last certificate, nobody shows one of it. It needs no report of any proxy.
 */

const DAY_MS = 86_400_000

/** No workload certificate lives longer (it is what a CA of AWS's short-lived mode gives at most, too). */
export const MAX_LEAF_LIFETIME_MS = 7 * DAY_MS

/** The longest life and an hour for clocks and calls that are under way. */
export const ROTATION_STEP_MS = MAX_LEAF_LIFETIME_MS + DAY_MS / 24

/** What decides a root's turn. Roots are always listed in the order in which they were added. */
export interface RootTimes {
  readonly addedAtMs: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/**
 * The root that signs now: the newest whose turn has come. The first root waits for nobody, and none waits for one that has
 * ended. Throws MeshError `unavailable` when all have ended.
 */
export function issuingRoot<R extends RootTimes>(roots: readonly R[], nowMs: number): R {
  const alive = roots.filter((root) => root.notAfterMs > nowMs)
  const [eldest] = alive
  if (eldest === undefined) {
    throw new MeshError('unavailable', 'Every root of the mesh CA has ended, and none has taken their place yet.')
  }
  return alive.findLast((root) => nowMs >= root.addedAtMs + ROTATION_STEP_MS) ?? eldest
}

/** The roots that proxies must trust now: the one that signs, those after it, and those whose last certificates may live. */
export function trustedRoots<R extends RootTimes>(roots: readonly R[], nowMs: number): readonly R[] {
  return roots.filter((_, position) => {
    const next = roots[position + 1]
    return next === undefined || nowMs < next.addedAtMs + 2 * ROTATION_STEP_MS
  })
}

/** Whether a root is so near its end that the next one should be added: a fifth of its life is left. */
export function isEnding({ notBeforeMs, notAfterMs }: RootTimes, nowMs: number): boolean {
  return notAfterMs - nowMs < (notAfterMs - notBeforeMs) / 5
}

import type { MatchShape } from '../route-match.ts'

/** A route as others may hide it. */
export interface Tried {
  readonly name: string
  /** Lower is tried first; undefined after all that have one. */
  readonly priority: number | undefined
  readonly match: MatchShape
}

/**
 * Which routes no request can ever reach, each in a sentence: an earlier one takes all that they match.
 *
 * Where a route covers another one of the same priority, the compiler's order (exact paths, regular expressions, prefixes,
 * of which the longer comes first, then the one with more conditions) tries the narrower first, but for two cases: a regular
 * expression that takes every path, which stands before all prefixes, and two routes that are the same.
 */
export function unreachable(routes: readonly Tried[]): string[] {
  return routes.flatMap((route) => {
    const hiding = routes.find((other) => other !== route && covers(other.match, route.match) && isBefore(other, route))
    if (hiding === undefined) return []
    return [
      `route ${route.name} can't be reached: ${hiding.name} is tried first and takes every request that it matches; ` +
        'remove one of them, narrow the match of the first, or change their priorities (the lower is tried first)',
    ]
  })
}

/** Given that the first covers the second. */
function isBefore(a: Tried, b: Tried): boolean {
  const byPriority = (a.priority ?? Number.POSITIVE_INFINITY) - (b.priority ?? Number.POSITIVE_INFINITY)
  if (a.priority !== b.priority) return byPriority < 0
  if (a.match.path.kind === 'regex' && b.match.path.kind === 'prefix') return true
  return covers(b.match, a.match) && a.match.path.kind === b.match.path.kind && a.name < b.name
}

function covers(a: MatchShape, b: MatchShape): boolean {
  return pathCovers(a.path, b.path) && a.conditions.every((condition) => b.conditions.includes(condition))
}

/** Of regular expressions only the plainest are understood; the others cover nothing but themselves. */
function pathCovers(a: MatchShape['path'], b: MatchShape['path']): boolean {
  if (a.kind === b.kind && a.value === b.value) return true
  if (a.kind === 'regex') return a.value === '.*' || a.value === '/.*'
  if (a.kind !== 'prefix') return false
  if (a.value === '/') return true
  return b.kind !== 'regex' && b.value.startsWith(a.value)
}

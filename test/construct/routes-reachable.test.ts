import fc from 'fast-check'
import { expect, it } from 'vitest'
import { HeaderMatch, RouteMatch } from '../../lib/index.ts'
import { type Tried, unreachable } from '../../lib/private/reachability.ts'
import { byMatchingOrder, httpMatch, NO_PRIORITY } from '../../runtime/compiler/matches.ts'
import { compileRoutes, type RequestView } from '../../runtime/model/match.ts'
import type { Route } from '../../runtime/model/snapshot.ts'

/** The constructs foretell what the compiler's order and the proxy's matcher do with routes. Both are asked here. */

const PATHS = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/b', '/ab']
const paths = fc.constantFrom(...PATHS)
const conditions = fc.record({
  method: fc.constantFrom(undefined, 'GET', 'POST'),
  headers: fc.constantFrom([], ['x'], ['x', 'y']),
})

const matches = fc.tuple(fc.constantFrom('prefix', 'path', 'regex'), paths, conditions).map(([kind, path, given]) => {
  const headers = given.headers.map((name) => HeaderMatch.present(name))
  const rest = { ...(given.method === undefined ? {} : { method: given.method }), headers }
  if (kind === 'prefix') return RouteMatch.prefix(path, rest)
  return kind === 'path' ? RouteMatch.path(path, rest) : RouteMatch.pathRegex(path === '/' ? '.*' : path, rest)
})

const tables = fc.array(fc.record({ match: matches, priority: fc.constantFrom(undefined, 0, 1, 1000) }), {
  minLength: 1,
  maxLength: 6,
})

/** Every request that these matches can tell apart. */
const REQUESTS: readonly RequestView[] = PATHS.flatMap((path) =>
  ['GET', 'POST', 'PUT'].flatMap((method) =>
    [[], ['x'], ['y'], ['x', 'y']].map((headers) => ({
      method,
      path,
      query: '',
      host: 'orders',
      scheme: 'http' as const,
      port: 80,
      header: (name: string) => (headers.includes(name) ? '1' : undefined),
    })),
  ),
)

it('says of no route that the proxy takes for some request that it cannot be reached', () => {
  fc.assert(
    fc.property(tables, (given) => {
      const tried = given.map(
        ({ match, priority }, index): Tried => ({ name: `r${index}`, priority, match: match._shape() }),
      )
      const compiled = given
        .map(({ match, priority = NO_PRIORITY }, index) => {
          const name = `r${index}`
          return { name, priority, match: httpMatch(match._http() as never) }
        })
        .sort(byMatchingOrder)
      const matcher = compileRoutes(compiled as unknown as Route[])
      const taken = new Set(REQUESTS.map((request) => matcher.match(request)?.name))
      const wrong = unreachable(tried).filter((message) => taken.has(/^route (\S+)/.exec(message)![1]!))
      expect(wrong).toEqual([])
    }),
    { numRuns: 500 },
  )
})

it.each<[string, Tried, Tried, boolean]>([
  ['a prefix before a longer one', at('/', 0), at('/a', 1), true],
  ['a prefix after a longer one of the same priority', at('/', undefined), at('/a', undefined), false],
  ['a prefix after a longer one of a higher priority', at('/', 2), at('/a', 1), false],
  ['a route without priority after one with', at('/a', undefined), at('/', 5), false],
  ['the same twice', at('/a', undefined, 'a'), at('/a', undefined, 'b'), true],
  ['a pattern for everything before any prefix', pattern('.*'), at('/a', undefined), true],
  ['a pattern for something before a prefix', pattern('/a.*'), at('/a', undefined), false],
])('%s', (_, first, second, isHidden) => {
  const hidden = unreachable([first, second]).filter((message) => message.startsWith(`route ${second.name} `))
  expect(hidden).toHaveLength(isHidden ? 1 : 0)
})

function at(prefix: string, priority: number | undefined, name = prefix): Tried {
  return { name, priority, match: RouteMatch.prefix(prefix)._shape() }
}

function pattern(regex: string): Tried {
  return { name: 'pattern', priority: undefined, match: RouteMatch.pathRegex(regex)._shape() }
}

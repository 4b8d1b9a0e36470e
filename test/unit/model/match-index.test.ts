import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileRoutes, type RequestView } from '../../../runtime/model/match.ts'
import type { Route, RouteMatch } from '../../../runtime/model/snapshot.ts'

const origin = { kind: 'route', name: 'router/r' } as const
const timeouts = { requestMs: 0, idleMs: 0, origin }

// Small alphabets, so that random routes and requests meet often.
const path = fc.string({ unit: fc.constantFrom('/', 'a', 'b'), maxLength: 5 }).map((tail) => `/${tail}`)
const value = fc.constantFrom('', '1', '2', 'x')
const name = fc.constantFrom('h', 'k')
const invert = fc.boolean()
const headerMatch: fc.Arbitrary<RouteMatch['headers'][number]> = fc.oneof(
  fc.record({ kind: fc.constant('present' as const), name, invert }),
  fc.record({ kind: fc.constantFrom('exact' as const, 'prefix' as const, 'suffix' as const), name, value, invert }),
  fc.record({ kind: fc.constant('regex' as const), name, value: fc.constantFrom('[0-9]', 'x*'), invert }),
  fc.record({ kind: fc.constant('range' as const), name, start: fc.constant(1), end: fc.constant(2), invert }),
)
const routeMatch: fc.Arbitrary<RouteMatch> = fc.record({
  path: fc.oneof(
    fc.record({ kind: fc.constantFrom('prefix' as const, 'exact' as const), value: path }),
    fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('/a.*', '/[ab]', '.*b/') }),
  ),
  method: fc.constantFrom(null, 'GET', 'POST'),
  scheme: fc.constantFrom(null, null, 'http' as const, 'https' as const),
  port: fc.constantFrom(null, null, 80),
  host: fc.constantFrom(null, null, { kind: 'suffix' as const, value: '.b' }, { kind: 'exact' as const, value: 'a.b' }),
  headers: fc.array(headerMatch, { maxLength: 2 }),
  serverNames: fc.constant([]),
  query: fc.array(fc.record({ name, exact: fc.constantFrom(null, '', '1') }), { maxLength: 1 }),
})
const routes: fc.Arbitrary<Route[]> = fc.array(routeMatch, { maxLength: 40 }).map((all) =>
  all.map((match, index) => ({
    name: `r${index}`,
    origin,
    match,
    action: { kind: 'forward', targets: [{ cluster: 'c', weight: 1 }], timeouts, retry: null },
  })),
)
const request: fc.Arbitrary<RequestView> = fc
  .record({
    method: fc.constantFrom('GET', 'POST'),
    path,
    query: fc.constantFrom('', 'h=1', 'k&h='),
    host: fc.constantFrom('a.b', 'c.b', 'b'),
    scheme: fc.constantFrom('http' as const, 'https' as const),
    port: fc.constantFrom(80, 81),
    headers: fc.dictionary(name, value),
  })
  .map(({ headers, ...view }) => ({ ...view, header: (key) => headers[key] }))

describe('the route index', () => {
  it('finds what trying one route after the other finds', () => {
    fc.assert(
      fc.property(routes, fc.array(request, { minLength: 5, maxLength: 5 }), (table, requests) => {
        const matcher = compileRoutes(table)
        for (const view of requests) {
          const oneByOne = table.find((route) => compileRoutes([route]).match(view) !== undefined)
          expect(matcher.match(view)?.name).toBe(oneByOne?.name)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('agrees with the explanation on every request', () => {
    fc.assert(
      fc.property(routes, request, (table, view) => {
        const matcher = compileRoutes(table)
        const verdicts = matcher.explain(view)
        const match = matcher.match(view)
        expect(verdicts.find((verdict) => verdict.matched)?.route).toBe(match?.name)
        const tried = match === undefined ? table : table.slice(0, table.indexOf(match) + 1)
        expect(verdicts.map((verdict) => verdict.route)).toEqual(tried.map((route) => route.name))
      }),
      { numRuns: 500 },
    )
  })
})

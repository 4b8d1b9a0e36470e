import { compileRegex } from './regex.ts'
import type { HeaderMatch, Route, RouteMatch } from './snapshot.ts'

/** The parts of a request that routes look at. Lazy on purpose: nothing is computed that no route asks for. */
export interface RequestView {
  /** Case-sensitive (RFC 9110, section 9.1). */
  readonly method: string
  /** Path without query. */
  readonly path: string
  /** Raw query without `?`; empty when there is none. */
  readonly query: string
  /** Host in lower case without port. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** The port that the downstream asked for. */
  readonly port: number
  /**
   * Value of a header by its lower-case name. Undefined when absent. Several lines are joined by `, `, since a sender may
   * write one list either way (RFC 9110, section 5.3), and matchers look at the whole, as App Mesh's did: Envoy up to 1.38
   * joined lines, too (by `,`). From 1.39 on (`match_headers_individually`) it tries each line by itself, so the same
   * routes on a recent Envoy take another turn where a client repeats a header that they match.
   */
  header(name: string): string | undefined
}

/** Why a route was taken or not, for `weft explain` and `weft test`. */
interface RouteVerdict {
  readonly route: string
  readonly matched: boolean
  /** The first condition that failed, in words. Names what the route wants, never what a header held: that may be secret. */
  readonly because: string
}

/** A route table made ready; immutable, so that exchanges in flight keep the one they began with. */
export interface RouteMatcher {
  /** The first route in list order that matches. */
  match(request: RequestView): Route | undefined
  /** Every route in list order, up to and including the first that matches. */
  explain(request: RequestView): readonly RouteVerdict[]
}

/** One thing that a route asks of a request. */
interface Condition {
  holds(request: RequestView): boolean
  /** What to say when it does not hold. */
  readonly otherwise: string
}

interface CompiledRoute {
  readonly route: Route
  /** Position in the table: the lowest that matches wins. */
  readonly index: number
  readonly conditions: readonly Condition[]
}

/** Up to this many routes, asking one after the other is quicker than any index. */
const SCAN_LIMIT = 8

/**
 * Makes a route table ready. All conditions of a route must hold, and the first route in list order wins.
 * @throws Error naming the route when one of its regular expressions is refused by {@link compileRegex}; the control
 * plane has checked them all, so a snapshot that throws here is to be rejected whole.
 */
export function compileRoutes(routes: readonly Route[]): RouteMatcher {
  const compiled = routes.map((route, index) => ({ route, index, conditions: conditionsOf(route) }))
  return {
    match: compiled.length <= SCAN_LIMIT ? scan(compiled) : indexed(compiled),
    explain: (request) => explain(compiled, request),
  }
}

// ---- from request to route ----------------------------------------------------------------------------------------

/** Undefined when the route matches. The one place where conditions are asked: `match` and `explain` cannot disagree. */
function firstFailure(route: CompiledRoute, request: RequestView): Condition | undefined {
  const { conditions } = route
  for (let i = 0; i < conditions.length; i++) {
    const condition = conditions[i]!
    if (!condition.holds(request)) return condition
  }
  return undefined
}

function explain(routes: readonly CompiledRoute[], request: RequestView): readonly RouteVerdict[] {
  const verdicts: RouteVerdict[] = []
  for (const compiled of routes) {
    const failure = firstFailure(compiled, request)
    const because = failure === undefined ? 'every condition holds' : failure.otherwise
    verdicts.push({ route: compiled.route.name, matched: failure === undefined, because })
    if (failure === undefined) break
  }
  return verdicts
}

/** The first match of a list, given that a route at position `best` is already known to match. */
function earlier(candidates: readonly CompiledRoute[], request: RequestView, best: CompiledRoute | undefined) {
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!
    if (best !== undefined && candidate.index > best.index) return best
    if (firstFailure(candidate, request) === undefined) return candidate
  }
  return best
}

function scan(routes: readonly CompiledRoute[]): RouteMatcher['match'] {
  return (request) => earlier(routes, request, undefined)?.route
}

/**
 * Looks only at routes whose path can match: those of exactly this path, those of each prefix that it begins with
 * (one map look-up for each length that a prefix in this table has), and, as far as they stand before what was found
 * so, those with a regular expression.
 */
function indexed(routes: readonly CompiledRoute[]): RouteMatcher['match'] {
  const exact = new Map<string, CompiledRoute[]>()
  const prefixes = new Map<string, CompiledRoute[]>()
  const regexes: CompiledRoute[] = []
  for (const compiled of routes) {
    const { path } = compiled.route.match
    if (path.kind === 'regex') {
      regexes.push(compiled)
      continue
    }
    const group = path.kind === 'exact' ? exact : prefixes
    const sharing = group.get(path.value)
    if (sharing === undefined) group.set(path.value, [compiled])
    else sharing.push(compiled)
  }
  const lengths = [...new Set([...prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b)
  return (request) => {
    const { path } = request
    const same = exact.get(path)
    let best = same === undefined ? undefined : earlier(same, request, undefined)
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!
      if (length > path.length) break
      const candidates = prefixes.get(path.slice(0, length))
      if (candidates !== undefined) best = earlier(candidates, request, best)
    }
    return earlier(regexes, request, best)?.route
  }
}

// ---- from route to conditions -------------------------------------------------------------------------------------

/** Cheap conditions first; the path leads because it tells routes apart best. */
function conditionsOf(route: Route): readonly Condition[] {
  const { path, method, scheme, port, host, headers, query } = route.match
  const conditions = [pathCondition(route.name, path)]
  const add = (otherwise: string, holds: Condition['holds']) => conditions.push({ holds, otherwise })
  if (method !== null) add(`the method is not ${method}`, (request) => request.method === method)
  if (scheme !== null) add(`the scheme is not ${scheme}`, (request) => request.scheme === scheme)
  if (port !== null) add(`the port is not ${port}`, (request) => request.port === port)
  if (host !== null) conditions.push(hostCondition(host))
  for (const header of headers) conditions.push(headerCondition(route.name, header))
  for (const parameter of query) conditions.push(queryCondition(parameter))
  return conditions
}

function pathCondition(routeName: string, path: RouteMatch['path']): Condition {
  const { value } = path
  switch (path.kind) {
    case 'prefix':
      return { holds: (request) => request.path.startsWith(value), otherwise: `the path does not start with ${value}` }
    case 'exact':
      return { holds: (request) => request.path === value, otherwise: `the path is not ${value}` }
    case 'regex': {
      const test = regexTest(routeName, value)
      return { holds: (request) => test(request.path), otherwise: `the path as a whole does not match ${value}` }
    }
  }
}

/** A suffix needs something before it, as Envoy's `*.example.com` does (VirtualHost.domains). */
function hostCondition(host: NonNullable<RouteMatch['host']>): Condition {
  const { kind, value } = host
  if (kind === 'exact') return { holds: (request) => request.host === value, otherwise: `the host is not ${value}` }
  return {
    holds: (request) => request.host.length > value.length && request.host.endsWith(value),
    otherwise: `the host does not end with ${value}`,
  }
}

/**
 * As Envoy's HeaderMatcher without `treat_missing_header_as_empty` (which App Mesh never set): a header that is absent
 * fails every matcher of its value, inverted or not; only an inverted `present` asks for absence.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto#config-route-v3-headermatcher
 */
function headerCondition(routeName: string, match: HeaderMatch): Condition {
  const { name, invert } = match
  if (match.kind === 'present') {
    const otherwise = `header ${name} is ${invert ? 'present' : 'absent'}`
    return { holds: (request) => (request.header(name) === undefined) === invert, otherwise }
  }
  const [wish, fits] = headerValueTest(routeName, match)
  return {
    holds: (request) => {
      const value = request.header(name)
      return value !== undefined && fits(value) !== invert
    },
    otherwise: `header ${name} is absent or ${invert ? 'does' : 'does not'} ${wish}`,
  }
}

/** What the header shall do, in words, and whether a value does it. */
function headerValueTest(
  routeName: string,
  match: Exclude<HeaderMatch, { kind: 'present' }>,
): readonly [string, (value: string) => boolean] {
  switch (match.kind) {
    case 'exact':
      return [`equal "${match.value}"`, (value) => value === match.value]
    case 'prefix':
      return [`start with "${match.value}"`, (value) => value.startsWith(match.value)]
    case 'suffix':
      return [`end with "${match.value}"`, (value) => value.endsWith(match.value)]
    case 'regex':
      return [`match ${match.value} as a whole`, regexTest(routeName, match.value)]
    case 'range': {
      const { start, end } = match
      const fits = (value: string) => {
        const number = /^[+-]?[0-9]{1,19}$/.test(value) ? Number(value) : Number.NaN
        return number >= start && number < end
      }
      return [`hold an integer from ${start} to below ${end}`, fits]
    }
  }
}

/**
 * Name and value are compared as they stand in the request: no percent-decoding and no `+` for a space, and of several
 * parameters of one name the first counts, because Envoy's router does so (`parseQueryString` in
 * source/common/router/config_impl.cc, and tried on Envoy 1.40). A parameter without `=` has an empty value.
 */
function queryCondition(parameter: RouteMatch['query'][number]): Condition {
  const { name, exact } = parameter
  if (exact === null) {
    const otherwise = `query parameter ${name} is absent`
    return { holds: (request) => queryValue(request.query, name) !== undefined, otherwise }
  }
  return {
    holds: (request) => queryValue(request.query, name) === exact,
    otherwise: `query parameter ${name} is absent or not "${exact}"`,
  }
}

function queryValue(query: string, name: string): string | undefined {
  let start = 0
  while (start < query.length) {
    const ampersand = query.indexOf('&', start)
    const end = ampersand === -1 ? query.length : ampersand
    if (query.startsWith(name, start)) {
      const after = start + name.length
      if (after === end) return ''
      if (after < end && query[after] === '=') return query.slice(after + 1, end)
    }
    start = end + 1
  }
  return undefined
}

function regexTest(routeName: string, pattern: string): (text: string) => boolean {
  const regex = compileRegex(pattern)
  if (!regex.ok) throw new Error(`Route ${routeName} cannot be used. ${regex.message}`)
  return regex.test
}

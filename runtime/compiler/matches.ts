import type { HttpGatewayRoute } from '../model/resource/gateway-route.ts'
import type { HeaderCondition, QueryCondition } from '../model/resource/match.ts'
import type { HttpRoute } from '../model/resource/route.ts'
import type { HeaderMatch, RouteMatch } from '../model/snapshot.ts'

/** App Mesh's match shapes in the proxy's words. */

/** Every request: what a TCP route and a virtual node as provider match. */
export const ANY: RouteMatch = {
  path: { kind: 'prefix', value: '/' },
  method: null,
  scheme: null,
  port: null,
  host: null,
  headers: [],
  serverNames: [],
  query: [],
}

export function httpMatch(match: HttpRoute['match'] | HttpGatewayRoute['match']): RouteMatch {
  return {
    ...ANY,
    path: httpPath(match),
    method: match.method ?? null,
    port: match.port ?? null,
    headers: (match.headers ?? []).map(headerMatch),
    query: (match.queryParameters ?? []).map(queryMatch),
  }
}

/** gRPC's path is `/<service>/<method>` (gRPC over HTTP/2, Requests); metadata are headers. */
export function grpcMatch(match: {
  readonly serviceName?: string | undefined
  readonly methodName?: string | undefined
  readonly metadata?: readonly HeaderCondition[] | undefined
  readonly port?: number | undefined
}): RouteMatch {
  const { serviceName, methodName } = match
  const prefix = serviceName === undefined ? '/' : `/${serviceName}/`
  return {
    ...ANY,
    path: methodName === undefined ? { kind: 'prefix', value: prefix } : { kind: 'exact', value: prefix + methodName },
    port: match.port ?? null,
    headers: (match.metadata ?? []).map(headerMatch),
  }
}

/**
 * The order in which routes are tried; the first that matches wins.
 * 1. Lower priority number first; a route without priority comes after all that have one.
 * 2. Exact paths, then regular expressions, then prefixes, of which the longer comes first (App Mesh: longest prefix
 *    wins). Regular expressions precede prefixes because a catch-all `/` would otherwise hide every one of them.
 * 3. More conditions on host, headers, query, method, scheme and port first.
 * 4. Name, so that the order never depends on the order of creation.
 */
export function byMatchingOrder(a: Ordered, b: Ordered): number {
  return (
    a.priority - b.priority ||
    PATH_RANK[a.match.path.kind] - PATH_RANK[b.match.path.kind] ||
    prefixLength(b.match) - prefixLength(a.match) ||
    conditions(b.match) - conditions(a.match) ||
    (a.name < b.name ? -1 : 1)
  )
}

/** A route on its way into a table. Priority: {@link NO_PRIORITY} when the user gave none. */
interface Ordered {
  readonly name: string
  readonly priority: number
  readonly match: RouteMatch
}

/** After 1000, the largest priority of App Mesh. */
export const NO_PRIORITY = 1001

const PATH_RANK = { exact: 0, regex: 1, prefix: 2 } as const

function prefixLength({ path }: RouteMatch): number {
  return path.kind === 'prefix' ? path.value.length : 0
}

function conditions({ method, scheme, port, host, headers, query }: RouteMatch): number {
  return [method, scheme, port, host].filter((part) => part !== null).length + headers.length + query.length
}

function httpPath({ prefix, path }: HttpRoute['match']): RouteMatch['path'] {
  if (path?.exact !== undefined) return { kind: 'exact', value: path.exact }
  if (path?.regex !== undefined) return { kind: 'regex', value: path.regex }
  return { kind: 'prefix', value: prefix ?? '/' }
}

function headerMatch({ name: given, match, invert = false }: HeaderCondition): HeaderMatch {
  const name = given.toLowerCase()
  if (match?.exact !== undefined) return { kind: 'exact', name, value: match.exact, invert }
  if (match?.prefix !== undefined) return { kind: 'prefix', name, value: match.prefix, invert }
  if (match?.suffix !== undefined) return { kind: 'suffix', name, value: match.suffix, invert }
  if (match?.regex !== undefined) return { kind: 'regex', name, value: match.regex, invert }
  if (match?.range !== undefined) return { kind: 'range', name, ...match.range, invert }
  return { kind: 'present', name, invert }
}

function queryMatch({ name, match }: QueryCondition): RouteMatch['query'][number] {
  return { name, exact: match?.exact ?? null }
}

import type { Route } from './snapshot.ts'

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
  /** Value of a header by its lower-case name; several lines joined by `, `. Undefined when absent. */
  header(name: string): string | undefined
}

/** Why a route was taken or not, for `weft explain` and `weft test`. */
export interface RouteVerdict {
  readonly route: string
  readonly matched: boolean
  /** One phrase for a person: the first condition that failed, or that all held. */
  readonly because: string
}

/** A route table made ready; immutable, so that exchanges in flight keep the one they began with. */
export interface RouteMatcher {
  /** The first route in list order that matches. */
  match(request: RequestView): Route | undefined
  /** Every route that {@link match} would try without an index, in order, up to and including the first that matches. */
  explain(request: RequestView): readonly RouteVerdict[]
}

export function compileRoutes(routes: readonly Route[]): RouteMatcher {
  return { match: () => routes[0], explain: () => [] }
}

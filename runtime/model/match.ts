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

/** What is wrong with an input: where, which rule, and what to do. Reported all at once, never thrown (design, section 6). */
export interface Problem {
  /** JSON path inside the input, such as `spec.listeners[0].portMapping.port`; empty for the input as a whole. */
  readonly path: string
  /** Stable, machine-readable rule name in kebab-case, such as `out-of-range`. */
  readonly code: string
  /** One sentence for a person: what was given, what is allowed, what to do next. */
  readonly message: string
}

/** A value or everything that is wrong with it. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** The codes of an operation that did not succeed; `runtime/http/errors.ts` holds their one mapping to HTTP. */
export type MeshErrorCode =
  | 'invalid'
  | 'not-found'
  | 'conflict'
  | 'in-use'
  | 'limit-exceeded'
  | 'too-many-tags'
  | 'unauthenticated'
  | 'forbidden'
  | 'throttled'
  | 'unavailable'

/** What an error may tell beside its code and message. */
interface Details {
  readonly cause?: unknown
  readonly problems?: readonly Problem[]
  readonly retryAfterS?: number
}

/** The error of use cases and adapters. `problems` is filled for `invalid`. */
export class MeshError extends Error {
  override readonly name = 'MeshError'
  readonly code: MeshErrorCode
  readonly problems: readonly Problem[]
  /** Of `throttled` and `unavailable`: seconds after which another try may do better. */
  readonly retryAfterS: number

  constructor(code: MeshErrorCode, message: string, { cause, problems = [], retryAfterS = 1 }: Details = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.problems = problems
    this.retryAfterS = retryAfterS
  }
}

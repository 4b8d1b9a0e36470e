import * as v from 'valibot'
import { compileRegex } from '../regex.ts'
import { object } from './object.ts'
import { exactlyOne, rule } from './rule.ts'
import { integer, list, text } from './values.ts'

/** What routes and gateway routes look at in a request. */

/** RE2 syntax, as App Mesh has it through Envoy. */
const regex = v.pipe(
  text(1, 255),
  v.check(
    (pattern) => compileRegex(pattern).ok,
    (issue) => {
      const compiled = compileRegex(issue.input)
      return compiled.ok ? '' : compiled.message
    },
  ),
)

/** What a request target may hold before its query (RFC 9112, section 3.2): a space or a line break could forge a request. */
function path(max: number) {
  return v.pipe(
    text(1, max),
    v.regex(
      /^\/[!-~]*$/,
      'A path starts with "/" and has visible ASCII characters only; put "/" before it, or percent-encode the rest.',
    ),
    v.check((value) => !/[?#]/.test(value), 'A path ends before "?" and "#"; use queryParameters for the query.'),
  )
}

export const pathPrefix = path(1024)
export const rewritePath = path(255)

/** A field name of RFC 9110 section 5.1. Pseudo headers such as `:authority` have members of their own: path, method, hostname. */
const headerName = v.pipe(
  text(1, 50),
  v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "A header name has letters, digits and !#$%&'*+-.^_`|~ only; correct it."),
)

const int64 = integer(Number.MIN_SAFE_INTEGER)
/** Integers from `start` up to but not including `end`. */
const range = v.pipe(
  object({ end: int64, start: int64 }),
  rule('empty-range', ['start', 'end'], ({ start, end }: { start: number; end: number }) =>
    start < end
      ? []
      : [{ message: `start (${start}) must be less than end (${end}), which is not included; swap them.` }],
  ),
)

const headerMethod = v.pipe(
  object({
    exact: v.optional(text(1, 255)),
    prefix: v.optional(text(1, 255)),
    range: v.optional(range),
    regex: v.optional(regex),
    suffix: v.optional(text(1, 255)),
  }),
  exactlyOne('exact', 'prefix', 'range', 'regex', 'suffix'),
)

/** A header (in gRPC: metadata) condition; without `match` the header must be there (with `invert`: must not). */
const HeaderConditionSchema = object({
  invert: v.optional(v.boolean()),
  match: v.optional(headerMethod),
  name: headerName,
})
export const headerConditions = list(HeaderConditionSchema, 1, 10)

export const PathMatchSchema = v.pipe(
  object({ exact: v.optional(rewritePath), regex: v.optional(regex) }),
  exactlyOne('exact', 'regex'),
)

export const queryConditions = list(
  object({
    /** Without `exact` the parameter must be there. */
    match: v.optional(object({ exact: v.optional(text(0)) })),
    name: text(),
  }),
  1,
  10,
)

export const method = v.picklist(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])
export const scheme = v.picklist(['http', 'https'])

export type HeaderCondition = v.InferOutput<typeof HeaderConditionSchema>
export type QueryCondition = v.InferOutput<typeof queryConditions>[number]

/** gRPC: a method only makes sense inside a service (App Mesh API, GrpcRouteMatch). */
export const methodNeedsService = <T extends { methodName?: string | undefined; serviceName?: string | undefined }>() =>
  rule<T>('missing-service-name', ['methodName', 'serviceName'], ({ methodName, serviceName }) =>
    methodName !== undefined && serviceName === undefined
      ? [
          {
            path: ['methodName'],
            message: 'methodName needs serviceName beside it; add the full name of the gRPC service.',
          },
        ]
      : [],
  )

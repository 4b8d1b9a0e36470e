import { MeshError, type MeshErrorCode, type Problem } from '../model/problem.ts'

/**
 * The one table from error codes to HTTP: the status, and the exception name that App Mesh SDKs expect in
 * `x-amzn-errortype` (statuses as in the App Mesh model; it knows no 401, so AWS's common error stands in).
 */
export const HTTP_ERRORS = {
  invalid: { status: 400, exception: 'BadRequestException' },
  'not-found': { status: 404, exception: 'NotFoundException' },
  conflict: { status: 409, exception: 'ConflictException' },
  'in-use': { status: 409, exception: 'ResourceInUseException' },
  'limit-exceeded': { status: 400, exception: 'LimitExceededException' },
  'too-many-tags': { status: 400, exception: 'TooManyTagsException' },
  unauthenticated: { status: 401, exception: 'UnrecognizedClientException' },
  forbidden: { status: 403, exception: 'ForbiddenException' },
  throttled: { status: 429, exception: 'TooManyRequestsException' },
  unavailable: { status: 503, exception: 'ServiceUnavailableException' },
} as const satisfies Readonly<Record<MeshErrorCode, { status: number; exception: string }>>

export const INTERNAL = { status: 500, exception: 'InternalServerErrorException' } as const
const METHOD_NOT_ALLOWED = { status: 405, exception: 'BadRequestException' } as const

/** Something went wrong in a way that has no MeshError: written down with the request id that the client got. */
export type ReportError = (error: unknown, requestId: string) => void

/** A known path was asked with a method that it does not have. */
export class MethodNotAllowed extends Error {
  override readonly name = 'MethodNotAllowed'
  readonly allowed: readonly string[]

  constructor(method: string, path: string, allowed: readonly string[]) {
    super(`${path} does not take ${method}; it takes ${allowed.join(', ')}`)
    this.allowed = allowed
  }
}

interface Answer {
  readonly status: number
  readonly exception: string
  readonly code: string
  readonly message: string
  readonly problems: readonly Problem[]
  readonly headers: Readonly<Record<string, string>>
}

function answerOf(error: unknown, requestId: string, report: ReportError): Answer {
  if (error instanceof MethodNotAllowed) {
    const headers = { allow: error.allowed.join(', ') }
    return { ...METHOD_NOT_ALLOWED, code: 'method-not-allowed', message: error.message, problems: [], headers }
  }
  if (error instanceof MeshError) {
    // Bearer is the one scheme there is (RFC 9110, section 11.6.1 asks for a challenge with every 401).
    const headers: Record<string, string> = error.code === 'unauthenticated' ? { 'www-authenticate': 'Bearer' } : {}
    if (error.code === 'unavailable' || error.code === 'throttled') headers['retry-after'] = String(error.retryAfterS)
    const { code, message, problems } = error
    return { ...HTTP_ERRORS[code], code, message, problems, headers }
  }
  report(error, requestId)
  // The cause stays inside: a stack trace tells a stranger more than it helps them.
  const message = `internal error; the control plane's log has the cause under request ${requestId}`
  return { ...INTERNAL, code: 'internal', message, problems: [], headers: {} }
}

/** Every problem on a line of its own, path first; not again what the message says already. */
function listProblems(message: string, problems: readonly Problem[]): string {
  const others = problems.filter((problem) => problem.message !== message)
  return [message, ...others.map((p) => (p.path === '' ? p.message : `${p.path}: ${p.message}`))].join('\n')
}

/** An error as App Mesh clients read it: `{message}` and the exception name in a header; `problems` is Weft's addition. */
export function appMeshError(error: unknown, requestId: string, report: ReportError): Response {
  const { status, exception, message, problems, headers } = answerOf(error, requestId, report)
  const body = problems.length === 0 ? { message } : { message: listProblems(message, problems), problems }
  return Response.json(body, { status, headers: { ...headers, 'x-amzn-errortype': exception } })
}

/** An error as problem details (RFC 9457), for Weft's own routes. */
export function problemJson(error: unknown, requestId: string, report: ReportError): Response {
  const { status, code, message, problems, headers } = answerOf(error, requestId, report)
  const body = { type: `urn:weft:error:${code}`, title: code, status, detail: message, requestId, problems }
  return Response.json(body, { status, headers: { ...headers, 'content-type': 'application/problem+json' } })
}

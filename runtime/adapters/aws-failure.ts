import { MeshError } from '../model/problem.ts'

/**
 * What AWS services call it when they are asked too much (those of the JSON, query and REST protocols alike). Not
 * LimitExceededException: a quota of KMS and ACM PCA that is used up stays so until somebody does something about it.
 */
const THROTTLING: ReadonlySet<string> = new Set([
  'PriorRequestNotComplete',
  'RequestLimitExceeded',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
])

/** Whether AWS was too busy for a call, so that the same one may succeed later. */
export function isThrottled(error: unknown): boolean {
  return THROTTLING.has((error as Error).name)
}

/**
 * What went wrong with a call, in the words of the ports: `throttled`, or `unavailable` with what to look at.
 * @param doing what was tried and with which resource, such as `sign with the KMS key arn:…`
 * @param hints what to do about errors of these names
 */
export function awsFailure(error: unknown, doing: string, hints: Readonly<Record<string, string>> = {}): MeshError {
  if (error instanceof MeshError) return error
  const { name, message } = error as Error
  // The SDK's errors carry the request with its credentials, which must not reach a log.
  const cause = Object.assign(new Error(message), { name })
  if (isThrottled(error)) {
    return new MeshError('throttled', `AWS refuses to ${doing} for now (${name}); try again later.`, { cause })
  }
  const hint = hints[name] === undefined ? '' : ` ${hints[name]}`
  return new MeshError('unavailable', `The control plane can't ${doing}: ${name}: ${message}.${hint}`, { cause })
}

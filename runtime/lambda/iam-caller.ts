import type { IamCaller } from '../ports.ts'

/** What the front ends tell of a caller whose signature they checked; what is written there can't come from the caller. */
interface RequestContext {
  /** Only in events of payload version 2.0: Function URLs. */
  readonly http?: unknown
  readonly authorizer?: { readonly iam?: Shown | null } | null
  /** REST and WebSocket APIs of API Gateway. */
  readonly identity?: Shown | null
}

interface Shown {
  readonly accountId?: string | null
  readonly userArn?: string | null
}

/**
 * The IAM caller of an event (Lambda Developer Guide, Function URLs, request payload; API Gateway Developer Guide,
 * `$context.identity`). Undefined where the endpoint asks for no IAM credentials.
 */
export function iamCallerOf(requestContext: RequestContext | undefined): IamCaller | undefined {
  const shown = requestContext?.http === undefined ? requestContext?.identity : requestContext.authorizer?.iam
  const { accountId, userArn: arn } = shown ?? {}
  return accountId && arn ? { accountId, arn } : undefined
}

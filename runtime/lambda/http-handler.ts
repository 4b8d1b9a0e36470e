import { randomUUID } from 'node:crypto'
import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context, LambdaFunctionURLEvent } from 'aws-lambda'
import type { Hono, Context as HonoContext } from 'hono'
import { handle } from 'hono/aws-lambda'
import type { ArnOwner } from '../http/arn.ts'
import type { ReportError } from '../http/errors.ts'
import type { IamCaller } from '../ports.ts'
import { ownerOf } from './function-owner.ts'
import { iamCallerOf } from './iam-caller.ts'
import { errorFields, log } from './log.ts'

/** A request as a Function URL (payload 2.0) or a REST API (1.0) hands it over. */
export type HttpEvent = LambdaFunctionURLEvent | APIGatewayProxyEvent

export type HttpHandler = (
  event: HttpEvent,
  context: Pick<Context, 'invokedFunctionArn'>,
) => Promise<APIGatewayProxyResult>

/** Lambda quotas, synchronous payload: 6 MB, of which the envelope takes little. */
const MAX_ANSWER_BYTES = 6 * 1024 * 1024 - 4096
/** A character takes at most 6 bytes in JSON (`\u0001`): an answer this short fits without a closer look. */
const SURELY_FITS = MAX_ANSWER_BYTES / 6

/** Serves an app on Lambda. It is made with the first request, for only that tells whose function this is. */
// biome-ignore lint/suspicious/noExplicitAny: apps differ in their variables, which are their own affair.
export function httpHandler(open: (owner: ArnOwner) => Hono<any>): HttpHandler {
  let serve: ReturnType<typeof handle> | undefined
  return async (event, { invokedFunctionArn }) => {
    serve ??= handle(open(ownerOf(invokedFunctionArn)))
    return bounded((await serve(event as never)) as APIGatewayProxyResult, event)
  }
}

/** Whom IAM says that a request is from. */
export function callerOf(c: HonoContext): IamCaller | undefined {
  return iamCallerOf((c.env as { requestContext?: Parameters<typeof iamCallerOf>[0] }).requestContext)
}

export const report: ReportError = (error, requestId) =>
  log('error', 'request failed', { requestId, ...errorFields(error) })

/** Lambda would answer 502 without a word for what it can't carry. */
function bounded(result: APIGatewayProxyResult, event: HttpEvent): APIGatewayProxyResult {
  const { body } = result
  if (body.length <= SURELY_FITS || Buffer.byteLength(JSON.stringify(body)) <= MAX_ANSWER_BYTES) return result
  const path = 'rawPath' in event ? event.rawPath : event.path
  const requestId = randomUUID()
  log('error', 'answer too large', { requestId, path, characters: body.length })
  const detail = 'the answer is over 6 MB, which Lambda does not carry; ask for less at once (limit, a narrower path)'
  const isAppMesh = path.startsWith('/v20190125/')
  const headers = isAppMesh
    ? { 'content-type': 'application/json', 'x-amzn-errortype': 'InternalServerErrorException' }
    : { 'content-type': 'application/problem+json' }
  const problem = {
    type: 'urn:weft:error:answer-too-large',
    title: 'answer-too-large',
    status: 500,
    detail,
    requestId,
    problems: [],
  }
  return {
    statusCode: 500,
    headers: { ...headers, 'x-amzn-requestid': requestId },
    body: JSON.stringify(isAppMesh ? { message: detail } : problem),
    isBase64Encoded: false,
  }
}

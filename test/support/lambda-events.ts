import { randomUUID } from 'node:crypto'
import type {
  APIGatewayProxyEvent,
  CloudFormationCustomResourceEvent,
  Context,
  LambdaFunctionURLEvent,
  LambdaFunctionURLEventWithIAMAuthorizer,
} from 'aws-lambda'

/** Events as AWS's guides show them, and what the runtime of a function gives along. */

export const ACCOUNT = '111122223333'
const FUNCTION_ARN = `arn:aws:lambda:us-east-1:${ACCOUNT}:function:weft`

/** What a function is called with: the time that is left is of one's choice. */
export function lambdaContext(leftMs = 60_000): Pick<Context, 'getRemainingTimeInMillis' | 'invokedFunctionArn'> {
  const end = performance.now() + leftMs
  return { invokedFunctionArn: FUNCTION_ARN, getRemainingTimeInMillis: () => end - performance.now() }
}

export interface HttpCall {
  readonly method: string
  /** With the query string. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** As IAM found the caller; null where the endpoint asks for no credentials. */
  readonly userArn?: string | null
}

/** Lambda Developer Guide, "Invoking Lambda function URLs", request payload format. */
export function functionUrlEvent({
  method,
  path,
  headers = {},
  body,
  userArn = ADMIN,
}: HttpCall): LambdaFunctionURLEvent {
  const [rawPath = '/', rawQueryString = ''] = path.split('?')
  const domainName = 'abcdefghij.lambda-url.us-east-1.on.aws'
  const iam = {
    accessKey: 'ASIA',
    accountId: ACCOUNT,
    callerId: 'AROA:x',
    cognitoIdentity: null,
    principalOrgId: 'o-1',
    userArn: userArn ?? '',
    userId: 'AROA:x',
  }
  const event: LambdaFunctionURLEventWithIAMAuthorizer = {
    version: '2.0',
    routeKey: '$default',
    rawPath,
    rawQueryString,
    headers: { host: domainName, 'x-forwarded-proto': 'https', ...headers },
    requestContext: {
      accountId: ACCOUNT,
      apiId: 'abcdefghij',
      authorizer: { iam },
      domainName,
      domainPrefix: 'abcdefghij',
      http: { method, path: rawPath, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: 'test' },
      requestId: randomUUID(),
      routeKey: '$default',
      stage: '$default',
      time: '23/Nov/2026:18:00:00 +0000',
      timeEpoch: 1_795_456_800_000,
    },
    ...(body === undefined ? {} : { body: Buffer.from(body).toString('base64') }),
    isBase64Encoded: body !== undefined,
  }
  if (userArn !== null) return event
  const { authorizer: _, ...anonymous } = event.requestContext
  return { ...event, requestContext: anonymous } as LambdaFunctionURLEvent
}

/** API Gateway Developer Guide, "Input format of a Lambda function for proxy integration". */
export function restApiEvent({ method, path, headers = {}, body, userArn = ADMIN }: HttpCall): APIGatewayProxyEvent {
  const [pathOnly = '/', query = ''] = path.split('?')
  const parameters = [...new URLSearchParams(query)]
  const all = { host: 'abc123-vpce-0a1b.execute-api.us-east-1.amazonaws.com', ...headers }
  return {
    resource: '/{proxy+}',
    path: pathOnly,
    httpMethod: method,
    headers: all,
    multiValueHeaders: Object.fromEntries(Object.entries(all).map(([name, value]) => [name, [value]])),
    queryStringParameters: parameters.length === 0 ? null : Object.fromEntries(parameters),
    multiValueQueryStringParameters:
      parameters.length === 0 ? null : Object.fromEntries(parameters.map(([name, value]) => [name, [value]])),
    pathParameters: { proxy: pathOnly.slice(1) },
    stageVariables: null,
    requestContext: {
      accountId: ACCOUNT,
      apiId: 'abc123',
      authorizer: undefined,
      httpMethod: method,
      identity: { accountId: userArn === null ? null : ACCOUNT, userArn, sourceIp: '10.0.0.7' },
      path: `/weft${pathOnly}`,
      protocol: 'HTTP/1.1',
      requestId: randomUUID(),
      requestTimeEpoch: 1_795_456_800_000,
      resourceId: 'r',
      resourcePath: '/{proxy+}',
      stage: 'weft',
    } as APIGatewayProxyEvent['requestContext'],
    body: body ?? null,
    isBase64Encoded: false,
  }
}

export const ADMIN = `arn:aws:sts::${ACCOUNT}:assumed-role/admins/ann`
export const ORDERS_TASK = `arn:aws:sts::${ACCOUNT}:assumed-role/orders-task/3f6d2a`

export interface CloudFormationCall {
  readonly type: string
  readonly properties: Readonly<Record<string, unknown>>
  readonly stack?: string
  readonly logicalId?: string
  readonly requestId?: string
}

/** CloudFormation User Guide, "Custom resource request objects"; `url` is where the answer goes. */
export function cloudFormationEvent(
  url: string,
  call: CloudFormationCall,
  step:
    | { readonly request: 'Create' }
    | { readonly request: 'Update'; readonly physicalId: string; readonly old: Readonly<Record<string, unknown>> }
    | { readonly request: 'Delete'; readonly physicalId: string },
): CloudFormationCustomResourceEvent {
  const { type, properties, stack = 'shop', logicalId = 'Resource', requestId = randomUUID() } = call
  const common = {
    ServiceToken: FUNCTION_ARN,
    ResponseURL: url,
    StackId: `arn:aws:cloudformation:us-east-1:${ACCOUNT}:stack/${stack}/51af3dc0-da77-11e4-872e-1234567db123`,
    RequestId: requestId,
    LogicalResourceId: logicalId,
    ResourceType: type,
    ResourceProperties: { ServiceToken: FUNCTION_ARN, ...properties },
  }
  if (step.request === 'Create') return { ...common, RequestType: 'Create' }
  if (step.request === 'Delete') return { ...common, RequestType: 'Delete', PhysicalResourceId: step.physicalId }
  return {
    ...common,
    RequestType: 'Update',
    PhysicalResourceId: step.physicalId,
    OldResourceProperties: { ServiceToken: FUNCTION_ARN, ...step.old },
  }
}

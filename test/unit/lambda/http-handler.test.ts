import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { callerOf, httpHandler } from '../../../runtime/lambda/http-handler.ts'
import { iamCallerOf } from '../../../runtime/lambda/iam-caller.ts'
import { ACCOUNT, ADMIN, functionUrlEvent, lambdaContext, restApiEvent } from '../../support/lambda-events.ts'

const SIX_MB = 6 * 1024 * 1024

describe('an answer on Lambda', () => {
  const sizes = new Hono()
  sizes.get('*', (c) => c.text(c.req.query('char')!.repeat(Number(c.req.query('n')))))
  const handler = httpHandler(() => sizes)

  it('of nearly 6 MB goes out whole', async () => {
    const n = SIX_MB - 8192
    const { statusCode, body } = await handler(
      functionUrlEvent({ method: 'GET', path: `/?char=a&n=${n}` }),
      lambdaContext(),
    )
    expect([statusCode, body.length]).toEqual([200, n])
  })

  it.each([
    ['a', SIX_MB],
    // Escaped in Lambda's JSON: two bytes each.
    ['%22', SIX_MB / 2],
    ['%C3%A9', SIX_MB / 2],
  ])('that is larger as Lambda counts, of "%s", becomes an error that says so', async (char, n) => {
    const event = functionUrlEvent({ method: 'GET', path: `/v1/x?char=${char}&n=${n}` })
    const { statusCode, body, headers } = await handler(event, lambdaContext())
    expect(statusCode).toBe(500)
    expect(headers?.['content-type']).toBe('application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ title: 'answer-too-large', detail: expect.stringContaining('6 MB') })
  })

  it('that is too large speaks the dialect of its path', async () => {
    const event = restApiEvent({ method: 'GET', path: `/v20190125/x?char=a&n=${SIX_MB}` })
    const { body, headers } = await handler(event, lambdaContext())
    expect(headers?.['x-amzn-errortype']).toBe('InternalServerErrorException')
    expect(JSON.parse(body).message).toContain('6 MB')
  })
})

describe('a caller', () => {
  const app = new Hono()
  app.all('*', (c) => c.json(callerOf(c) ?? null))
  const handler = httpHandler(() => app)
  const seen = async (event: Parameters<typeof handler>[0]) => JSON.parse((await handler(event, lambdaContext())).body)

  it.each([
    ['a Function URL', functionUrlEvent],
    ['a REST API', restApiEvent],
  ] as const)('is who IAM says behind %s', async (_, eventOf) => {
    expect(await seen(eventOf({ method: 'GET', path: '/' }))).toEqual({ accountId: ACCOUNT, arn: ADMIN })
    expect(await seen(eventOf({ method: 'GET', path: '/', userArn: null }))).toBeNull()
  })

  it('can not name itself by headers, or by what another front end would have set', async () => {
    const forged = { 'x-amzn-iam-user-arn': ADMIN, requestcontext: ADMIN }
    expect(await seen(functionUrlEvent({ method: 'GET', path: '/', userArn: null, headers: forged }))).toBeNull()
    const identity = { accountId: ACCOUNT, userArn: ADMIN }
    expect(iamCallerOf({ http: {}, identity })).toBeUndefined()
    expect(iamCallerOf({ identity: null, authorizer: { iam: identity } })).toBeUndefined()
    expect(iamCallerOf(undefined)).toBeUndefined()
  })
})

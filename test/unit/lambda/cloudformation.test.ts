import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { customResourceHandler } from '../../../runtime/lambda/cloudformation.ts'
import type { Provider } from '../../../runtime/lambda/provider.ts'
import { MeshError } from '../../../runtime/model/problem.ts'
import { cloudFormationEvent, lambdaContext } from '../../support/lambda-events.ts'
import { type ResponseUrl, startResponseUrl } from '../../support/response-url.ts'

const call = { type: 'Custom::WeftMesh', properties: {} }
const made = { physicalId: 'id', data: { Arn: 'id' } }

function provider(create: Provider['create']): Provider {
  return { create, update: create, remove: async () => {} }
}

describe('the answer to CloudFormation', () => {
  let cfn: ResponseUrl

  beforeAll(async () => {
    cfn = await startResponseUrl()
  })
  afterAll(() => cfn[Symbol.asyncDispose]())
  afterEach(() => {
    cfn.taken.length = 0
    vi.restoreAllMocks()
  })

  async function answer(find: Parameters<typeof customResourceHandler>[0], leftMs?: number) {
    const event = cloudFormationEvent(cfn.url, call, { request: 'Create' })
    await customResourceHandler(find)(event, lambdaContext(leftMs))
    return cfn.taken.at(-1)!
  }

  it('is a bare PUT, as the signature of the URL wants it', async () => {
    const { contentType, answer: given } = await answer(() => provider(async () => made))
    expect(contentType).toBeUndefined()
    expect(given).toMatchObject({ Status: 'SUCCESS', PhysicalResourceId: 'id', Data: { Arn: 'id' } })
  })

  it('is sent again until it is taken', async () => {
    cfn.fate.push(503, 0, 429)
    const before = cfn.tries()
    expect((await answer(() => provider(async () => made))).answer.Status).toBe('SUCCESS')
    expect(cfn.tries() - before).toBe(4)
  })

  it('is not sent again to a URL that has ended, and the function ends well', async () => {
    cfn.fate.push(403)
    const before = cfn.tries()
    const event = cloudFormationEvent(cfn.url, call, { request: 'Create' })
    await customResourceHandler(() => provider(async () => made))(event, lambdaContext())
    expect(cfn.tries() - before).toBe(1)
  })

  it('is sent to no other place than it was asked for', async () => {
    cfn.fate.push(307)
    const before = cfn.tries()
    const event = cloudFormationEvent(cfn.url, call, { request: 'Create' })
    await customResourceHandler(() => provider(async () => made))(event, lambdaContext())
    expect(cfn.tries() - before).toBe(1)
    expect(cfn.taken).toEqual([])
  })

  it('makes the function fail when nobody takes it, so that Lambda sends the request again', async () => {
    cfn.fate.push(...Array.from({ length: 6 }, () => 500))
    const event = cloudFormationEvent(cfn.url, call, { request: 'Create' })
    const handled = customResourceHandler(() => provider(async () => made))(event, lambdaContext())
    await expect(handled).rejects.toThrow('did not take the answer')
  })

  it('is FAILED with the reason when the function is set up wrongly', async () => {
    const { answer: given } = await answer(() => {
      throw new MeshError('invalid', 'the environment of this function is not complete')
    })
    expect(given).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('environment') })
  })

  it('tells of a bug by its request id only', async () => {
    const { answer: given } = await answer(() =>
      provider(async () => Promise.reject(new TypeError('secret is undefined'))),
    )
    expect(given.Status).toBe('FAILED')
    expect(given.Reason).toContain(given.RequestId)
    expect(given.Reason).not.toContain('secret')
  })

  it('is FAILED before the time of the function is over', async () => {
    const { answer: given } = await answer(() => provider(() => new Promise(() => {})), 21_000)
    expect(given).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('not done within 1 s') })
  })

  it('stops work that is late, and says that it is done when it ends well all the same', async () => {
    let stopped: AbortSignal | undefined
    const late = await answer((_type, _owner, signal) => {
      stopped = signal
      return provider(() => new Promise((resolve) => signal.addEventListener('abort', () => resolve(made))))
    }, 21_000)
    expect(stopped?.aborted).toBe(true)
    expect(late.answer.Status).toBe('SUCCESS')
    const given = await answer((_type, _owner, signal) => {
      const end = (_: unknown, reject: (error: Error) => void) =>
        signal.addEventListener('abort', () => reject(new MeshError('throttled', 'busy')))
      return provider(() => new Promise(end))
    }, 21_000)
    expect(given.answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('not done within 1 s') })
  })

  it('waits for a race to be won, and for a busy table', async () => {
    const lost = new MeshError('conflict', 'always others', { cause: new MeshError('conflict', 'head moved') })
    const failures = [lost, new MeshError('throttled', 'busy'), lost]
    const { answer: given } = await answer(() =>
      provider(async () => {
        const failure = failures.shift()
        if (failure !== undefined) throw failure
        return made
      }),
    )
    expect(given.Status).toBe('SUCCESS')
  })

  it('stays under 4 KB: long reasons are cut, long names refused', async () => {
    const problems = Array.from({ length: 200 }, (_, n) => ({
      path: `Spec.\u00e9[${n}]`,
      code: 'c',
      message: '\u00e9'.repeat(50),
    }))
    const refused = await answer(() =>
      provider(async () => Promise.reject(new MeshError('invalid', 'no', { problems }))),
    )
    expect(refused.answer.Reason?.length).toBeLessThanOrEqual(1000)
    expect(refused.bytes).toBeLessThanOrEqual(4096)
    const long = await answer(() =>
      provider(async () => ({ physicalId: 'x'.repeat(1000), data: { Arn: 'x'.repeat(4000) } })),
    )
    expect(long.bytes).toBeLessThanOrEqual(4096)
    expect(long.answer).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('4,096 bytes') })
  })
})

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CustomResourceHandler } from '../../runtime/lambda/cloudformation.ts'
import { readEnv } from '../../runtime/lambda/env.ts'
import { type Wiring, wire } from '../../runtime/lambda/wire.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { type Fate, type FaultyDynamoDb, startFaultyDynamoDb } from '../support/faulty-dynamodb.ts'
import { lambdaEnvironment } from '../support/lambda-environment.ts'
import { ACCOUNT, type CloudFormationCall, cloudFormationEvent, lambdaContext } from '../support/lambda-events.ts'
import { type Answered, type ResponseUrl, startResponseUrl } from '../support/response-url.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what

/** Two seconds for the work: the function keeps 20 for its answer. */
const SHORT_MS = 22_000
const SLOW_MS = 3_500

describe.skipIf(here === undefined)(`a custom resource that DynamoDB is too slow for, on ${title}`, () => {
  let handler: CustomResourceHandler
  let wiring: Wiring
  let cfn: ResponseUrl
  let faulty: FaultyDynamoDb

  beforeAll(async () => {
    faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
    await lambdaEnvironment(here!, { AWS_ENDPOINT_URL_DYNAMODB: faulty.endpoint })
    handler = (await import('../../runtime/lambda/custom-resource.ts')).handler
    wiring = wire(readEnv(process.env))
    cfn = await startResponseUrl()
  })
  afterAll(async () => {
    await cfn?.[Symbol.asyncDispose]()
    await faulty?.[Symbol.asyncDispose]()
    await here?.[Symbol.asyncDispose]()
  })

  async function request(
    call: CloudFormationCall,
    step: Parameters<typeof cloudFormationEvent>[2],
    leftMs?: number,
  ): Promise<Answered> {
    const requestId = randomUUID()
    await handler(cloudFormationEvent(cfn.url, { ...call, requestId }, step), lambdaContext(leftMs))
    return cfn.taken.findLast(({ answer }) => answer.RequestId === requestId)!.answer
  }

  /** The next call of this operation takes longer than the function has. */
  function slow(slowed: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    let done = false
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation !== slowed || done) return 'pass'
      done = true
      await delay(SLOW_MS)
      // It is passed on behind this.
      setTimeout(resolve, 500)
      return 'pass'
    }
    return promise
  }

  const node = (port: string): CloudFormationCall => ({
    type: 'Custom::WeftVirtualNode',
    logicalId: 'Node',
    properties: {
      MeshName: 'shop',
      VirtualNodeName: 'cart',
      Spec: { Listeners: [{ PortMapping: { Port: port, Protocol: 'http' } }] },
    },
  })
  const mesh = { type: 'Custom::WeftMesh', logicalId: 'Mesh', properties: { MeshName: 'shop' } }
  const stored = () => wiring.store.get({ kind: 'virtual-node', mesh: 'shop', name: 'cart' })

  it('is not made after its Create has failed, so that the rollback leaves nothing behind', async () => {
    const { PhysicalResourceId: meshId } = await request(mesh, { request: 'Create' })
    const passed = slow('TransactWriteItems')
    const late = await request(node('8080'), { request: 'Create' }, SHORT_MS)
    expect(late).toMatchObject({ Status: 'FAILED', Reason: expect.stringContaining('not done within 2 s') })
    const undone = await request(node('8080'), { request: 'Delete', physicalId: late.PhysicalResourceId })
    expect(undone.Status).toBe('SUCCESS')
    await passed
    expect(await stored()).toBeUndefined()
    expect((await request(mesh, { request: 'Delete', physicalId: meshId })).Status).toBe('SUCCESS')
  }, 20_000)

  it('is not changed after its Update has failed and was taken back', async () => {
    await request(mesh, { request: 'Create' })
    const { PhysicalResourceId: physicalId } = await request(node('8080'), { request: 'Create' })
    const passed = slow('TransactWriteItems')
    const old = node('8080').properties
    const late = await request(node('9090'), { request: 'Update', physicalId, old }, SHORT_MS)
    expect(late.Status).toBe('FAILED')
    const undone = await request(node('8080'), { request: 'Update', physicalId, old: node('9090').properties })
    expect(undone.Status).toBe('SUCCESS')
    await passed
    expect(await stored()).toMatchObject({ spec: { listeners: [{ portMapping: { port: 8080 } }] } })
  }, 20_000)

  it('binds no role after its Create has failed, once the call that was under way has ended', async () => {
    const roleArn = `arn:aws:iam::${ACCOUNT}:role/cart-task`
    const binding = {
      type: 'Custom::WeftRoleBinding',
      logicalId: 'Binding',
      properties: { MeshName: 'shop', VirtualNodeName: 'cart', RoleArn: roleArn },
    }
    // DynamoDB does not answer the first call: the client would send it again, after the function has answered.
    let puts = 0
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation !== 'PutItem' || puts++ > 0) return 'pass'
      await delay(SLOW_MS)
      return 'lose-call'
    }
    const late = await request(binding, { request: 'Create' }, SHORT_MS)
    expect(late.Status).toBe('FAILED')
    await request(binding, { request: 'Delete', physicalId: late.PhysicalResourceId })
    await delay(2_000)
    expect(puts).toBe(1)
    expect(await wiring.bindings.subjectOf(ACCOUNT, 'cart-task')).toBeUndefined()
  }, 20_000)
})

import {
  AppMeshClient,
  CreateMeshCommand,
  CreateVirtualNodeCommand,
  DescribeVirtualNodeCommand,
  ListVirtualNodesCommand,
  NotFoundException,
} from '@aws-sdk/client-app-mesh'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readEnv } from '../../runtime/lambda/env.ts'
import type { HttpEvent, HttpHandler } from '../../runtime/lambda/http-handler.ts'
import { wire } from '../../runtime/lambda/wire.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { startFunctionUrl } from '../support/function-url.ts'
import { lambdaEnvironment } from '../support/lambda-environment.ts'
import {
  ACCOUNT,
  ADMIN,
  functionUrlEvent,
  type HttpCall,
  lambdaContext,
  ORDERS_TASK,
  restApiEvent,
} from '../support/lambda-events.ts'
import { type Moto, startMoto } from '../support/moto.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what

const SYNC = {
  schemas: [1],
  instance: { id: 'i', address: '10.0.0.9', meshPort: 15000, protocols: ['http/1.1'], version: '0', state: 'ready' },
  known: { snapshot: null, endpoints: {}, trust: null },
  status: { applied: null, rejected: null, certificateNotAfterMs: null },
}

const aws = await startMoto('kms')
const cloud = 'config' in aws ? aws : undefined

describe.skipIf(here === undefined)(`the APIs on Lambda, with ${title}`, () => {
  let api: HttpHandler
  let dataplane: HttpHandler

  beforeAll(async () => {
    await lambdaEnvironment(
      here!,
      cloud === undefined ? {} : { AWS_ENDPOINT_URL: cloud.endpoint, WEFT_CA: await kmsCa(cloud) },
    )
    api = (await import('../../runtime/lambda/api.ts')).handler
    dataplane = (await import('../../runtime/lambda/dataplane.ts')).handler
    await send(api, functionUrlEvent({ method: 'PUT', path: '/v20190125/meshes', body: '{"meshName":"shop"}' }))
    const body = JSON.stringify({ virtualNodeName: 'orders', spec: {} })
    await send(api, functionUrlEvent({ method: 'PUT', path: '/v20190125/meshes/shop/virtualNodes', body }))
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    await wire(readEnv(process.env)).bindings.bind({ accountId: ACCOUNT, roleName: 'orders-task', subject })
  })
  afterAll(async () => {
    await cloud?.[Symbol.asyncDispose]()
    await here?.[Symbol.asyncDispose]()
  })

  /** A key for the CA of the mesh. */
  async function kmsCa({ config }: Moto): Promise<string> {
    const client = new KMSClient(config)
    const { KeyMetadata } = await client.send(
      new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }),
    )
    client.destroy()
    return `kms:${KeyMetadata!.Arn}`
  }

  async function send(handler: HttpHandler, event: HttpEvent) {
    const { statusCode, body, headers } = await handler(event, lambdaContext())
    return { status: statusCode, headers: headers ?? {}, json: JSON.parse(body) }
  }

  it('are driven by the AWS SDK through a Function URL, under the account and region of the function', async () => {
    await using url = await startFunctionUrl(api)
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
    const client = new AppMeshClient({ endpoint: url.url, region: 'us-east-1', credentials })
    const { mesh } = await client.send(new CreateMeshCommand({ meshName: 'driven', tags: [{ key: 'a', value: 'b' }] }))
    expect(mesh?.metadata?.arn).toBe(`arn:aws:appmesh:us-east-1:${ACCOUNT}:mesh/driven`)
    const spec = { listeners: [{ portMapping: { port: 8080, protocol: 'http' as const } }] }
    await client.send(new CreateVirtualNodeCommand({ meshName: 'driven', virtualNodeName: 'n', spec }))
    const described = await client.send(new DescribeVirtualNodeCommand({ meshName: 'driven', virtualNodeName: 'n' }))
    expect(described.virtualNode?.spec).toEqual(spec)
    const listed = await client.send(new ListVirtualNodesCommand({ meshName: 'driven' }))
    expect(listed.virtualNodes).toHaveLength(1)
    const missing = new DescribeVirtualNodeCommand({ meshName: 'driven', virtualNodeName: 'nobody' })
    await expect(client.send(missing)).rejects.toBeInstanceOf(NotFoundException)
    client.destroy()
  })

  describe.each([
    ['a Function URL', functionUrlEvent],
    ['a REST API', restApiEvent],
  ] as const)('behind %s', (_, eventOf: (call: HttpCall) => HttpEvent) => {
    it('answer with what is asked for', async () => {
      const { status, json } = await send(api, eventOf({ method: 'GET', path: '/v20190125/meshes?limit=1' }))
      expect(status).toBe(200)
      expect(json.meshes).toHaveLength(1)
    })

    it('take an ARN in the query string', async () => {
      const arn = encodeURIComponent(`arn:aws:appmesh:us-east-1:${ACCOUNT}:mesh/shop`)
      const { status, json } = await send(api, eventOf({ method: 'GET', path: `/v20190125/tags?resourceArn=${arn}` }))
      expect([status, json]).toEqual([200, { tags: [] }])
    })

    it('write the ARN of the caller into the change log', async () => {
      const userArn = `arn:aws:iam::${ACCOUNT}:user/ann`
      const tag = { method: 'PUT', body: '{"tags":[{"key":"by","value":"ann"}]}', userArn }
      const arn = encodeURIComponent(`arn:aws:appmesh:us-east-1:${ACCOUNT}:mesh/shop`)
      const untag = { method: 'PUT', body: '{"tagKeys":["by"]}', userArn }
      expect((await send(api, eventOf({ ...tag, path: `/v20190125/tag?resourceArn=${arn}` }))).status).toBe(200)
      const { json } = await send(api, eventOf({ method: 'GET', path: '/v1/meshes/shop/history?limit=1' }))
      expect(json.entries[0].actor).toBe(userArn)
      await send(api, eventOf({ ...untag, path: `/v20190125/untag?resourceArn=${arn}` }))
    })

    it('refuse a request that IAM did not sign for', async () => {
      for (const handler of [api, dataplane]) {
        const path = handler === api ? '/v20190125/meshes' : '/v1/dataplane/sync'
        const method = handler === api ? 'GET' : 'POST'
        const body = handler === api ? {} : { body: JSON.stringify(SYNC) }
        const { status } = await send(handler, eventOf({ method, path, userArn: null, ...body }))
        expect(status).toBe(401)
      }
    })

    it('refuse the task role of a node on the management API, whatever its policies allow', async () => {
      for (const path of ['/v20190125/meshes', '/v1/meshes/shop/proxies', '/openapi.json']) {
        const { status, json } = await send(api, eventOf({ method: 'GET', path, userArn: ORDERS_TASK }))
        expect(status).toBe(403)
        expect(json.message ?? json.detail).toContain("task role of virtual-node 'orders' in mesh 'shop'")
      }
    })

    it("refuse a caller without binding on the proxies' API", async () => {
      const call = { method: 'POST', path: '/v1/dataplane/sync', userArn: ADMIN, body: JSON.stringify(SYNC) }
      const { status, json } = await send(dataplane, eventOf(call))
      expect([status, json.title]).toEqual([403, 'forbidden'])
    })

    it('know errors in the words of their path, and no stack of ours', async () => {
      const wrong = await send(api, eventOf({ method: 'PUT', path: '/v20190125/meshes', body: '{"meshName":' }))
      expect(wrong.status).toBe(400)
      expect(wrong.headers['x-amzn-errortype'] ?? 'BadRequestException').toBe('BadRequestException')
      const nothing = await send(api, eventOf({ method: 'GET', path: '/nowhere' }))
      expect([nothing.status, nothing.json.type]).toEqual([404, 'urn:weft:error:not-found'])
    })
  })

  it('hold no poll: a wait that is asked for is answered at once, with the pace of the functions', async (context) => {
    if (cloud === undefined) return context.skip((aws as { missing: string }).missing)
    const call = {
      method: 'POST',
      path: '/v1/dataplane/sync?wait=30s',
      userArn: ORDERS_TASK,
      body: JSON.stringify(SYNC),
    }
    const startedAt = performance.now()
    const first = await send(dataplane, functionUrlEvent(call))
    expect(first.json).toMatchObject({ snapshot: { schema: 1 } })
    const known = { snapshot: first.json.snapshot.revision, endpoints: {}, trust: first.json.trust.revision }
    const again = await send(dataplane, functionUrlEvent({ ...call, body: JSON.stringify({ ...SYNC, known }) }))
    expect(again.status).toBe(200)
    expect(again.json.snapshot).toBeUndefined()
    expect(again.json.nextSyncMs).toBeGreaterThan(1000)
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  })
})

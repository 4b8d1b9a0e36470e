import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { text } from 'node:stream/consumers'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { CreateHostedZoneCommand, ListResourceRecordSetsCommand, Route53Client } from '@aws-sdk/client-route-53'
import type { DynamoDBRecord } from 'aws-lambda'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DynamoDbRootLog } from '../../runtime/adapters/dynamodb-root-log.ts'
import { PushConnections } from '../../runtime/adapters/push-connections.ts'
import { readEnv } from '../../runtime/lambda/env.ts'
import { managementCases } from '../../runtime/lambda/management-cases.ts'
import { openDirectory } from '../../runtime/lambda/open-directory.ts'
import type { PushEvent } from '../../runtime/lambda/push.ts'
import { type Wiring, wire } from '../../runtime/lambda/wire.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { lambdaEnvironment } from '../support/lambda-environment.ts'
import { ACCOUNT, ADMIN, lambdaContext, ORDERS_TASK } from '../support/lambda-events.ts'
import { startMoto } from '../support/moto.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const aws = await startMoto('kms', 'route53')
const cloud = 'config' in aws ? aws : undefined
const missing = [database, aws].map((one) => ('missing' in one ? one.missing : '')).join('')
const title = missing === '' ? `${here!.what} and ${cloud!.what}` : `where there are some: ${missing}`

/** API Gateway's management endpoint: what was posted to whom; connections in `gone` have ended, those in `stuck` fail. */
function apiGateway() {
  const told: string[] = []
  const gone = new Set<string>()
  const stuck = new Set<string>()
  const server = createServer(async (request, response) => {
    const id = decodeURIComponent(request.url!.split('/').at(-1)!)
    const body = await text(request)
    if (gone.has(id)) {
      response.writeHead(410, { 'x-amzn-errortype': 'GoneException' }).end('{"message":"Gone"}')
    } else if (stuck.has(id)) response.writeHead(403, { 'x-amzn-errortype': 'ForbiddenException' }).end('{}')
    else {
      told.push(`${id} ${body}`)
      response.writeHead(200).end()
    }
  })
  return { server, told, gone, stuck }
}

describe.skipIf(missing !== '')(`the functions for events, news and push, on ${title}`, () => {
  const gateway = apiGateway()
  let wiring: Wiring
  let cases: ReturnType<typeof managementCases>
  let push: (event: PushEvent) => Promise<{ statusCode: number }>
  let news: (event: { Records: DynamoDBRecord[] }) => Promise<unknown>
  let events: (event: never, context: ReturnType<typeof lambdaContext>) => Promise<unknown>
  let route53: Route53Client
  let zoneId: string
  let connections: PushConnections

  beforeAll(async () => {
    ;(gateway.server as Server).listen(0, '127.0.0.1')
    await once(gateway.server, 'listening')
    route53 = new Route53Client(cloud!.config)
    const zone = { Name: 'shop.internal', CallerReference: randomUUID(), HostedZoneConfig: { PrivateZone: true } }
    const vpc = { VPCRegion: 'us-east-1' as const, VPCId: 'vpc-0123' }
    const { HostedZone } = await route53.send(new CreateHostedZoneCommand({ ...zone, VPC: vpc }))
    zoneId = HostedZone!.Id!.split('/').at(-1)!
    const kms = new KMSClient(cloud!.config)
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))
    kms.destroy()
    await lambdaEnvironment(here!, {
      AWS_ENDPOINT_URL: cloud!.endpoint,
      WEFT_CA: `kms:${KeyMetadata!.Arn}`,
      WEFT_ZONE_ID: zoneId,
      WEFT_ZONE_NAME: 'shop.internal',
      WEFT_ZONE_MESH: 'shop',
      WEFT_PUSH_ENDPOINT: `http://127.0.0.1:${(gateway.server.address() as { port: number }).port}/push`,
    })
    wiring = wire(readEnv(process.env))
    cases = managementCases(wiring)
    connections = new PushConnections(wiring.client, wiring.env.table, wiring.clock)
    push = (await import('../../runtime/lambda/push.ts')).handler
    news = (await import('../../runtime/lambda/news.ts')).handler as typeof news
    events = (await import('../../runtime/lambda/events.ts')).handler as typeof events
    const [mesh, node] = [
      { kind: 'mesh', mesh: 'shop', name: 'shop' },
      { kind: 'virtual-node', mesh: 'shop', name: 'orders' },
    ] as const
    for (const ref of [mesh, node]) await cases.createResource({ ref, spec: {}, tags: {}, actor: 'test' })
    await wiring.bindings.bind({ accountId: ACCOUNT, roleName: 'orders-task', subject: node })
  })
  afterAll(async () => {
    gateway.server.closeAllConnections()
    gateway.server.close()
    await cloud?.[Symbol.asyncDispose]()
    await here?.[Symbol.asyncDispose]()
  })

  const connect = (connectionId: string, userArn: string | null, routeKey = '$connect') =>
    push({ requestContext: { routeKey, connectionId, identity: { accountId: userArn && ACCOUNT, userArn } } })

  function commit(mesh: string, pk = 'heads', sk = mesh): { Records: DynamoDBRecord[] } {
    return {
      Records: [{ eventName: 'MODIFY', dynamodb: { Keys: { pk: { S: pk }, sk: { S: sk } }, SequenceNumber: '7' } }],
    }
  }
  const handle = (event: object) => events(event as never, lambdaContext())

  async function names(): Promise<Record<string, string | undefined>> {
    const { ResourceRecordSets } = await route53.send(new ListResourceRecordSetsCommand({ HostedZoneId: zoneId }))
    const records = ResourceRecordSets!.filter(({ Type }) => Type === 'A')
    return Object.fromEntries(records.map(({ Name, ResourceRecords }) => [Name, ResourceRecords![0]!.Value]))
  }

  it('let a proxy listen under its task role, and nobody else', async () => {
    expect(await connect('c1=', ORDERS_TASK)).toEqual({ statusCode: 200 })
    expect(await connect('c2=', ADMIN)).toEqual({ statusCode: 403 })
    expect(await connect('c3=', `arn:aws:iam::${ACCOUNT}:user/ann`)).toEqual({ statusCode: 403 })
    expect(await connect('c4=', null)).toEqual({ statusCode: 403 })
    expect(await connections.list('shop')).toEqual(['c1='])
    expect(await connections.list('other')).toEqual([])
  })

  it('take nothing that a proxy sends, and forget who leaves', async () => {
    await connect('leaving=', ORDERS_TASK)
    expect(await connect('leaving=', ORDERS_TASK, '$default')).toEqual({ statusCode: 400 })
    expect(await connect('leaving=', null, '$disconnect')).toEqual({ statusCode: 200 })
    expect(await connect('leaving=', null, '$disconnect')).toEqual({ statusCode: 200 })
    expect(await connections.list('shop')).not.toContain('leaving=')
  })

  it('forget connections after the two hours that API Gateway gives them', async () => {
    const later = new PushConnections(wiring.client, wiring.env.table, { now: () => Date.now() + 3 * 3_600_000 })
    expect(await later.list('shop')).toEqual([])
  })

  it('publish names and tell proxies after a commit; connections that are gone are forgotten', async () => {
    const ref = { kind: 'virtual-service', mesh: 'shop', name: 'orders' } as const
    const { vip } = await cases.createResource({ ref, spec: {}, tags: {}, actor: 'test' })
    await connect('gone=', ORDERS_TASK)
    gateway.gone.add('gone=')
    gateway.told.length = 0
    expect(await handle(commit('shop'))).toEqual({ batchItemFailures: [] })
    expect(gateway.told).toEqual([])
    await news(commit('shop'))
    expect(gateway.told).toEqual(['c1= sync'])
    expect(await names()).toEqual({ 'orders.shop.internal.': vip })
    expect(await connections.list('shop')).toEqual(['c1='])
  })

  it('tell all others when one can not be told', async () => {
    for (const id of ['stuck=', 'c5=', 'c6=']) await connect(id, ORDERS_TASK)
    gateway.stuck.add('stuck=')
    gateway.told.length = 0
    await news(commit('shop', 'e#shop', 'head'))
    expect(gateway.told.toSorted()).toEqual(['c1= sync', 'c5= sync', 'c6= sync'])
    for (const id of ['stuck=', 'c5=', 'c6=']) await connect(id, null, '$disconnect')
  })

  it('forget a task that has ended, when ECS says so', async () => {
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    const instance = {
      id: 'i',
      address: '10.0.0.9',
      meshPort: 15000,
      protocols: ['h2'],
      version: '0',
      state: 'ready' as const,
    }
    const status = { applied: null, rejected: null, certificateNotAfterMs: null }
    await openDirectory(wiring).report(subject, { instance, status }, 60_000)
    const proxies = () => openDirectory(wiring).proxies('shop')
    expect(await proxies()).toHaveLength(1)
    const taskArn = `arn:aws:ecs:us-east-1:${ACCOUNT}:task/shop/i`
    const change = (lastStatus: string) => ({
      source: 'aws.ecs',
      'detail-type': 'ECS Task State Change',
      detail: { lastStatus, taskArn },
    })
    await handle(change('DEACTIVATING'))
    expect(await proxies()).toHaveLength(1)
    await handle(change('STOPPED'))
    expect(await proxies()).toEqual([])
  })

  it('do by the clock what no event told: names are mended, the CA has its root', async () => {
    const ref = { kind: 'virtual-service', mesh: 'shop', name: 'late' } as const
    const { vip } = await cases.createResource({ ref, spec: {}, tags: {}, actor: 'test' })
    await handle({ source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} })
    expect(await names()).toMatchObject({ 'late.shop.internal.': vip })
    const roots = await new DynamoDbRootLog(wiring.client, wiring.env.table).list()
    expect(roots.map(({ arn }) => `kms:${arn}`)).toEqual([process.env.WEFT_CA])
  })

  it('do each part of a scheduled run whatever becomes of the others, and then fail', async () => {
    const ref = { kind: 'virtual-service', mesh: 'shop', name: 'later' } as const
    await cases.createResource({ ref, spec: {}, tags: {}, actor: 'test' })
    vi.resetModules()
    vi.stubEnv('WEFT_CA', `kms:arn:aws:kms:us-east-1:${ACCOUNT}:key/00000000-0000-0000-0000-000000000000`)
    vi.stubEnv('AWS_ENDPOINT_URL_KMS', 'http://127.0.0.1:1')
    const { handler } = await import('../../runtime/lambda/events.ts')
    const run = handler(
      { source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} } as never,
      lambdaContext(),
    )
    await expect(run).rejects.toThrow('1 of 3 parts')
    vi.unstubAllEnvs()
    expect(await names()).toHaveProperty('later.shop.internal.')
  })

  it('pass over events that nobody asked for', async () => {
    expect(
      await handle({ source: 'aws.ec2', 'detail-type': 'EC2 Instance State-change Notification', detail: {} }),
    ).toBeUndefined()
  })
})

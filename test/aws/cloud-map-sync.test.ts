import { afterAll, expect, it, onTestFinished } from 'vitest'
import { dynamoDbClient } from '../../runtime/adapters/dynamodb-calls.ts'
import type { SyncRequest } from '../../runtime/model/sync.ts'
import { node, put, resource } from '../contract/stored.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { startStandInCloudMap } from '../support/stand-in-cloud-map.ts'
import { polledFunction } from './polled-function.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
afterAll(() => here?.[Symbol.asyncDispose]())

it('tells a proxy on one function of a task that started, drained and stopped on others, sharing nothing but the table', async (context) => {
  if (here === undefined) return context.skip((database as { missing: string }).missing)
  const table = await here.createTable()
  const cloudMap = await startStandInCloudMap()
  onTestFinished(() => cloudMap[Symbol.asyncDispose]())
  let now = Date.now()
  /** An instance of the functions, wired as on Lambda. */
  const start = () => {
    const client = dynamoDbClient(here.config)
    const clock = { now: () => now }
    return polledFunction({ table, client, cloudMap: cloudMap.endpoint, clock, intervalMs: 30_000 })
  }
  const [one, two, three] = [start(), start(), start()]
  const awsCloudMap = { namespaceName: 'prod', serviceName: 'cart' }
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  const changes = put(
    resource({ kind: 'mesh', mesh: 'shop', name: 'shop' }),
    node('shop', 'cart', { spec: { listeners, serviceDiscovery: { awsCloudMap } } }),
    resource(
      { kind: 'virtual-service', mesh: 'shop', name: 'cart.local' },
      { spec: { provider: { virtualNode: { virtualNodeName: 'cart' } } } },
    ),
    node('shop', 'web', { spec: { backends: [{ virtualService: { virtualServiceName: 'cart.local' } }] } }),
  )
  await one.store.commit({ mesh: 'shop', expectedGeneration: 0, changes, actor: 'x', atMs: 1 })

  const known: SyncRequest['known'] = { snapshot: null, endpoints: {}, trust: 't' }
  const poll = async (by: typeof one, name: string, state: SyncRequest['instance']['state'], held = known) => {
    now += 30_000
    const instance = {
      id: `${name}-1`,
      address: `10.0.0.${name.length}`,
      meshPort: 15_000,
      protocols: ['h2'],
      version: '1',
    }
    const status = { applied: null, rejected: null, certificateNotAfterMs: null }
    const request: SyncRequest = { schemas: [1], instance: { ...instance, state }, known: held, status }
    const subject = { kind: 'virtual-node', mesh: 'shop', name } as const
    return by.sync({ subject, request, peerAddress: '', waitMs: 30_000, signal: new AbortController().signal })
  }
  /** What web learns of cart's instances since it last asked; null: nothing new. */
  const learn = async (by: typeof one) => {
    const { endpoints } = await poll(by, 'web', 'ready')
    for (const set of endpoints) known.endpoints[set.node] = set.revision
    return endpoints[0]?.endpoints.map(({ address, state }) => `${address} ${state}`) ?? null
  }

  expect(await learn(two)).toEqual([])
  // ECS registers the task a little later than its proxy reports: it is looked for soon.
  expect((await poll(one, 'cart', 'ready')).nextSyncMs).toBeLessThanOrEqual(6_000)
  expect(await learn(two)).toBeNull()
  cloudMap.answer = { instances: { task: { AWS_INSTANCE_IPV4: '10.0.0.4' } } }
  expect((await poll(three, 'cart', 'ready')).nextSyncMs).toBeGreaterThanOrEqual(24_000)
  expect(await learn(two)).toEqual(['10.0.0.4 ready'])
  expect(await learn(one)).toBeNull()
  await poll(two, 'cart', 'draining')
  expect(await learn(three)).toEqual(['10.0.0.4 draining'])
  expect(await one.listProxies('shop')).toMatchObject([
    { instance: 'cart-1', state: 'draining', address: '10.0.0.4' },
    { instance: 'web-1', state: 'ready', current: expect.any(String) },
  ])
  await one.refreshEndpoints({ task: { id: 'cart-1', stopped: true } })
  now += 300
  expect((await two.inspectEndpoints('shop', 'cart')).endpoints).toEqual([])
})

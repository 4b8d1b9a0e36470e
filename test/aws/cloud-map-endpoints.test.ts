import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { GetItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { CloudMap } from '../../runtime/adapters/cloud-map.ts'
import { dynamoDbClient, writeAll } from '../../runtime/adapters/dynamodb-calls.ts'
import { DynamoDbEndpoints } from '../../runtime/adapters/dynamodb-endpoints.ts'
import { MemoryStore } from '../../runtime/adapters/memory-store.ts'
import { MeshStates } from '../../runtime/app/mesh-states.ts'
import { refreshEndpoints } from '../../runtime/app/refresh-endpoints.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import type { NodeDiscovery } from '../../runtime/ports.ts'
import { instance } from '../contract/endpoint-directory.ts'
import { node, put } from '../contract/stored.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { EMULATED } from '../support/emulator.ts'
import { startFaultyDynamoDb } from '../support/faulty-dynamodb.ts'
import { type StandInCloudMap, startStandInCloudMap } from '../support/stand-in-cloud-map.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
afterAll(() => here?.[Symbol.asyncDispose]())

const TTL = 3_000_000
const MOTO_IS_SLOW = 'moto’s DynamoDB is too slow for a thousand instances'
const cart: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'cart' }
const discovery: NodeDiscovery = {
  node: 'cart',
  cloudMap: { namespace: 'prod', service: 'cart', attributes: {} },
  plainPort: null,
}

describe.skipIf(here === undefined)(
  `endpoints on AWS, on ${here?.what ?? (database as { missing: string }).missing}`,
  () => {
    let now: number
    let table: string
    let standIn: StandInCloudMap
    let cloudMap: CloudMap
    let directory: DynamoDbEndpoints
    /** DynamoDB operations of all processes, in order. */
    let calls: string[]
    const opened: DynamoDBClient[] = []

    beforeEach(async () => {
      // Not in the past: DynamoDB takes items away whose time is over.
      now = Date.now()
      table = await here!.createTable()
      standIn = await startStandInCloudMap()
      const patience = { requestTimeout: 2_000, throwOnRequestTimeout: true }
      cloudMap = new CloudMap({ ...EMULATED, endpoint: standIn.endpoint, maxAttempts: 1, requestHandler: patience })
      calls = []
      directory = start()
      return async () => {
        cloudMap.close()
        for (const client of opened.splice(0)) client.destroy()
        await standIn[Symbol.asyncDispose]()
      }
    })

    /** Another process of the same control plane. */
    function start(more: object = {}, clock = { now: () => now }): DynamoDbEndpoints {
      const client = dynamoDbClient({ ...here!.config, ...more })
      opened.push(client)
      client.middlewareStack.add((next, { commandName }) => (args) => {
        calls.push(String(commandName).replace('Command', ''))
        return next(args)
      })
      return new DynamoDbEndpoints({ client, table, cloudMap, clock })
    }

    function registered(...addresses: string[]): void {
      const all = addresses.map((address) => [`cm-${address}`, { AWS_INSTANCE_IPV4: address }])
      standIn.answer = { instances: Object.fromEntries(all) }
    }

    async function sync(id: string, address: string, more: object = {}, by = directory) {
      await by.report(cart, instance(id, { address, ...more }), TTL)
      const looked = await by.refresh('shop', [discovery], 'due')
      now += 300
      return looked
    }

    async function ids(by = directory): Promise<string[]> {
      return (await by.endpoints('shop', 'cart')).endpoints.map(({ id }) => id)
    }

    it.each([
      ['throttles', { error: 'RequestLimitExceeded' }, 'too many calls'],
      ['does not answer', 'silence', "can't be read"],
      ['fails', { error: 'InternalFailure', status: 500 }, 'InternalFailure'],
    ] as const)(
      'keeps the last set while Cloud Map %s, says how old it is, and asks again soon',
      async (_, answer, why) => {
        registered('10.0.0.1')
        await sync('a', '10.0.0.1')
        const before = await directory.endpoints('shop', 'cart')
        standIn.answer = answer
        now += 400_000
        const [{ failure } = {}] = await directory.refresh('shop', [discovery], 'due')
        expect(failure).toContain(why)
        expect(failure).toContain('what it held 400 s ago stays in force')
        expect(await directory.endpoints('shop', 'cart')).toEqual(before)
        registered('10.0.0.1', '10.0.0.2')
        now += 15_000
        expect(await directory.refresh('shop', [discovery], 'due')).toEqual([])
        now += 22_000
        expect(await directory.refresh('shop', [discovery], 'due')).toEqual([{ node: 'cart', settled: true }])
      },
    )

    it('keeps no poll waiting for all of many nodes while Cloud Map is silent: the next ones look at the others', async () => {
      standIn.answer = 'silence'
      const many = Array.from({ length: 40 }, (_, n) => ({ ...discovery, node: `n${n}` }))
      const seen = new Set<string>()
      for (let poll = 0; poll < 2; poll++) {
        const startedAt = performance.now()
        const looked = await directory.refresh('shop', many, 'due')
        expect(performance.now() - startedAt).toBeLessThan(6_000)
        expect(looked.every(({ failure }) => failure !== undefined)).toBe(true)
        for (const { node } of looked) seen.add(node)
        expect(seen.size).toBeGreaterThanOrEqual(8 * (poll + 1))
        expect(seen.size).toBeLessThan(40)
      }
    })

    it('keeps a live set through an empty answer for a minute, then empties it', async () => {
      registered('10.0.0.1')
      await sync('a', '10.0.0.1')
      registered()
      now += 400_000
      await directory.refresh('shop', [discovery], 'due')
      for (let seconds = 0; seconds < 45; seconds += 15) {
        now += 15_000
        expect(await directory.refresh('shop', [discovery], 'due')).toHaveLength(1)
        expect(await ids()).toEqual(['a'])
      }
      now += 15_000
      await directory.refresh('shop', [discovery], 'due')
      expect(await ids()).toEqual([])
      registered('10.0.0.1')
      now += 400_000
      await directory.refresh('shop', [discovery], 'due')
      now += 300
      expect(await ids()).toEqual(['a'])
    })

    it('tells of a service that does not exist, and of instances that nobody can dial', async () => {
      standIn.answer = { error: 'ServiceNotFound' }
      expect(await sync('a', '10.0.0.1')).toEqual([
        { node: 'cart', settled: false, failure: expect.stringContaining('there is no Cloud Map service cart') },
      ])
      registered('127.64.0.1', '10.0.0.1')
      now += 5_000
      const [looked] = await directory.refresh('shop', [discovery], 'due')
      expect(looked).toMatchObject({ settled: true, failure: expect.stringContaining('127.64.0.1') })
      expect(await ids()).toEqual(['a'])
    })

    it('looks again every few seconds for a new task that ECS has not registered yet', async () => {
      registered()
      expect(await sync('a', '10.0.0.1')).toEqual([{ node: 'cart', settled: false }])
      expect(await ids()).toEqual([])
      registered('10.0.0.1')
      now += 5_000
      expect(await directory.refresh('shop', [discovery], 'due')).toEqual([{ node: 'cart', settled: true }])
      expect(await ids()).toEqual(['a'])
    })

    it('asks Cloud Map once, however many processes find a node due at the same time', async () => {
      registered('10.0.0.1')
      await sync('a', '10.0.0.1')
      now += 400_000
      standIn.calls.length = 0
      const processes = [directory, start(), start(), start()]
      const looked = await Promise.all(processes.map((process) => process.refresh('shop', [discovery], 'due')))
      expect(looked.flat()).toHaveLength(1)
      expect(standIn.calls).toHaveLength(1)
    })

    it('shows one process what another one was told, a quarter of a second later at most', async () => {
      registered('10.0.0.1', '10.0.0.2')
      const other = start()
      expect(await ids(other)).toEqual([])
      await sync('a', '10.0.0.1')
      expect(await ids(other)).toEqual(['a'])
      await sync('b', '10.0.0.2', {}, other)
      expect(await ids()).toEqual(['a', 'b'])
      await sync('a', '10.0.0.1', { state: 'draining' }, other)
      expect((await directory.endpoints('shop', 'cart')).endpoints[0]).toMatchObject({ id: 'a', state: 'draining' })
    })

    it.each([
      ['new', 'c', '10.0.0.3', {}],
      ['draining', 'a', '10.0.0.1', { state: 'draining' }],
    ] as const)(
      'tells peers of a task that is %s though the process that took its report failed before it did',
      async (_, id, address, more) => {
        registered('10.0.0.1', '10.0.0.3')
        const other = start()
        await sync('a', '10.0.0.1')
        await sync('a', '10.0.0.1', {}, other)
        // At rest again, so that no look is due.
        now += 240_000
        await sync('a', '10.0.0.1')
        await sync('a', '10.0.0.1', {}, other)
        await directory.report(cart, instance(id, { address, ...more }), TTL)
        // The proxy heard of a failure, and says it again: to another process, which has no reason to look by itself.
        await sync(id, address, more, other)
        const { endpoints } = await other.endpoints('shop', 'cart')
        expect(endpoints.find((endpoint) => endpoint.id === id)).toMatchObject({ state: 'ready', ...more })
        calls.length = 0
        await sync(id, address, more, other)
        expect(calls).toEqual([])
      },
    )

    it('takes a heartbeat that it reads in another process for no news', async () => {
      registered('10.0.0.1')
      await sync('a', '10.0.0.1')
      now += TTL / 2
      expect(await sync('a', '10.0.0.1')).toHaveLength(1)
      expect(await sync('a', '10.0.0.1', {}, start())).toEqual([])
    })

    it('tells peers of a change whose report was written, though the answer got lost', async () => {
      await using faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
      const through = start({ endpoint: faulty.endpoint })
      registered('10.0.0.1')
      await sync('a', '10.0.0.1', {}, through)
      let lost = 0
      faulty.fate = (operation) => (operation === 'UpdateItem' && lost++ === 0 ? 'lose-answer' : 'pass')
      await sync('a', '10.0.0.1', { state: 'draining' }, through)
      expect((await through.endpoints('shop', 'cart')).endpoints).toMatchObject([{ id: 'a', state: 'draining' }])
    })

    it('loses none of many tasks that start at once in several processes', async () => {
      const addresses = Array.from({ length: 24 }, (_, n) => `10.0.1.${n}`)
      registered(...addresses)
      const processes = [directory, start(), start()]
      await Promise.all(
        addresses.map(async (address, n) => {
          const by = processes[n % processes.length]!
          await by.report(cart, instance(`i${n}`, { address }), TTL)
          await by.refresh('shop', [discovery], 'due')
        }),
      )
      now += 300
      expect(await ids()).toHaveLength(24)
    })

    it('gets through writes that collide with those of others', async () => {
      await using faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
      const through = start({ endpoint: faulty.endpoint })
      registered('10.0.0.1', '10.0.0.2')
      let flips = 0
      faulty.fate = (operation) => {
        if (operation !== 'TransactWriteItems' || flips++ >= 2) return 'pass'
        return { error: 'TransactionCanceledException', reasons: ['None', 'TransactionConflict'] }
      }
      await sync('a', '10.0.0.1', {}, through)
      expect(flips).toBe(3)
      let puts = 0
      faulty.fate = (operation) => {
        return operation === 'PutItem' && puts++ === 0 ? { error: 'TransactionConflictException' } : 'pass'
      }
      registered('10.0.0.1', '10.0.0.2', '10.0.0.3')
      await through.refresh('shop', [discovery], 'now')
      expect(puts).toBe(2)
      expect(await ids()).toEqual(['a'])
    })

    it('lets a slow process with an older report not undo a newer one', async () => {
      registered('10.0.0.1')
      const behind = now - 5_000
      const slow = start({}, { now: () => behind })
      await sync('a', '10.0.0.1', { state: 'draining' })
      await sync('a', '10.0.0.1', {}, slow)
      expect(await directory.proxies('shop')).toMatchObject([{ instance: 'a', state: 'draining' }])
    })

    it('writes nothing and reads one small item for polls of an idle mesh, but for a rare heartbeat', async () => {
      registered('10.0.0.1')
      await sync('a', '10.0.0.1')
      await ids()
      calls.length = 0
      standIn.calls.length = 0
      // An hour of polls each 30 s, as one process serves them.
      for (let polls = 0; polls < 120; polls++) {
        now += 30_000
        await sync('a', '10.0.0.1')
        await ids()
      }
      const counts = Object.groupBy(calls, (operation) => operation)
      const looks = standIn.calls.length
      // At rest a node is looked at each 4 to 6 minutes.
      expect(looks).toBeGreaterThanOrEqual(9)
      expect(looks).toBeLessThanOrEqual(15)
      // Of each look: the lease and the next time, the set and the reports.
      expect(counts.UpdateItem).toHaveLength(2 * looks + 3)
      expect(counts.Query).toHaveLength(looks)
      // The version for each poll, a set for each look, and a look before each heartbeat.
      expect(counts.GetItem!.length).toBeLessThanOrEqual(120 + looks + 3)
      expect(Object.keys(counts).sort()).toEqual(['GetItem', 'Query', 'UpdateItem'])
    })

    it('reads the version of a mesh once for all nodes that a proxy calls', async () => {
      for (let round = 0; round < 2; round++) {
        now += 300
        calls.length = 0
        await Promise.all(['a', 'b', 'c', 'd'].map((name) => directory.endpoints('shop', name)))
      }
      expect(calls).toEqual(['GetItem'])
    })

    it('reads nothing at all for a poll that follows another one within a quarter of a second', async () => {
      registered('10.0.0.1')
      await sync('a', '10.0.0.1')
      await ids()
      calls.length = 0
      await directory.report(cart, instance('a', { address: '10.0.0.1' }), TTL)
      await directory.refresh('shop', [discovery], 'due')
      await ids()
      expect(calls).toEqual([])
    })

    it.each([
      ['', 0],
      [' and it was silent for longer than its report holds', TTL],
    ])('takes a stopped task out at once, though Cloud Map still has it and its others stay%s', async (_, silentMs) => {
      registered('10.0.0.1', '10.0.0.2')
      await sync('a', '10.0.0.1')
      now += silentMs
      await sync('b', '10.0.0.2')
      const store = new MemoryStore()
      const awsCloudMap = { namespaceName: 'prod', serviceName: 'cart' }
      const tls = { mode: 'STRICT', certificate: { sds: { secretName: 's' } } }
      const listeners = [{ portMapping: { port: 8080, protocol: 'http' }, tls }]
      const spec = { listeners, serviceDiscovery: { awsCloudMap } }
      const changes = put(node('shop', 'cart', { spec }))
      await store.commit({ mesh: 'shop', expectedGeneration: 0, changes, actor: 'x', atMs: 1 })
      const refresh = refreshEndpoints({ store, states: new MeshStates(store), directory })
      const summary = await refresh({ mesh: 'shop', task: { id: 'a', stopped: true } })
      expect(summary).toEqual({ refreshed: 1, left: 0, failures: [] })
      now += 300
      expect(await ids()).toEqual(['b'])
      expect((await directory.proxies('shop')).map((proxy) => proxy.instance)).toEqual(['b'])
    })

    it('holds a thousand instances of one node', async (context) => {
      if (!here!.isolated) context.skip(MOTO_IS_SLOW)
      const addresses = Array.from({ length: 1_000 }, (_, n) => `10.2.${n >> 8}.${n & 255}`)
      registered(...addresses)
      const uuid = (n: number) =>
        `8c3f1e7a-${String(n).padStart(4, '0')}-4d5b-9f00-${String(n * 7_919).padStart(12, '0')}`
      await Promise.all(
        Array.from({ length: 8 }, async (_, worker) => {
          for (let n = worker; n < 1_000; n += 8) {
            await directory.report(cart, instance(uuid(n), { address: addresses[n]! }), TTL)
          }
        }),
      )
      await directory.refresh('shop', [discovery], 'now')
      now += 300
      expect(await ids()).toHaveLength(1_000)
      const Key = { pk: { S: 'e#shop' }, sk: { S: 'set#cart' } }
      const { Item } = await opened[0]!.send(new GetItemCommand({ TableName: table, Key }))
      expect(Item!.data!.B!.byteLength).toBeLessThan(100_000)
    })

    it('refuses more instances of a node than a rolling deployment of the largest one has, until some have lapsed', async (context) => {
      if (!here!.isolated) context.skip(MOTO_IS_SLOW)
      const requests = Array.from({ length: 2_000 }, (_, n) => {
        const key = { pk: { S: 'e#shop' }, sk: { S: `report#virtual-node#4#cart#i${n}` } }
        return { PutRequest: { Item: { ...key, lapses: { N: String(now + 60_000) } } } }
      })
      await writeAll(opened[0]!, table, requests)
      await expect(sync('late', '10.0.0.1')).rejects.toMatchObject({ code: 'limit-exceeded' })
      const other = { ...cart, name: 'cart2' }
      await directory.report(other, instance('b'), TTL)
      now += 60_000
      await directory.report(cart, instance('late', { address: '10.0.0.1' }), TTL)
    })

    it('answers unavailable or throttled when the table can not be used', async () => {
      await using faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
      const through = start({ endpoint: faulty.endpoint, maxAttempts: 1 })
      faulty.fate = () => 'lose-call'
      await expect(sync('a', '10.0.0.1', {}, through)).rejects.toMatchObject({ code: 'unavailable' })
      faulty.fate = () => ({ error: 'ProvisionedThroughputExceededException' })
      await expect(ids(through)).rejects.toMatchObject({ code: 'throttled' })
      await expect(through.proxies('shop')).rejects.toMatchObject({ code: 'throttled' })
      // Nothing of the report got lost: the next sync, which says the same, brings it in.
      faulty.fate = (operation) => (operation === 'TransactWriteItems' ? 'lose-call' : 'pass')
      registered('10.0.0.1')
      await expect(sync('a', '10.0.0.1', {}, through)).rejects.toMatchObject({ code: 'unavailable' })
      faulty.fate = () => 'pass'
      await sync('a', '10.0.0.1', {}, through)
      expect(await ids(through)).toEqual(['a'])
    })
  },
)

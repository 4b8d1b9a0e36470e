import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DynamoDBClient, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDynamoDbStore } from '../../runtime/adapters/dynamodb-store.ts'
import { Changes } from '../../runtime/app/changes.ts'
import { MeshStates } from '../../runtime/app/mesh-states.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { rollback } from '../../runtime/app/rollback.ts'
import type { Change, ResourceStore } from '../../runtime/ports.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { type Fate, type FaultyDynamoDb, startFaultyDynamoDb } from '../support/faulty-dynamodb.ts'
import { resourceStoreContract } from './resource-store.ts'
import { node, put, resource } from './stored.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what
afterAll(() => here?.[Symbol.asyncDispose]())

describe.skipIf(here === undefined)(`on ${title}`, () => {
  resourceStoreContract('DynamoDbStore', async () =>
    openDynamoDbStore({ table: await here!.createTable(), client: here!.config }),
  )
})

describe.skipIf(here === undefined)(`a DynamoDB store on ${title}`, () => {
  let table: string
  let faulty: FaultyDynamoDb
  let client: DynamoDBClient
  const opened: ResourceStore[] = []
  const children: ChildProcess[] = []

  beforeEach(async () => {
    table = await here!.createTable()
    faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
    client = new DynamoDBClient(here!.config)
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    for (const store of opened.splice(0)) await store.close()
    client.destroy()
    await faulty[Symbol.asyncDispose]()
  })

  /** A client of its own; `through` the faulty endpoint where that is said. */
  function open(through?: FaultyDynamoDb, more: object = {}): ResourceStore {
    const endpoint = through && { endpoint: through.endpoint }
    const store = openDynamoDbStore({ table, client: { ...here!.config, ...endpoint, ...more } })
    opened.push(store)
    return store
  }

  async function write(store: ResourceStore, name: string, expectedGeneration: number): Promise<number> {
    return store.commit({ mesh: 'm', expectedGeneration, changes: put(node('m', name)), actor: 'x', atMs: 1 })
  }

  /** Sort keys of everything in the table that begins so. */
  async function keys(prefix: string): Promise<string[]> {
    const { Items } = await client.send(new ScanCommand({ TableName: table, ConsistentRead: true }))
    return Items!.map((item) => item.sk!.S!).filter((sk) => sk.startsWith(prefix))
  }

  it('lets one of two clients win, shows both the result, and leaves nothing of the loser', async () => {
    const [one, two] = [open(), open()]
    await write(one, 'a', 0)
    const results = await Promise.allSettled([write(one, 'b', 1), write(two, 'c', 1), write(open(), 'd', 1)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    for (const result of results) if (result.status === 'rejected') expect(result.reason.code).toBe('conflict')
    expect(await one.load('m')).toEqual(await two.load('m'))
    expect((await one.load('m')).resources).toHaveLength(2)
    // Leaf, log and index of each of the two commits.
    expect(await keys('blob#')).toHaveLength(6)
    expect(await keys('intent#')).toEqual([])
  })

  it('keeps a commit that was stopped on its way from getting through later, and leaves nothing of it', async () => {
    await write(open(), 'a', 0)
    const stop = new AbortController()
    const through = Promise.withResolvers<void>()
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation !== 'TransactWriteItems') return 'pass'
      stop.abort()
      await delay(300)
      through.resolve()
      return 'pass'
    }
    const input = { mesh: 'm', expectedGeneration: 1, changes: put(node('m', 'late')), actor: 'x', atMs: 1 }
    const late = open(faulty).commit({ ...input, stopped: stop.signal })
    await expect(late).rejects.toMatchObject({ code: 'unavailable' })
    await through.promise
    await delay(200)
    expect(await open().generation('m')).toBe(1)
    expect(await keys('intent#')).toEqual([])
    expect(await write(open(), 'b', 1)).toBe(2)
  })

  it('lets no stopped commit through between the look for it and the cleaning up', async () => {
    await write(open(), 'a', 0)
    const stop = new AbortController()
    const looked = Promise.withResolvers<void>()
    const through = Promise.withResolvers<void>()
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation === 'GetItem' && stop.signal.aborted) looked.resolve()
      // Marks are slow, the flip is faster once somebody has looked for it.
      if (operation === 'UpdateItem') await delay(400)
      if (operation !== 'TransactWriteItems') return 'pass'
      stop.abort()
      await looked.promise
      await delay(100)
      through.resolve()
      return 'pass'
    }
    const input = { mesh: 'm', expectedGeneration: 1, changes: put(node('m', 'late')), actor: 'x', atMs: 1 }
    await expect(open(faulty).commit({ ...input, stopped: stop.signal })).rejects.toMatchObject({ code: 'unavailable' })
    await through.promise
    await delay(200)
    expect(await open().generation('m')).toBe(1)
  })

  it('says of a commit that was stopped too late that it is made', async () => {
    const stop = new AbortController()
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation === 'TransactWriteItems') stop.abort()
      // Marks come after the flip.
      if (operation === 'UpdateItem') await delay(300)
      return 'pass'
    }
    const input = { mesh: 'm', expectedGeneration: 0, changes: put(node('m', 'a')), actor: 'x', atMs: 1 }
    expect(await open(faulty).commit({ ...input, stopped: stop.signal })).toBe(1)
    expect(await open().generation('m')).toBe(1)
  })

  it('loses and doubles no write when two processes race, and readers see whole commits', async (context) => {
    if (!here!.isolated) context.skip('moto does not isolate transactions')
    const script = fileURLToPath(new URL('./dynamodb-writer.ts', import.meta.url))
    const writers = [1, 2].map(async () => {
      const args = [script, table, JSON.stringify(here!.config), '15']
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      children.push(child)
      const [lines, [code]] = await Promise.all([text(child.stdout!), once(child, 'exit')])
      expect(code).toBe(0)
      return lines.trim().split('\n').map(Number)
    })
    let racing = true
    const all = Promise.all(writers).finally(() => {
      racing = false
    })
    const reader = open()
    let reads = 0
    while (racing) {
      const { generation, resources } = await reader.load('m')
      if (generation > 0) expect(resources.map((item) => item.version)).toEqual([generation, generation])
      reads++
    }
    expect((await all).flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
    expect(reads).toBeGreaterThan(10)
    expect(await keys('intent#')).toEqual([])
    expect(await keys('blob#')).toHaveLength(90)
  })

  it.each(['with the token that makes a repeat harmless', 'without it'])(
    'writes once when the answer to the flip gets lost and the SDK sends it again, %s',
    async (how) => {
      let flips = 0
      faulty.fate = (operation, body) => {
        if (operation !== 'TransactWriteItems') return 'pass'
        if (how === 'without it') delete body.ClientRequestToken
        return flips++ === 0 ? 'lose-answer' : 'pass'
      }
      expect(await write(open(faulty), 'a', 0)).toBe(1)
      expect(flips).toBe(2)
      const store = open()
      expect(await store.load('m')).toMatchObject({ generation: 1, resources: [{ ref: { name: 'a' } }] })
      expect((await store.history({ mesh: 'm', limit: 10 })).items).toHaveLength(1)
    },
  )

  it('knows its flip again, although the head has moved on since', async () => {
    const rival = open()
    let flips = 0
    faulty.fate = async (operation, body) => {
      if (operation !== 'TransactWriteItems') return 'pass'
      delete body.ClientRequestToken
      if (flips++ === 0) return 'lose-answer'
      await write(rival, 'b', 1)
      return 'pass'
    }
    expect(await write(open(faulty), 'a', 0)).toBe(1)
    expect((await rival.load('m')).resources.map(({ ref }) => ref.name)).toEqual(['a', 'b'])
  })

  it('shows nothing of a writer that died before its flip, and later cleans up after it', async () => {
    faulty.fate = (operation) => (operation === 'TransactWriteItems' ? 'lose-call' : 'pass')
    await expect(write(open(faulty, { maxAttempts: 1 }), 'dead', 0)).rejects.toMatchObject({ code: 'unavailable' })
    const store = open()
    expect(await store.load('m')).toEqual({ generation: 0, resources: [] })
    await write(store, 'a', 0)
    expect((await store.load('m')).resources.map(({ ref }) => ref.name)).toEqual(['a'])
    const [intent] = await keys('intent#')
    expect(await keys('blob#')).toHaveLength(6)

    const old = { pk: { S: 'm#m' }, sk: { S: intent! }, at: { N: '0' }, blobs: { N: '3' } }
    await client.send(new PutItemCommand({ TableName: table, Item: old }))
    await write(store, 'b', 1)
    expect(await keys('intent#')).toEqual([])
    expect(await keys('blob#')).toHaveLength(6)
    expect((await store.load('m')).resources).toHaveLength(2)
  })

  it('refuses the flip of a sleeper whose blobs were cleaned away', async () => {
    faulty.fate = async (operation): Promise<Fate> => {
      if (operation !== 'TransactWriteItems') return 'pass'
      const [intent] = await keys('intent#')
      const old = { pk: { S: 'm#m' }, sk: { S: intent! }, at: { N: '0' }, blobs: { N: '3' } }
      await client.send(new PutItemCommand({ TableName: table, Item: old }))
      // Another writer cleans up, and is refused itself: the head stays where the sleeper wants it.
      const refused = { mesh: 'm', expectedGeneration: 9, changes: put(node('m', 'b')), actor: 'x', atMs: 1 }
      await expect(open().commit(refused)).rejects.toMatchObject({ code: 'conflict' })
      return 'pass'
    }
    await expect(write(open(faulty), 'a', 0)).rejects.toMatchObject({ code: 'conflict' })
    expect(await keys('')).toEqual([])
  })

  it('answers forbidden to a writer whose role may only read, after whom nothing is left', async () => {
    await write(open(), 'a', 0)
    faulty.fate = (operation) =>
      ['PutItem', 'BatchWriteItem', 'TransactWriteItems'].includes(operation)
        ? { error: 'AccessDeniedException' }
        : 'pass'
    const reader = open(faulty)
    expect((await reader.load('m')).resources).toHaveLength(1)
    await expect(write(reader, 'b', 1)).rejects.toMatchObject({ code: 'forbidden' })
    expect(await keys('intent#')).toEqual([])
  })

  it('answers throttled when DynamoDB stays too busy, and gets through when it is so for a moment', async () => {
    let refusals = 2
    faulty.fate = () => (refusals-- > 0 ? { error: 'ProvisionedThroughputExceededException' } : 'pass')
    expect(await open(faulty).generation('m')).toBe(0)
    refusals = Number.POSITIVE_INFINITY
    const store = open(faulty, { maxAttempts: 2 })
    await expect(store.generation('m')).rejects.toMatchObject({ code: 'throttled' })
    await expect(write(store, 'a', 0)).rejects.toMatchObject({ code: 'throttled' })
  })

  it('answers unavailable without network or table, and shows no credentials with it', async () => {
    faulty.fate = () => 'lose-call'
    const lost = await write(open(faulty, { maxAttempts: 1 }), 'a', 0).catch((error: unknown) => error)
    expect(lost).toMatchObject({ code: 'unavailable' })
    faulty.fate = () => new Promise<never>(() => {})
    const hasty = { maxAttempts: 1, requestHandler: { requestTimeout: 100, throwOnRequestTimeout: true } }
    await expect(open(faulty, hasty).load('m')).rejects.toMatchObject({ code: 'unavailable' })
    table = 'no-such-table'
    const wrong = await open()
      .load('m')
      .catch((error: Error) => error)
    expect(wrong).toMatchObject({ code: 'unavailable', message: expect.stringContaining('Create it first') })
    expect(JSON.stringify([lost, wrong, (wrong as Error).cause])).not.toContain('Credential')
    expect((wrong as Error).cause).not.toHaveProperty('$response')
  })

  it('gets through a flip that collides with others, or meets a busy table, for a moment', async () => {
    let flips = 0
    faulty.fate = (operation) => {
      if (operation !== 'TransactWriteItems') return 'pass'
      return flips++ < 2 ? { error: 'TransactionCanceledException', reasons: ['TransactionConflict', 'None'] } : 'pass'
    }
    expect(await write(open(faulty), 'a', 0)).toBe(1)
    expect(flips).toBe(3)
    faulty.fate = (operation) =>
      operation === 'TransactWriteItems'
        ? { error: 'TransactionCanceledException', reasons: ['ThrottlingError'] }
        : 'pass'
    await expect(write(open(faulty), 'b', 1)).rejects.toMatchObject({ code: 'throttled' })
  })

  it('rolls back 500 resources in one visible step', async () => {
    const store = open()
    const nodes = Array.from({ length: 500 }, (_, n) => node('shop', `n${n}`))
    const mesh = resource({ kind: 'mesh', mesh: 'shop', name: 'shop' })
    await store.commit({ mesh: 'shop', expectedGeneration: 0, changes: put(mesh, ...nodes), actor: 'x', atMs: 1 })
    const removals = nodes.map(({ ref }): Change => ({ kind: 'remove', ref }))
    await store.commit({ mesh: 'shop', expectedGeneration: 1, changes: removals, actor: 'x', atMs: 2 })
    const deps = { store, states: new MeshStates(store), changes: new Changes(), clock: { now: () => 3 } }
    const back = rollback({ ...deps, newUid: randomUUID, quotas: quotasOf({}) })
    let rolling = true
    const rolled = back({ mesh: 'shop', generation: 1, actor: 'x' }).finally(() => {
      rolling = false
    })
    const reader = open()
    while (rolling) {
      const { generation, resources } = await reader.load('shop')
      expect([generation, resources.length]).toEqual(generation === 2 ? [2, 1] : [3, 501])
    }
    expect((await rolled).generation).toBe(3)
    expect((await reader.load('shop')).resources).toHaveLength(501)
    expect(
      (await reader.history({ mesh: 'shop', limit: 1000 })).items.filter((item) => item.rolledBackTo === 1),
    ).toHaveLength(500)
  })

  it('spreads a resource over several items when it is larger than DynamoDB takes', async () => {
    let seed = 1
    const noise = Array.from({ length: 100_000 }, () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed
    })
    const large = node('m', 'large', { spec: { noise } })
    const store = open()
    await store.commit({ mesh: 'm', expectedGeneration: 0, changes: put(large), actor: 'x', atMs: 1 })
    expect(await open().get(large.ref)).toEqual(large)
    expect((await open().history({ mesh: 'm', limit: 1 })).items[0]?.after).toEqual(large)
    expect((await keys('blob#')).length).toBeGreaterThan(3)
  })

  it('writes and reads a few small items for one change in a mesh of thousands', async () => {
    const nodes = Array.from({ length: 3_000 }, (_, n) => node('m', `n${n}`, { spec: { text: 'x'.repeat(500) } }))
    const store = open()
    await store.commit({ mesh: 'm', expectedGeneration: 0, changes: put(...nodes), actor: 'x', atMs: 1 })
    await store.load('m')
    const calls: string[] = []
    faulty.fate = (operation, body) => {
      const count = JSON.stringify(body).split('blob#').length - 1
      calls.push(`${operation} ${count}`)
      return 'pass'
    }
    await write(open(faulty), 'n1500', 1)
    expect(calls.sort()).toEqual([
      'BatchGetItem 1',
      'BatchGetItem 1',
      'BatchWriteItem 3',
      'GetItem 0',
      'PutItem 0',
      'Query 0',
      'TransactWriteItems 0',
    ])
    calls.length = 0
    await open(faulty).list({ kind: 'virtual-node', mesh: 'm', limit: 10 })
    expect(calls.sort()).toEqual(['BatchGetItem 1', 'BatchGetItem 1', 'GetItem 0'])
  })
})

import { afterAll, describe, expect, it } from 'vitest'
import { BackOff } from '../../proxy-image/src/control/back-off.ts'
import { DynamoDbAllowance } from '../../runtime/adapters/dynamodb-allowance.ts'
import { dynamoDbClient, writeAll } from '../../runtime/adapters/dynamodb-calls.ts'
import { DynamoDbPace } from '../../runtime/adapters/dynamodb-pace.ts'
import { DynamoDbPending } from '../../runtime/adapters/dynamodb-pending.ts'
import { DynamoDbRootLog } from '../../runtime/adapters/dynamodb-root-log.ts'
import { issuedKey } from '../../runtime/adapters/dynamodb-table.ts'
import type { MeshError } from '../../runtime/model/problem.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const why = 'missing' in database ? `, where there is one: ${database.missing}` : ''
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
const client = here && dynamoDbClient(here.config)
afterAll(async () => {
  client?.destroy()
  await here?.[Symbol.asyncDispose]()
})

describe.skipIf(here === undefined)(`what ACM PCA was asked, as all functions know it by DynamoDB${why}`, () => {
  it('is found by its request for five minutes', async () => {
    const table = await here!.createTable()
    const [one, other] = [new DynamoDbPending(client!, table), new DynamoDbPending(client!, table)]
    const askedAtMs = Date.now()
    const certificate = { certificateArn: 'arn:one', askedAtMs }
    await one.keep('shop', 'request', certificate)
    expect(await other.find('shop', 'request', askedAtMs + 299_000)).toEqual(certificate)
    expect(await other.find('shop', 'request', askedAtMs + 301_000)).toBeUndefined()
    expect(await other.find('shop', 'other', askedAtMs)).toBeUndefined()
    expect(await other.find('bazaar', 'request', askedAtMs)).toBeUndefined()
    const later = { certificateArn: 'arn:two', askedAtMs: askedAtMs + 301_000 }
    await other.keep('shop', 'request', later)
    expect(await one.find('shop', 'request', askedAtMs + 301_000)).toEqual(later)
  })

  it('is spread over time, whoever asks, and nobody waits long', async () => {
    const table = await here!.createTable()
    const nowMs = Date.now()
    const paces = Array.from({ length: 8 }, () => new DynamoDbPace(client!, table))
    const turns = await Promise.allSettled(Array.from({ length: 80 }, (_, n) => paces[n % 8]!.turn(nowMs)))
    const given = turns.flatMap((turn) => (turn.status === 'fulfilled' ? [turn.value - nowMs] : []))
    expect(given.sort((a, b) => a - b)).toEqual(Array.from({ length: 61 }, (_, n) => n * 50))
    for (const turn of turns) {
      if (turn.status === 'rejected') expect(turn.reason).toMatchObject({ code: 'throttled', retryAfterS: 5 })
    }
    expect(await paces[0]!.turn(nowMs + 3_000)).toBe(nowMs + 3_050)
    expect(await paces[1]!.turn(nowMs + 60_000)).toBe(nowMs + 60_000)
    expect(await paces[2]!.turn(nowMs + 60_000)).toBe(nowMs + 60_050)
  })

  it('does not get in the way of the roots, which lie beside the pace', async () => {
    const table = await here!.createTable()
    await new DynamoDbPace(client!, table).turn(Date.now())
    expect(await new DynamoDbRootLog(client!, table).list()).toEqual([])
  })

  it('is all there after a minute or so for the fourth 1,000 tasks of a node in an hour that start at once, 25 a second at most', async () => {
    const table = await here!.createTable()
    const pace = new DynamoDbPace(client!, table)
    const allowance = new DynamoDbAllowance(client!, table)
    const startMs = Math.floor(Date.now() / 3_600_000) * 3_600_000
    const hour = startMs / 3_600_000
    const Item = { pk: { S: 'e#shop' }, sk: { S: issuedKey(orders, hour) }, n: { N: '3000' } }
    await writeAll(client!, table, [{ PutRequest: { Item } }])
    const issuedAtMs: number[] = []
    const tasks = Array.from({ length: 1_000 }, () => ({
      atMs: Math.floor(Math.random() * 1_000),
      backOff: new BackOff(200, 30_000),
    }))
    // In a time of its own: what each function does, and what each sidecar does with its answer.
    for (let calls = 0; tasks.length > 0; calls++) {
      expect(calls).toBeLessThan(20_000)
      tasks.sort((a, b) => b.atMs - a.atMs)
      const task = tasks.pop()!
      await allowance.take(orders, startMs)
      try {
        issuedAtMs.push((await pace.turn(startMs + task.atMs)) - startMs)
      } catch (error) {
        await allowance.giveBack(orders, startMs)
        task.atMs += Math.ceil(task.backOff.next((error as MeshError).retryAfterS * 1_000))
        tasks.push(task)
      }
    }
    issuedAtMs.sort((a, b) => a - b)
    for (const [n, atMs] of issuedAtMs.entries()) {
      expect((issuedAtMs[n + 25] ?? Number.POSITIVE_INFINITY) - atMs).toBeGreaterThanOrEqual(1_000)
    }
    // 54 s as a rule; a task that is unlucky six times pauses longer.
    expect(issuedAtMs.at(-1)).toBeLessThan(80_000)
  }, 240_000)
})

import { afterAll, describe, expect, it } from 'vitest'
import { DynamoDbAllowance } from '../../runtime/adapters/dynamodb-allowance.ts'
import { dynamoDbClient, writeAll } from '../../runtime/adapters/dynamodb-calls.ts'
import { issuedKey } from '../../runtime/adapters/dynamodb-table.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const why = 'missing' in database ? `, where there is one: ${database.missing}` : ''
afterAll(() => here?.[Symbol.asyncDispose]())

describe.skipIf(here === undefined)(`what a workload may have made in an hour, on DynamoDB${why}`, () => {
  it('is counted by all functions together, for each workload apart, and anew in the next hour', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    const [one, other] = [new DynamoDbAllowance(client, table), new DynamoDbAllowance(client, table)]
    const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
    const hour = 497_000
    const nowMs = hour * 3_600_000 + 1_800_000
    await one.take(orders, nowMs)
    const Item = { pk: { S: 'e#shop' }, sk: { S: issuedKey(orders, hour) }, n: { N: '3998' } }
    await writeAll(client, table, [{ PutRequest: { Item } }])
    const results = await Promise.allSettled([one, other, one, other].map((by) => by.take(orders, nowMs)))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    await expect(one.take(orders, nowMs)).rejects.toMatchObject({
      code: 'throttled',
      message: expect.stringMatching(/'orders' of mesh 'shop' had 4000 .* next hour/),
    })
    await one.take({ ...orders, name: 'cart' }, nowMs)
    await one.take({ ...orders, kind: 'virtual-gateway' }, nowMs)
    await one.take(orders, nowMs + 1_800_000)
    client.destroy()
  })
})

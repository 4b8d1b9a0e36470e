import { afterAll, describe, expect, it } from 'vitest'
import { dynamoDbClient } from '../../runtime/adapters/dynamodb-calls.ts'
import { DynamoDbPending } from '../../runtime/adapters/dynamodb-pending.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const why = 'missing' in database ? `, where there is one: ${database.missing}` : ''
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
})

import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, describe, expect, it } from 'vitest'
import { DynamoDbRoleBindings } from '../../runtime/adapters/dynamodb-role-bindings.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { startFaultyDynamoDb } from '../support/faulty-dynamodb.ts'
import { roleBindingsContract } from './role-bindings.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what
const client = new DynamoDBClient(here?.config ?? {})
afterAll(async () => {
  client.destroy()
  await here?.[Symbol.asyncDispose]()
})

describe.skipIf(here === undefined)(`on ${title}`, () => {
  roleBindingsContract('DynamoDbRoleBindings', async () => new DynamoDbRoleBindings(client, await here!.createTable()))

  it('answers forbidden, and not unavailable, to a function that may only read', async () => {
    await using faulty = await startFaultyDynamoDb(String(here!.config.endpoint))
    faulty.fate = () => ({ error: 'AccessDeniedException' })
    const reader = new DynamoDBClient({ ...here!.config, endpoint: faulty.endpoint })
    const bindings = new DynamoDbRoleBindings(reader, await here!.createTable())
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    const binding = { accountId: '111122223333', roleName: 'orders-task', subject }
    await expect(bindings.bind(binding)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(bindings.unbind(binding)).rejects.toMatchObject({ code: 'forbidden' })
    reader.destroy()
  })
})

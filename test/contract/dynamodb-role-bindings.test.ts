import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, describe, expect, it } from 'vitest'
import { DynamoDbRoleBindings } from '../../runtime/adapters/dynamodb-role-bindings.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { roleBindingsContract } from './role-bindings.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const title = here === undefined ? `where there is one: ${(database as { missing: string }).missing}` : here.what
const client = new DynamoDBClient(here?.config ?? {})
afterAll(async () => {
  client.destroy()
  await here?.[Symbol.asyncDispose]()
})

async function open(now = () => Date.now()) {
  return new DynamoDbRoleBindings({ client, table: await here!.createTable(), clock: { now } })
}

describe.skipIf(here === undefined)(`on ${title}`, () => {
  roleBindingsContract('DynamoDbRoleBindings', open)

  it('a role that another process unbound is known for a minute longer, and no more', async () => {
    const table = await here!.createTable()
    let nowMs = 1_000_000
    const clock = { now: () => nowMs }
    const one = new DynamoDbRoleBindings({ client, table, clock })
    const other = new DynamoDbRoleBindings({ client, table, clock })
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    const binding = { accountId: '111122223333', roleName: 'orders-task', subject }
    await one.bind(binding)
    expect(await one.subjectOf(binding.accountId, binding.roleName)).toEqual(subject)
    await other.unbind(binding)
    nowMs += 59_999
    expect(await one.subjectOf(binding.accountId, binding.roleName)).toEqual(subject)
    nowMs += 1
    expect(await one.subjectOf(binding.accountId, binding.roleName)).toBeUndefined()
  })
})

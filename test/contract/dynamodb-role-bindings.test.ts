import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, describe } from 'vitest'
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

describe.skipIf(here === undefined)(`on ${title}`, () => {
  roleBindingsContract('DynamoDbRoleBindings', async () => new DynamoDbRoleBindings(client, await here!.createTable()))
})

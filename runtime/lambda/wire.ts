import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamoDbClient } from '../adapters/dynamodb-calls.ts'
import { DynamoDbRoleBindings } from '../adapters/dynamodb-role-bindings.ts'
import { openDynamoDbStore } from '../adapters/dynamodb-store.ts'
import { IamIdentity } from '../adapters/iam-identity.ts'
import type { CallerIdentity, Clock, ResourceStore, RoleBindings } from '../ports.ts'
import type { LambdaEnv } from './env.ts'

/** What every function of a control plane stands on; what few of them need is in the files `open-*.ts`, which load it late. */
export interface Wiring {
  readonly env: LambdaEnv
  readonly client: DynamoDBClient
  readonly store: ResourceStore
  readonly bindings: RoleBindings
  readonly callers: CallerIdentity
  readonly clock: Clock
}

/** Made once per instance. Asks nothing of AWS yet. */
export function wire(env: LambdaEnv): Wiring {
  const clock: Clock = { now: () => Date.now() }
  const client = dynamoDbClient()
  const store = openDynamoDbStore({ table: env.table, client })
  const bindings = new DynamoDbRoleBindings(client, env.table)
  return { env, client, store, bindings, callers: new IamIdentity(bindings, clock), clock }
}

/** Makes something when it is first asked for; what failed is tried again the next time. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error) => {
      made = undefined
      throw error
    })
    return made
  }
}

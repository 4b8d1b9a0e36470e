import { randomUUID } from 'node:crypto'
import { dynamoDbClient } from '../adapters/dynamodb-calls.ts'
import { DynamoDbRoleBindings } from '../adapters/dynamodb-role-bindings.ts'
import { openDynamoDbStore } from '../adapters/dynamodb-store.ts'
import { IamIdentity } from '../adapters/iam-identity.ts'
import { Registry } from '../adapters/registry.ts'
import { Changes } from '../app/changes.ts'
import { polledEvery } from '../app/pace.ts'
import { type UseCases, useCases } from '../app/use-cases.ts'
import { MeshError } from '../model/problem.ts'
import type { CallerIdentity, Clock, ResourceStore, RoleBindings, RotatingIssuer } from '../ports.ts'
import type { LambdaEnv } from './env.ts'
import { openIssuer } from './open-issuer.ts'

/** What the functions of a control plane stand on. Made once per instance; clients that few need are made when asked for. */
export interface Wiring {
  readonly store: ResourceStore
  readonly bindings: RoleBindings
  readonly callers: CallerIdentity
  readonly clock: Clock
  readonly cases: UseCases
  readonly issuer: () => Promise<RotatingIssuer>
  /** Makes the names of a mesh's virtual services resolve. Does nothing where there is no zone for them. */
  readonly publishNames: (mesh: string) => Promise<void>
}

/** Connects the use cases to AWS. Asks nothing of AWS yet. */
export function wire(env: LambdaEnv): Wiring {
  const clock: Clock = { now: () => Date.now() }
  const client = dynamoDbClient()
  const store = openDynamoDbStore({ table: env.table, client })
  const bindings = new DynamoDbRoleBindings(client, env.table)
  const issuer = once(() => openIssuer(env, client, clock))
  const cases = useCases({
    store,
    directory: new Registry(clock),
    issuer: {
      trust: async () => (await issuer()).trust(),
      issue: async (csrPem, spiffeId) => (await issuer()).issue(csrPem, spiffeId),
    },
    mint: () => {
      throw new MeshError('invalid', NO_JOIN_TOKENS)
    },
    changes: new Changes(),
    clock,
    newUid: randomUUID,
    trustDomain: env.trustDomain,
    quotas: env.quotas,
    pace: polledEvery(env.syncIntervalMs),
    stopping: new AbortController().signal,
  })
  return {
    store,
    bindings,
    callers: new IamIdentity(bindings, clock),
    clock,
    cases,
    issuer,
    publishNames: async () => {},
  }
}

const NO_JOIN_TOKENS =
  'this control plane knows proxies by their IAM roles and takes no join tokens; bind the task role to the node (MeshService and MeshGateway do)'

/** Makes something when it is first asked for; what failed is tried again the next time. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error) => {
      made = undefined
      throw error
    })
    return made
  }
}

import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { onTestFinished } from 'vitest'
import { CloudMap } from '../../runtime/adapters/cloud-map.ts'
import { DynamoDbEndpoints } from '../../runtime/adapters/dynamodb-endpoints.ts'
import { openDynamoDbStore } from '../../runtime/adapters/dynamodb-store.ts'
import { Changes } from '../../runtime/app/changes.ts'
import { polledEvery } from '../../runtime/app/pace.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { useCases } from '../../runtime/app/use-cases.ts'
import type { Clock } from '../../runtime/ports.ts'
import { EMULATED } from '../support/emulator.ts'

/** An instance of the function that proxies ask, wired as on Lambda but for certificates; ended, with its client, after the test. */
export function polledFunction(options: {
  readonly table: string
  readonly client: DynamoDBClient
  /** Endpoint of Cloud Map. */
  readonly cloudMap: string
  readonly clock: Clock
  readonly intervalMs: number
}) {
  const { table, client, clock } = options
  const cloudMap = new CloudMap({ ...EMULATED, endpoint: options.cloudMap })
  onTestFinished(() => {
    cloudMap.close()
    client.destroy()
  })
  const store = openDynamoDbStore({ table, client })
  const cases = useCases({
    store,
    directory: new DynamoDbEndpoints({ client, table, cloudMap, clock }),
    issuer: { trust: async () => ({ revision: 't', certificates: [] }), issue: async () => '' },
    mint: () => ({ token: '', expiresAtMs: 0 }),
    changes: new Changes(),
    clock,
    newUid: () => 'u',
    trustDomain: 'weft.internal',
    quotas: quotasOf({}),
    pace: polledEvery(options.intervalMs),
    stopping: new AbortController().signal,
  })
  return { store, ...cases }
}

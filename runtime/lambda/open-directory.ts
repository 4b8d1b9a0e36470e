import { DynamoDbEndpoints, type DynamoDbEndpointsOptions } from '../adapters/dynamodb-endpoints.ts'
import type { EndpointDirectory } from '../ports.ts'
import { once, type Wiring } from './wire.ts'

/** Instances of virtual nodes: Cloud Map's, joined with what proxies report. Cloud Map's client is loaded with the first look. */
export function openDirectory({ env, client, clock }: Wiring): EndpointDirectory {
  const open = once(async () => new (await import('../adapters/cloud-map.ts')).CloudMap())
  const cloudMap: DynamoDbEndpointsOptions['cloudMap'] = { discover: async (where) => (await open()).discover(where) }
  return new DynamoDbEndpoints({ client, table: env.table, cloudMap, clock })
}

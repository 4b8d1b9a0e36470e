import { randomUUID } from 'node:crypto'
import { afterAll, describe } from 'vitest'
import { CloudMap } from '../../runtime/adapters/cloud-map.ts'
import { dynamoDbClient } from '../../runtime/adapters/dynamodb-calls.ts'
import { DynamoDbEndpoints } from '../../runtime/adapters/dynamodb-endpoints.ts'
import { Registry } from '../../runtime/adapters/registry.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { cloudMapServices } from '../support/cloud-map-service.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { startMoto } from '../support/moto.ts'
import { type DirectoryUnderTest, endpointDirectoryContract } from './endpoint-directory.ts'

function clockOf() {
  // Not in the past: DynamoDB takes items away whose time is over.
  let now = Date.now()
  return {
    now: () => now,
    advance: (ms: number) => {
      now += ms
    },
  }
}

endpointDirectoryContract('the registry', async (): Promise<DirectoryUnderTest> => {
  const clock = clockOf()
  const discovery = ({ name }: Subject) => ({ node: name, cloudMap: null, plainPort: null })
  return { ...clock, directory: new Registry(clock), discovery, register: async () => {} }
})

const [database, aws] = await Promise.all([startDynamoDb(), startMoto('servicediscovery')])
afterAll(async () => {
  if ('config' in database) await database[Symbol.asyncDispose]()
  if ('config' in aws) await aws[Symbol.asyncDispose]()
})
const missing = 'missing' in database ? database.missing : 'missing' in aws ? aws.missing : undefined

describe.skipIf(missing !== undefined)(
  `on AWS${missing === undefined ? '' : `, where there is one: ${missing}`}`,
  () => {
    async function open(): Promise<DirectoryUnderTest> {
      if (!('config' in database) || !('config' in aws)) throw new Error('skipped')
      const clock = clockOf()
      const client = dynamoDbClient(database.config)
      const cloudMap = new CloudMap(aws.config)
      const directory = new DynamoDbEndpoints({ client, table: await database.createTable(), cloudMap, clock })
      const discovery = ({ name }: Subject) => ({ node: name, cloudMap: null, plainPort: null })
      return { ...clock, directory, discovery, register: async () => {} }
    }

    endpointDirectoryContract('DynamoDB for nodes that nobody registers', open)

    endpointDirectoryContract('DynamoDB with Cloud Map', async () => {
      const services = await cloudMapServices(aws as Extract<typeof aws, { config: unknown }>)
      const service = ({ mesh, name }: Subject) => `${mesh}-${name.replaceAll('#', '_')}`
      const registered = new Set<string>()
      return {
        ...(await open()),
        discovery: (subject) => ({
          node: subject.name,
          cloudMap: services.cloudMap(service(subject)),
          plainPort: null,
        }),
        async register(subject, address) {
          const kind = address.includes(':') ? 'AWS_INSTANCE_IPV6' : 'AWS_INSTANCE_IPV4'
          if (subject.kind === 'virtual-gateway' || registered.has(service(subject) + address)) return
          registered.add(service(subject) + address)
          await services.register(service(subject), randomUUID(), { [kind]: address })
        },
      }
    })
  },
)

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import { DYNAMODB_TABLE, DYNAMODB_TTL } from '../../runtime/adapters/dynamodb-table.ts'
import { isMoto, lackingAt } from './aws-endpoint.ts'
import { EMULATED, startEmulator } from './emulator.ts'
import { mavenTool } from './judges.ts'
import { motoServer } from './moto.ts'

/** A DynamoDB for tests, and what it is: the real thing, Amazon's own local one, or moto where there is no Java. */
export interface DynamoDb extends AsyncDisposable {
  readonly what: string
  readonly config: DynamoDBClientConfig
  /** Moto lets other calls look into a transaction half-way: nothing can be raced on it. */
  readonly isolated: boolean
  /** Makes an empty table as Weft wants it, and returns its name. */
  createTable(): Promise<string>
}

/**
 * The DynamoDB at `AWS_ENDPOINT_URL_DYNAMODB`, or else at `AWS_ENDPOINT_URL`, where one of them is set, else one of our own
 * that ends with it. `missing` says why there is none.
 */
export async function startDynamoDb(): Promise<DynamoDb | { readonly missing: string }> {
  const endpoint = process.env.AWS_ENDPOINT_URL_DYNAMODB || process.env.AWS_ENDPOINT_URL
  if (endpoint) return givenDynamoDb(endpoint)
  const jars = await mavenTool('dynamodb-local', 'com.amazonaws:DynamoDBLocal:2.6.1')
  if ('bin' in jars) {
    const main = 'com.amazonaws.services.dynamodbv2.local.main.ServerRunner'
    const options = ['-Xmx512m', '-XX:TieredStopAtLevel=1', `-Djava.library.path=${jars.bin}`]
    const args = [...options, '-cp', join(jars.bin, '*'), main, '-inMemory', '-disableTelemetry', '-port']
    const what = 'DynamoDB Local 2.6.1'
    return own(what, await startEmulator(what, 'java', (port) => [...args, `${port}`]))
  }
  const moto = await motoServer()
  if ('missing' in moto) return { missing: `${jars.missing}; ${moto.missing}` }
  const what = `moto in place of DynamoDB Local (${jars.missing})`
  return own(what, await startEmulator(what, moto.command, moto.args))
}

async function givenDynamoDb(endpoint: string): Promise<DynamoDb | { readonly missing: string }> {
  const missing = await lackingAt(endpoint, ['dynamodb'])
  if (missing !== undefined) return { missing }
  const what = (await isMoto(endpoint)) ? 'moto in place of DynamoDB' : 'the DynamoDB'
  return dynamoDb(`${what} at ${endpoint}`, { ...EMULATED, endpoint }, undefined)
}

function own(what: string, server: Awaited<ReturnType<typeof startEmulator>>): DynamoDb | { readonly missing: string } {
  return 'missing' in server ? server : dynamoDb(what, { ...EMULATED, endpoint: server.endpoint }, server)
}

function dynamoDb(what: string, config: DynamoDBClientConfig, server: AsyncDisposable | undefined): DynamoDb {
  const client = new DynamoDBClient(config)
  const tables: string[] = []
  return {
    what,
    config,
    isolated: !what.startsWith('moto'),
    async createTable() {
      const TableName = `weft-test-${randomUUID()}`
      await client.send(new CreateTableCommand({ ...DYNAMODB_TABLE, TableName } as never))
      tables.push(TableName)
      await waitUntilTableExists({ client, minDelay: 1, maxWaitTime: 60 }, { TableName })
      await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: DYNAMODB_TTL }))
      return TableName
    },
    async [Symbol.asyncDispose]() {
      if (server !== undefined) await server[Symbol.asyncDispose]()
      else for (const TableName of tables) await client.send(new DeleteTableCommand({ TableName }))
      client.destroy()
    },
  }
}

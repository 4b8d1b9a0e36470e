import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import { DYNAMODB_TABLE, DYNAMODB_TTL } from '../../runtime/adapters/dynamodb-table.ts'
import { mavenTool, pythonTool } from './judges.ts'

/** A DynamoDB for tests, and what it is: the real thing, Amazon's own local one, or moto where there is no Java. */
export interface DynamoDb extends AsyncDisposable {
  readonly what: string
  readonly config: DynamoDBClientConfig
  /** Moto lets other calls look into a transaction half-way: nothing can be raced on it. */
  readonly isolated: boolean
  /** Makes an empty table as Weft wants it, and returns its name. */
  createTable(): Promise<string>
}

const START_MS = 30_000
/** Emulators want some credentials and take any. */
const EMULATOR = { region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }

/**
 * The DynamoDB at `AWS_ENDPOINT_URL_DYNAMODB` where that is set, else one of our own that ends with it.
 * `missing` says why there is none.
 */
export async function startDynamoDb(): Promise<DynamoDb | { readonly missing: string }> {
  const endpoint = process.env.AWS_ENDPOINT_URL_DYNAMODB
  if (endpoint) return dynamoDb(`the DynamoDB at ${endpoint}`, { endpoint }, undefined)
  const jars = await mavenTool('dynamodb-local', 'com.amazonaws:DynamoDBLocal:2.6.1')
  const port = await freePort()
  if ('bin' in jars) {
    const main = 'com.amazonaws.services.dynamodbv2.local.main.ServerRunner'
    const options = ['-Xmx512m', '-XX:TieredStopAtLevel=1', `-Djava.library.path=${jars.bin}`]
    const args = [...options, '-cp', join(jars.bin, '*'), main, '-inMemory', '-disableTelemetry', '-port', `${port}`]
    return own('DynamoDB Local 2.6.1', port, spawn('java', args, { stdio: 'ignore' }))
  }
  const moto = await pythonTool('moto', 'moto[server,dynamodb]')
  if ('missing' in moto) return { missing: `${jars.missing}; ${moto.missing}` }
  const args = ['-H', '127.0.0.1', '-p', `${port}`]
  const what = `moto in place of DynamoDB Local (${jars.missing})`
  return own(what, port, spawn(join(moto.bin, 'moto_server'), args, { stdio: 'ignore' }))
}

async function own(what: string, port: number, child: ChildProcess): Promise<DynamoDb | { readonly missing: string }> {
  const endpoint = `http://127.0.0.1:${port}`
  for (const deadline = Date.now() + START_MS; Date.now() < deadline && child.exitCode === null; await delay(50)) {
    const answer = await fetch(endpoint).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer !== undefined) return dynamoDb(what, { ...EMULATOR, endpoint }, child)
  }
  await end(child)
  return { missing: `${what} does not start (exit code ${child.exitCode})` }
}

function dynamoDb(what: string, config: DynamoDBClientConfig, child: ChildProcess | undefined): DynamoDb {
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
      if (child !== undefined) await end(child)
      else for (const TableName of tables) await client.send(new DeleteTableCommand({ TableName }))
      client.destroy()
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

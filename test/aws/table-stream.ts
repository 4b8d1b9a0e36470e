import { setTimeout as delay } from 'node:timers/promises'
import { DescribeTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda'
import { AwsClient } from 'aws4fetch'
import { EMULATED } from '../support/emulator.ts'

const POLL_MS = 100

/** Hands the records of a table's stream to functions, as Lambda's event source does: in order, and again what it failed. */
export class TableStream {
  readonly #client: AwsClient
  readonly #endpoint: string
  readonly #stopped = new AbortController()
  /** Batches that the function could not be given, or did not take. */
  readonly failures: unknown[] = []
  readonly #pumping: Promise<void>[] = []

  constructor(endpoint: string) {
    this.#client = new AwsClient({ ...EMULATED.credentials, region: EMULATED.region, service: 'dynamodb', retries: 0 })
    this.#endpoint = endpoint
  }

  async start(
    client: DynamoDBClient,
    TableName: string,
    handler: (event: { Records: DynamoDBRecord[] }) => Promise<DynamoDBBatchResponse | undefined>,
  ): Promise<void> {
    const { Table } = await client.send(new DescribeTableCommand({ TableName }))
    const StreamArn = Table!.LatestStreamArn!
    const { StreamDescription } = await this.#call('DescribeStream', { StreamArn })
    const [{ ShardId }] = StreamDescription.Shards
    const from = { StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' }
    const { ShardIterator } = await this.#call('GetShardIterator', from)
    this.#pumping.push(this.#pump(ShardIterator, handler))
  }

  async #pump(first: string, handler: Parameters<TableStream['start']>[2]): Promise<void> {
    for (let iterator = first; !this.#stopped.signal.aborted; ) {
      const { Records = [], NextShardIterator } = await this.#call('GetRecords', { ShardIterator: iterator })
      if (Records.length > 0) {
        const answer = await handler({ Records }).catch((error) => void this.failures.push(error))
        this.failures.push(...(answer?.batchItemFailures ?? []))
      }
      iterator = NextShardIterator
      if (Records.length === 0) await delay(POLL_MS)
    }
  }

  // biome-ignore lint/suspicious/noExplicitAny: the SDK's client for streams is no dependency, and nor are its types.
  async #call(operation: string, body: object): Promise<any> {
    const headers = {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDBStreams_20120810.${operation}`,
    }
    const answer = await this.#client.fetch(this.#endpoint, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${operation}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#pumping)
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  type TransactionCanceledException,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'

export type Item = Record<string, AttributeValue>

const CLIENT: DynamoDBClientConfig = {
  // The SDK spreads them over about 3 s: a throttled write is better late than refused.
  maxAttempts: 7,
  // The SDK's own client waits for ever for a connection or an answer that does not come.
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 5_000, throwOnRequestTimeout: true },
}

/** A client with our patience. Region, credentials and endpoint are found as every AWS client does where they are not given. */
export function dynamoDbClient(config: DynamoDBClientConfig = {}): DynamoDBClient {
  return new DynamoDBClient({ ...CLIENT, ...config })
}

/** DynamoDB's own limits of one batch call. */
const MAX_WRITES = 25
const MAX_READS = 100
/** Batches under way at once: enough to hide the round trip, few enough to stay off a partition's limit. */
const CONCURRENCY = 4
/** Rounds in which DynamoDB may leave parts of a batch undone before we say that it is too busy (about 6 s in all). */
const MAX_ROUNDS = 10

/** Refused for the rate, whatever DynamoDB calls it (after the SDK has tried again with its own back-off). */
const THROTTLING: ReadonlySet<string> = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'ThrottledException',
  'RequestLimitExceeded',
  'LimitExceededException',
  'TransactionInProgressException',
  // As reasons of a cancelled transaction. A conflict is another transaction on the same item in the same moment.
  'ProvisionedThroughputExceeded',
  'ThrottlingError',
  'TransactionConflict',
])

/** Whether DynamoDB was too busy for a call, so that the same one may succeed later. */
export function isThrottling(error: unknown): boolean {
  const { name, CancellationReasons: reasons } = error as TransactionCanceledException
  return THROTTLING.has(name) || (reasons ?? []).some(({ Code }) => THROTTLING.has(Code ?? ''))
}

/** What went wrong with a table, in the words of the store's callers: `throttled` or `unavailable`. */
export function asMeshError(error: unknown, table: string): MeshError {
  if (error instanceof MeshError) return error
  const { name, message } = error as Error
  // The SDK's errors carry the request with its credentials, which must not reach a log.
  const cause = Object.assign(new Error(message), { name })
  if (isThrottling(error)) {
    return new MeshError('throttled', `DynamoDB refuses more calls to table ${table} for now (${name}); try again.`, {
      cause,
    })
  }
  const hint = name === 'ResourceNotFoundException' ? ' Create it first, or give the name of the right one.' : ''
  return new MeshError('unavailable', `The DynamoDB table ${table} can't be used: ${name}: ${message}.${hint}`, {
    cause,
  })
}

/**
 * The function that people get who may only look has a role that can't write: theirs to know, and nothing to try again. Where
 * a role has lost its rights, it's a stack's reason. For the `catch` of a write.
 */
export function refuseReader(error: Error): never {
  if (error.name !== 'AccessDeniedException') throw error
  const message =
    'this part of the control plane may read its table and not write it (AccessDeniedException); if it is the read-only ' +
    'endpoint, use the one for changes, else give its role back what the Mesh construct grants it on the table'
  throw new MeshError('forbidden', message, { cause: Object.assign(new Error(error.message), { name: error.name }) })
}

/** Puts and deletes of any number, in batches. All are idempotent, so what a batch leaves undone is sent again. */
export async function writeAll(
  client: DynamoDBClient,
  table: string,
  requests: readonly WriteRequest[],
): Promise<void> {
  await eachBatch(requests, MAX_WRITES, async (batch) => {
    await rounds(table, batch, async (undone) => {
      const answer = await client.send(new BatchWriteItemCommand({ RequestItems: { [table]: undone } }))
      return answer.UnprocessedItems?.[table] ?? []
    })
  })
}

/** Items by key, in no order; those that are not there are left out. Strongly consistent. */
export async function readAll(client: DynamoDBClient, table: string, keys: readonly Item[]): Promise<Item[]> {
  const found: Item[] = []
  await eachBatch(keys, MAX_READS, async (batch) => {
    await rounds(table, batch, async (undone) => {
      const RequestItems = { [table]: { Keys: undone, ConsistentRead: true } }
      const answer = await client.send(new BatchGetItemCommand({ RequestItems }))
      found.push(...(answer.Responses?.[table] ?? []))
      return answer.UnprocessedKeys?.[table]?.Keys ?? []
    })
  })
  return found
}

async function eachBatch<T>(all: readonly T[], size: number, work: (batch: T[]) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < all.length) {
      const start = next
      next += size
      await work(all.slice(start, start + size))
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, Math.ceil(all.length / size)) }, worker))
}

/** The SDK tries failed calls again, but not the parts of a batch that DynamoDB left undone. */
async function rounds<T>(table: string, batch: T[], call: (undone: T[]) => Promise<T[]>): Promise<void> {
  let undone = batch
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (round > 0) await backOff(round)
    undone = await call(undone)
    if (undone.length === 0) return
  }
  throw new MeshError('throttled', `DynamoDB keeps leaving items of table ${table} undone: too busy; try again.`)
}

/** Exponential from 25 ms to 1 s, with full jitter. */
export async function backOff(round: number): Promise<void> {
  await delay(Math.random() * Math.min(1000, 25 * 2 ** round))
}

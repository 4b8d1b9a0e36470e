import {
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  type TransactWriteItemsCommandInput,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import type { Receipt } from '../ports.ts'
import type { BlobBatch, BlobRef } from './dynamodb-blobs.ts'
import { backOff, type Item, isThrottling, writeAll } from './dynamodb-calls.ts'
import { blobKey, commitKey, HEADS, intentKey, meshPartition, receiptKey } from './dynamodb-table.ts'

export interface Table {
  readonly client: DynamoDBClient
  readonly table: string
}

/** What the flip of a head writes. */
export interface Flip {
  readonly mesh: string
  readonly expectedGeneration: number
  readonly batch: BlobBatch
  readonly index: BlobRef
  /** Further attributes of the `commit#` item. */
  readonly about: Item
  /** JSON of the mesh resource; null when the commit removes it, undefined when it leaves it alone. */
  readonly record: string | null | undefined
  readonly receipt: Receipt | undefined
  /** Aborted when it is not to happen any more. */
  readonly stopped: AbortSignal | undefined
}

/** After this a commit under way counts as given up: far longer than any write lasts, Lambda's 15 minutes included. */
const ABANDONED_AFTER_MS = 3_600_000
/** Abandoned commits that one writer cleans up after. */
const MAX_SWEPT = 5
/** Attempts at a head that other transactions hold at the same moment, or a table that is too busy. */
const MAX_FLIPS = 8

/** Writes intent and blobs: nobody can see them before the flip. */
export async function prepare({ client, table }: Table, { mesh, batch }: Flip): Promise<void> {
  const about = { at: { N: String(Date.now()) }, blobs: { N: String(batch.size) } }
  await client.send(
    new PutItemCommand({ TableName: table, Item: { ...key(meshPartition(mesh), intentKey(batch.id)), ...about } }),
  )
  await batch.write(client, table, mesh)
}

/**
 * Moves the head. True: it is ours, also when the answer got lost on the way and the SDK sent the flip twice. False:
 * somebody else's commit has this generation, or it was stopped and never will be. Throws what DynamoDB says when nothing is
 * there yet; then the flip may still be under way, so nothing may be cleaned up.
 */
export async function flip(target: Table, move: Flip): Promise<boolean> {
  const command = flipCommand(target.table, move)
  const { stopped } = move
  for (let attempt = 1; ; attempt++) {
    try {
      stopped?.throwIfAborted()
      await target.client.send(new TransactWriteItemsCommand(command), stopped && { abortSignal: stopped })
      return true
    } catch (error) {
      // What was sent may be on its way for long.
      if (stopped?.aborted) await forbid(target, move.mesh, move.batch.id)
      // What is written counts, not what was answered: a flip that got through once fails when it is sent again.
      const winner = await commitId(target, move.mesh, move.expectedGeneration + 1)
      if (winner !== undefined) return winner === move.batch.id
      if (stopped?.aborted) return false
      const reasons = error instanceof TransactionCanceledException ? (error.CancellationReasons ?? []) : []
      if (reasons.some(({ Code }) => Code === 'ConditionalCheckFailed')) return false
      if (!isThrottling(error) || attempt === MAX_FLIPS) throw error
      await backOff(attempt)
    }
  }
}

function flipCommand(table: string, move: Flip): TransactWriteItemsCommandInput {
  const { mesh, expectedGeneration, batch, index, about, record, receipt } = move
  const generation = { N: String(expectedGeneration + 1) }
  const indexed = { S: JSON.stringify(index) }
  const partition = meshPartition(mesh)
  const withRecord = typeof record === 'string' ? ', #record = :record' : record === null ? ' REMOVE #record' : ''
  return {
    // DynamoDB answers a second send of the same token with the outcome of the first one (for ten minutes).
    ClientRequestToken: batch.id,
    TransactItems: [
      {
        Update: {
          TableName: table,
          Key: key(HEADS, mesh),
          UpdateExpression: `SET generation = :new, #index = :index${withRecord}`,
          ConditionExpression: expectedGeneration === 0 ? 'attribute_not_exists(pk)' : 'generation = :old',
          // Both are words of DynamoDB's own.
          ExpressionAttributeNames: { '#index': 'index', ...(record !== undefined && { '#record': 'record' }) },
          ExpressionAttributeValues: {
            ':new': generation,
            ':index': indexed,
            ...(expectedGeneration > 0 && { ':old': { N: String(expectedGeneration) } }),
            ...(typeof record === 'string' && { ':record': { S: record } }),
          },
        },
      },
      {
        Put: {
          TableName: table,
          Item: { ...key(partition, commitKey(expectedGeneration + 1)), generation, index: indexed, ...about },
          ConditionExpression: 'attribute_not_exists(pk)',
        },
      },
      {
        Delete: {
          TableName: table,
          Key: key(partition, intentKey(batch.id)),
          ConditionExpression: 'attribute_exists(pk) AND attribute_not_exists(swept)',
        },
      },
      ...(receipt === undefined ? [] : [{ Put: { TableName: table, Item: receiptItem(partition, receipt) } }]),
    ],
  }
}

function receiptItem(partition: string, receipt: Receipt): Item {
  const expires = { N: String(Math.ceil(receipt.expiresAtMs / 1000)) }
  return { ...key(partition, receiptKey(receipt.token)), receipt: { S: JSON.stringify(receipt) }, expires }
}

/** The id of the commit that made a generation. */
async function commitId({ client, table }: Table, mesh: string, generation: number): Promise<string | undefined> {
  const answer = await client.send(
    new GetItemCommand({
      TableName: table,
      Key: key(meshPartition(mesh), commitKey(generation)),
      ConsistentRead: true,
    }),
  )
  return answer.Item?.id?.S
}

/** Cleans up after some commits that never came to their end, whoever's they were. */
export async function sweep(target: Table, mesh: string): Promise<void> {
  const { client, table } = target
  const answer = await client.send(
    new QueryCommand({
      TableName: table,
      Limit: MAX_SWEPT,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :intent)',
      FilterExpression: '#at < :abandoned',
      ExpressionAttributeNames: { '#at': 'at' },
      ExpressionAttributeValues: {
        ':pk': { S: meshPartition(mesh) },
        ':intent': { S: intentKey('') },
        ':abandoned': { N: String(Date.now() - ABANDONED_AFTER_MS) },
      },
    }),
  )
  for (const item of answer.Items ?? []) {
    await discard(target, mesh, item.sk!.S!.slice(intentKey('').length), Number(item.blobs!.N))
  }
}

/**
 * Deletes the blobs of a commit that did not make it. First its intent is marked, which keeps it from ever flipping the
 * head; the intent goes last, so that a cleaner that dies half-way leaves the rest to the next one.
 */
export async function discard(target: Table, mesh: string, id: string, blobs: number): Promise<void> {
  const { client, table } = target
  if (!(await forbid(target, mesh, id))) return
  const intent = { TableName: table, Key: key(meshPartition(mesh), intentKey(id)) }
  const deletes = Array.from({ length: blobs }, (_, n) => ({
    DeleteRequest: { Key: key(meshPartition(mesh), blobKey(id, n)) },
  }))
  await writeAll(client, table, deletes)
  await client.send(new DeleteItemCommand(intent))
}

/** Keeps a commit from ever flipping the head. False: its intent is gone, since it got through, or somebody has cleaned up. */
async function forbid({ client, table }: Table, mesh: string, id: string): Promise<boolean> {
  const mark = new UpdateItemCommand({
    TableName: table,
    Key: key(meshPartition(mesh), intentKey(id)),
    UpdateExpression: 'SET swept = :yes',
    ConditionExpression: 'attribute_exists(pk)',
    ExpressionAttributeValues: { ':yes': { BOOL: true } },
  })
  for (let attempt = 1; ; attempt++) {
    try {
      await client.send(mark)
      return true
    } catch (error) {
      const { name } = error as Error
      if (name === 'ConditionalCheckFailedException') return false
      // The flip itself holds the intent at this moment.
      if (name !== 'TransactionConflictException' || attempt === MAX_FLIPS) throw error
      await backOff(attempt)
    }
  }
}

export function key(pk: string, sk: string): Item {
  return { pk: { S: pk }, sk: { S: sk } }
}

/** DynamoDB's limit of a sort key in bytes. The head of a mesh is found by its name. */
export function fitsKey(text: string): boolean {
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= 1024
}

/** The mesh resource is in the head item, which is read with every poll. Throws MeshError `limit-exceeded` over 64 KB. */
export function checkRecord(mesh: string, record: string | null | undefined): void {
  if (record === null || record === undefined || record.length <= 64 * 1024) return
  throw new MeshError(
    'limit-exceeded',
    `The resource of mesh ${mesh} itself is over 64 KB; give it fewer or shorter tags.`,
  )
}

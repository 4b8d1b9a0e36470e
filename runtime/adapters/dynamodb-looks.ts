import { type DynamoDBClient, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import type { Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { endpointsPartition, lookKey } from './dynamodb-table.ts'
import { remember } from './remember.ts'

const DAY_S = 86_400
/** A process that finds the lease taken leaves the node to the others for so long: each attempt is a write that is paid. */
const LEAVE_MS = 150_000
/** Nodes kept in memory. */
const MAX_NODES = 10_000

/** When to look at a node's registration again, agreed upon by all processes: who takes the lease looks, nobody else. */
export class DynamoDbLooks {
  readonly #client: DynamoDBClient
  readonly #table: string
  /** Not before this, as far as this process knows. It spares a write of each poll of a node that is not due. */
  readonly #due = new Map<string, number>()

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /** True for one caller when the node is due; it is not due again before `untilMs`, whatever becomes of the caller. */
  async lease(mesh: string, node: string, nowMs: number, untilMs: number): Promise<boolean> {
    const known = this.#due.get(cacheKey(mesh, node))
    if (known !== undefined && known > nowMs) return false
    try {
      await this.#set(mesh, node, untilMs, undefined, nowMs)
      return true
    } catch (error) {
      const { name, Item: item } = error as Error & { Item?: Item }
      if (name !== 'ConditionalCheckFailedException') throw error
      const dueAtMs = Math.max(Number(item?.dueAt?.N ?? untilMs), nowMs + LEAVE_MS)
      remember(this.#due, cacheKey(mesh, node), dueAtMs, MAX_NODES)
      return false
    }
  }

  /** Says when the node is due again, and when its registration was read, if it was. */
  async schedule(mesh: string, node: string, dueAtMs: number, readAtMs: number | undefined): Promise<void> {
    await this.#set(mesh, node, dueAtMs, readAtMs, undefined)
  }

  /** When the registration was last read; undefined when it never was. */
  async readAt(mesh: string, node: string): Promise<number | undefined> {
    const at = key(endpointsPartition(mesh), lookKey(node))
    const { Item: item } = await this.#client.send(new GetItemCommand({ TableName: this.#table, Key: at }))
    return item?.readAt?.N === undefined ? undefined : Number(item.readAt.N)
  }

  async #set(
    mesh: string,
    node: string,
    dueAtMs: number,
    readAtMs: number | undefined,
    unlessDueAfterMs: number | undefined,
  ): Promise<void> {
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: key(endpointsPartition(mesh), lookKey(node)),
        UpdateExpression: `SET dueAt = :dueAt, expires = :expires${readAtMs === undefined ? '' : ', readAt = :readAt'}`,
        ExpressionAttributeValues: {
          ':dueAt': { N: String(dueAtMs) },
          ':expires': { N: String(Math.ceil(dueAtMs / 1000) + DAY_S) },
          ...(readAtMs === undefined ? {} : { ':readAt': { N: String(readAtMs) } }),
          ...(unlessDueAfterMs === undefined ? {} : { ':now': { N: String(unlessDueAfterMs) } }),
        },
        ...(unlessDueAfterMs === undefined
          ? {}
          : {
              ConditionExpression: 'attribute_not_exists(dueAt) OR dueAt <= :now',
              ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
            }),
      }),
    )
    remember(this.#due, cacheKey(mesh, node), dueAtMs, MAX_NODES)
  }
}

function cacheKey(mesh: string, node: string): string {
  return JSON.stringify([mesh, node])
}

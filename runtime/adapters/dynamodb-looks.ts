import { type DynamoDBClient, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import type { Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { endpointsPartition, lookKey } from './dynamodb-table.ts'

const DAY_S = 86_400
/** A process that finds the lease taken leaves the node to the others for so long: each attempt is a write that is paid. */
const LEAVE_MS = 150_000

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
      this.#due.set(cacheKey(mesh, node), Math.max(Number(item?.refresh?.N ?? untilMs), nowMs + LEAVE_MS))
      return false
    }
  }

  /** Says when the node is due again, and when its registration was read, if it was. */
  async schedule(mesh: string, node: string, refreshAtMs: number, foundAtMs: number | undefined): Promise<void> {
    await this.#set(mesh, node, refreshAtMs, foundAtMs, undefined)
  }

  /** When the registration was last read; undefined when it never was. */
  async foundAt(mesh: string, node: string): Promise<number | undefined> {
    const at = key(endpointsPartition(mesh), lookKey(node))
    const { Item: item } = await this.#client.send(new GetItemCommand({ TableName: this.#table, Key: at }))
    return item?.found?.N === undefined ? undefined : Number(item.found.N)
  }

  async #set(
    mesh: string,
    node: string,
    refreshAtMs: number,
    foundAtMs: number | undefined,
    unlessDueAfterMs: number | undefined,
  ): Promise<void> {
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#table,
        Key: key(endpointsPartition(mesh), lookKey(node)),
        UpdateExpression: `SET refresh = :refresh, expires = :expires${foundAtMs === undefined ? '' : ', found = :found'}`,
        ExpressionAttributeValues: {
          ':refresh': { N: String(refreshAtMs) },
          ':expires': { N: String(Math.ceil(refreshAtMs / 1000) + DAY_S) },
          ...(foundAtMs === undefined ? {} : { ':found': { N: String(foundAtMs) } }),
          ...(unlessDueAfterMs === undefined ? {} : { ':now': { N: String(unlessDueAfterMs) } }),
        },
        ...(unlessDueAfterMs === undefined
          ? {}
          : {
              ConditionExpression: 'attribute_not_exists(refresh) OR refresh <= :now',
              ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
            }),
      }),
    )
    this.#due.set(cacheKey(mesh, node), refreshAtMs)
  }
}

function cacheKey(mesh: string, node: string): string {
  return JSON.stringify([mesh, node])
}

import { type DynamoDBClient, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import { asMeshError, type Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { CA_PACE, CA_ROOTS } from './dynamodb-table.ts'

/** Of the 25 IssueCertificate calls a second that an account has by default. */
const PER_SECOND = 20
const GAP_MS = 1_000 / PER_SECOND
/** Whoever's turn is within this waits for it, so that no turn goes by unused while others come back. */
const LONGEST_WAIT_MS = 3_000
/** For all others: by then most of those who wait now have had their turn. */
const COME_BACK_S = 5
/** Others may move the turns on between two looks at them. */
const ROUNDS = 5

/** Spreads calls evenly over time, those of all functions together: the one table says when the next one may be. */
export class DynamoDbPace {
  readonly #client: DynamoDBClient
  readonly #table: string

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /**
   * When the caller's turn is (ms), at most 3 s from now; it is the caller's alone.
   * @throws MeshError `throttled` with when to come back where that is further away; `unavailable`
   */
  async turn(nowMs: number): Promise<number> {
    const latestMs = nowMs + LONGEST_WAIT_MS
    for (let round = 0; round < ROUNDS; round++) {
      const next = await this.#move('nextAt BETWEEN :now AND :latest', 'nextAt + :gap', {
        ':now': { N: String(nowMs) },
        ':latest': { N: String(latestMs) },
        ':gap': { N: String(GAP_MS) },
      })
      if (next.moved) return next.fromMs
      if (next.fromMs > latestMs) break
      // Nobody had a turn for a while.
      const free = await this.#move('attribute_not_exists(nextAt) OR nextAt < :now', ':after', {
        ':now': { N: String(nowMs) },
        ':after': { N: String(nowMs + GAP_MS) },
      })
      if (free.moved) return nowMs
    }
    throw new MeshError('throttled', 'More certificates are wanted than the CA may issue in a second; try again.', {
      retryAfterS: COME_BACK_S,
    })
  }

  /** Moves the next turn on, where the condition holds. `fromMs`: where it was, 0 for never. */
  async #move(
    condition: string,
    to: string,
    values: Item,
  ): Promise<{ readonly moved: boolean; readonly fromMs: number }> {
    const update: UpdateItemCommandInput = {
      TableName: this.#table,
      Key: key(CA_ROOTS, CA_PACE),
      UpdateExpression: `SET nextAt = ${to}`,
      ConditionExpression: condition,
      ExpressionAttributeValues: values,
      ReturnValues: 'UPDATED_OLD',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }
    try {
      const { Attributes } = await this.#client.send(new UpdateItemCommand(update))
      return { moved: true, fromMs: Number(Attributes?.nextAt?.N ?? 0) }
    } catch (error) {
      const { name, Item } = error as Error & { readonly Item?: Item }
      if (name !== 'ConditionalCheckFailedException') throw asMeshError(error, this.#table)
      return { moved: false, fromMs: Number(Item?.nextAt?.N ?? 0) }
    }
  }
}

import { type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import { asMeshError } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { endpointsPartition, issuedKey } from './dynamodb-table.ts'

const HOUR_MS = 3_600_000
/** Four deployments an hour of the largest node there is; for more, nobody has certificates made in earnest. */
const MAX_AN_HOUR = 4_000

/** Counts what each workload has made for it, in the one table, where it is paid for by the piece. */
export class DynamoDbAllowance {
  readonly #client: DynamoDBClient
  readonly #table: string

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /** Takes one of this hour. Throws MeshError `throttled` when none is left, `unavailable` when the table can't be used. */
  async take(subject: Subject, nowMs: number): Promise<void> {
    const hour = Math.floor(nowMs / HOUR_MS)
    const expires = (hour + 2) * (HOUR_MS / 1000)
    const count = new UpdateItemCommand({
      TableName: this.#table,
      Key: key(endpointsPartition(subject.mesh), issuedKey(subject, hour)),
      UpdateExpression: 'ADD n :one SET expires = :expires',
      ConditionExpression: 'attribute_not_exists(n) OR n < :max',
      ExpressionAttributeValues: {
        ':one': { N: '1' },
        ':max': { N: String(MAX_AN_HOUR) },
        ':expires': { N: String(expires) },
      },
    })
    try {
      await this.#client.send(count)
    } catch (error) {
      if ((error as Error).name !== 'ConditionalCheckFailedException') throw asMeshError(error, this.#table)
      const { kind, mesh, name } = subject
      throw new MeshError(
        'throttled',
        `${kind} '${name}' of mesh '${mesh}' had ${MAX_AN_HOUR} certificates made in this hour, each of which is paid for; do its tasks start over and over? The next ones are made in the next hour`,
      )
    }
  }
}

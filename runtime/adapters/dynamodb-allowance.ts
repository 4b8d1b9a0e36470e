import { type DynamoDBClient, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb'
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
    const taken = await this.#count(subject, hour, {
      UpdateExpression: 'ADD n :one SET expires = :expires',
      ConditionExpression: 'attribute_not_exists(n) OR n < :max',
      ExpressionAttributeValues: {
        ':one': { N: '1' },
        ':max': { N: String(MAX_AN_HOUR) },
        ':expires': { N: String((hour + 2) * (HOUR_MS / 1000)) },
      },
    })
    if (taken) return
    const { kind, mesh, name } = subject
    throw new MeshError(
      'throttled',
      `${kind} '${name}' of mesh '${mesh}' had ${MAX_AN_HOUR} certificates made in this hour, each of which is paid for; do its tasks start over and over? The next ones are made in the next hour`,
    )
  }

  /** Gives back what was taken at `takenMs`, where nothing was made. Throws MeshError `throttled`, `unavailable`. */
  async giveBack(subject: Subject, takenMs: number): Promise<void> {
    await this.#count(subject, Math.floor(takenMs / HOUR_MS), {
      UpdateExpression: 'SET n = n - :one',
      ConditionExpression: 'n >= :one',
      ExpressionAttributeValues: { ':one': { N: '1' } },
    })
  }

  /** Whether the condition held. */
  async #count(subject: Subject, hour: number, update: Partial<UpdateItemCommandInput>): Promise<boolean> {
    const Key = key(endpointsPartition(subject.mesh), issuedKey(subject, hour))
    try {
      await this.#client.send(new UpdateItemCommand({ TableName: this.#table, Key, ...update }))
      return true
    } catch (error) {
      if ((error as Error).name === 'ConditionalCheckFailedException') return false
      throw asMeshError(error, this.#table)
    }
  }
}

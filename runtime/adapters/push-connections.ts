import { DeleteItemCommand, type DynamoDBClient, PutItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb'
import type { Subject } from '../model/reference.ts'
import type { Clock } from '../ports.ts'
import { asMeshError, type Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { PUSH } from './dynamodb-table.ts'

/** API Gateway quotas for WebSocket APIs: a connection lasts two hours. What nobody took away by then is gone. */
const LIFE_MS = 2 * 3_600_000 + 300_000

/** The WebSocket connections on which proxies listen for news, in the one table; its comment has the keys. */
export class PushConnections {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #clock: Clock

  constructor(client: DynamoDBClient, table: string, clock: Clock) {
    this.#client = client
    this.#table = table
    this.#clock = clock
  }

  /** Notes a connection, and whose it is. */
  async add(connectionId: string, { kind, mesh, name }: Subject): Promise<void> {
    const expires = { N: String(Math.ceil((this.#clock.now() + LIFE_MS) / 1000)) }
    const Item = { ...key(PUSH, connectionId), mesh: { S: mesh }, kind: { S: kind }, subject: { S: name }, expires }
    await this.#call(() => this.#client.send(new PutItemCommand({ TableName: this.#table, Item })))
  }

  /** Forgets a connection; one that is not known is no mistake. */
  async remove(connectionId: string): Promise<void> {
    const Key = key(PUSH, connectionId)
    await this.#call(() => this.#client.send(new DeleteItemCommand({ TableName: this.#table, Key })))
  }

  /** Ids of the connections of a mesh. Not strongly consistent: who connects at this moment syncs anyway. */
  async list(mesh: string): Promise<readonly string[]> {
    const ids: string[] = []
    let from: Item | undefined
    do {
      const page = new QueryCommand({
        TableName: this.#table,
        KeyConditionExpression: 'pk = :push',
        FilterExpression: 'mesh = :mesh AND expires > :now',
        ProjectionExpression: 'sk',
        ExpressionAttributeValues: {
          ':push': { S: PUSH },
          ':mesh': { S: mesh },
          ':now': { N: String(Math.floor(this.#clock.now() / 1000)) },
        },
        ...(from && { ExclusiveStartKey: from }),
      })
      const answer = await this.#call(() => this.#client.send(page))
      ids.push(...(answer.Items ?? []).map((item) => item.sk!.S!))
      from = answer.LastEvaluatedKey
    } while (from !== undefined)
    return ids
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asMeshError(error, this.#table)
    }
  }
}

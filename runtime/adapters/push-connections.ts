import {
  DeleteItemCommand,
  type DynamoDBClient,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
} from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { Clock } from '../ports.ts'
import { asMeshError, type Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { PUSH } from './dynamodb-table.ts'
import { remember } from './remember.ts'

/** API Gateway quotas for WebSocket APIs: a connection lasts two hours. What nobody took away by then is gone. */
const LIFE_MS = 2 * 3_600_000 + 300_000
/**
 * Connections of one subject: as many as the largest node has instances, twice over for a deployment, and for those that went
 * without a word. Every change is told to each of them, so a task that was broken into must not pile them up.
 */
const MAX_CONNECTIONS = 2_500
/** They are counted so often at most: after a deployment a thousand connect at once. */
const COUNT_AGAIN_MS = 10_000
/** Subjects whose count is kept in memory. */
const MAX_COUNTED = 10_000

/** The WebSocket connections on which proxies listen for news, in the one table; its comment has the keys. */
export class PushConnections {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #clock: Clock
  /** By subject: those that were there at a time, and those that came to this process since. */
  readonly #counts = new Map<string, { count: number; readonly atMs: number }>()

  constructor(client: DynamoDBClient, table: string, clock: Clock) {
    this.#client = client
    this.#table = table
    this.#clock = clock
  }

  /** Notes a connection, and whose it is. Throws MeshError `limit-exceeded` for one too many of a subject. */
  async add(connectionId: string, subject: Subject): Promise<void> {
    await this.#refuseTooMany(subject)
    const { kind, mesh, name } = subject
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
    for await (const { Items = [] } of this.#query('mesh = :mesh', { ':mesh': { S: mesh } }, 'sk'))
      ids.push(...Items.map((item) => item.sk!.S!))
    return ids
  }

  async #refuseTooMany({ kind, mesh, name }: Subject): Promise<void> {
    const subject = JSON.stringify([kind, mesh, name])
    const now = this.#clock.now()
    let known = this.#counts.get(subject)
    if (known === undefined || now - known.atMs >= COUNT_AGAIN_MS) {
      known = { count: 0, atMs: now }
      const values = { ':mesh': { S: mesh }, ':kind': { S: kind }, ':subject': { S: name } }
      const filter = 'mesh = :mesh AND kind = :kind AND subject = :subject'
      for await (const { Count = 0 } of this.#query(filter, values)) known.count += Count
      remember(this.#counts, subject, known, MAX_COUNTED)
    }
    if (known.count++ < MAX_CONNECTIONS) return
    throw new MeshError(
      'limit-exceeded',
      `${kind} ${name} of mesh ${mesh} listens on ${MAX_CONNECTIONS} connections already; its proxies sync at their interval`,
    )
  }

  /** Those that have not expired; `shown`: the one attribute that is wanted of each, none for their count. */
  async *#query(filter: string, values: Item, shown?: 'sk') {
    const now = { N: String(Math.floor(this.#clock.now() / 1000)) }
    const query: QueryCommandInput = {
      TableName: this.#table,
      KeyConditionExpression: 'pk = :push',
      FilterExpression: `${filter} AND expires > :now`,
      ...(shown === undefined ? { Select: 'COUNT' } : { ProjectionExpression: shown }),
      ExpressionAttributeValues: { ':push': { S: PUSH }, ':now': now, ...values },
    }
    let from: Item | undefined
    do {
      const page = new QueryCommand({ ...query, ...(from && { ExclusiveStartKey: from }) })
      const answer = await this.#call(() => this.#client.send(page))
      yield answer
      from = answer.LastEvaluatedKey
    } while (from !== undefined)
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asMeshError(error, this.#table)
    }
  }
}

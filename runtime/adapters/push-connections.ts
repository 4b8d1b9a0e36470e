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

/** API Gateway quotas for WebSocket APIs: a connection lasts two hours. What nobody took away by then is gone. */
const LIFE_MS = 2 * 3_600_000 + 300_000
/**
 * Connections of one subject: as many as the largest node has instances, twice over for a deployment, and for those that went
 * without a word. Every change is told to each of them, so a task that was broken into must not pile them up.
 */
const MAX_CONNECTIONS = 2_500
/**
 * All are counted together, so often at most: a thousand proxies connect every seven seconds at rest, and at once after a
 * deployment.
 */
const COUNT_AGAIN_MS = 60_000

/** The WebSocket connections on which proxies listen for news, in the one table; its comment has the keys. */
export class PushConnections {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #clock: Clock
  /** Of each subject those that were there at a time, and those that came to this process since. */
  #counted: { readonly counts: Promise<Map<string, number>>; readonly atMs: number } | undefined

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
    for await (const item of this.#all()) if (item.mesh!.S === mesh) ids.push(item.sk!.S!)
    return ids
  }

  async #refuseTooMany({ kind, mesh, name }: Subject): Promise<void> {
    const subject = subjectKey(kind, mesh, name)
    const counts = await this.#counts()
    const count = counts.get(subject) ?? 0
    counts.set(subject, count + 1)
    if (count < MAX_CONNECTIONS) return
    throw new MeshError(
      'limit-exceeded',
      `${kind} ${name} of mesh ${mesh} listens on ${MAX_CONNECTIONS} connections already; its proxies sync at their interval`,
    )
  }

  /** One count for all who ask meanwhile. */
  #counts(): Promise<Map<string, number>> {
    const now = this.#clock.now()
    if (this.#counted === undefined || now - this.#counted.atMs >= COUNT_AGAIN_MS) {
      const counting = { counts: this.#count(), atMs: now }
      this.#counted = counting
      counting.counts.catch(() => {
        if (this.#counted === counting) this.#counted = undefined
      })
    }
    return this.#counted.counts
  }

  async #count(): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    for await (const { kind, mesh, subject } of this.#all()) {
      const at = subjectKey(kind!.S!, mesh!.S!, subject!.S!)
      counts.set(at, (counts.get(at) ?? 0) + 1)
    }
    return counts
  }

  /** Those that have not expired. */
  async *#all(): AsyncGenerator<Item> {
    const query: QueryCommandInput = {
      TableName: this.#table,
      KeyConditionExpression: 'pk = :push',
      FilterExpression: 'expires > :now',
      ExpressionAttributeValues: { ':push': { S: PUSH }, ':now': { N: String(Math.floor(this.#clock.now() / 1000)) } },
    }
    let from: Item | undefined
    do {
      const page = new QueryCommand({ ...query, ...(from && { ExclusiveStartKey: from }) })
      const answer = await this.#call(() => this.#client.send(page))
      yield* answer.Items ?? []
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

function subjectKey(kind: string, mesh: string, name: string): string {
  return JSON.stringify([kind, mesh, name])
}

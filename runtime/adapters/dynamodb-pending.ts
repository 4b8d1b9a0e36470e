import { type DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { asMeshError, type Item } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { endpointsPartition, pendingKey } from './dynamodb-table.ts'

/** As long as ACM PCA itself knows a request again (API reference, IssueCertificate, IdempotencyToken). */
const KEPT_MS = 300_000

/** A certificate that a CA makes, or has made, and that may not have come to whom it is for. */
export interface PendingCertificate {
  readonly certificateArn: string
  readonly askedAtMs: number
}

/**
 * What a CA was asked for in the last five minutes, in the one table: a proxy that tries again, because the CA was slow or the
 * answer was lost, comes to another function, and shall get what was made for it and paid for.
 */
export class DynamoDbPending {
  readonly #client: DynamoDBClient
  readonly #table: string

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /** @param id what tells requests apart. @throws MeshError `throttled`, `unavailable` */
  async find(mesh: string, id: string, nowMs: number): Promise<PendingCertificate | undefined> {
    const get = new GetItemCommand({ TableName: this.#table, Key: keyOf(mesh, id), ConsistentRead: true })
    const { Item } = await this.#client.send(get).catch((error) => this.#refuse(error))
    const askedAtMs = Number(Item?.askedAt?.N)
    return nowMs < askedAtMs + KEPT_MS ? { certificateArn: Item?.arn?.S ?? '', askedAtMs } : undefined
  }

  /** @throws MeshError `throttled`, `unavailable` */
  async keep(mesh: string, id: string, { certificateArn, askedAtMs }: PendingCertificate): Promise<void> {
    const expires = { N: String(Math.ceil((askedAtMs + KEPT_MS) / 1000)) }
    const Item = { ...keyOf(mesh, id), arn: { S: certificateArn }, askedAt: { N: String(askedAtMs) }, expires }
    await this.#client.send(new PutItemCommand({ TableName: this.#table, Item })).catch((error) => this.#refuse(error))
  }

  #refuse(error: unknown): never {
    throw asMeshError(error, this.#table)
  }
}

function keyOf(mesh: string, id: string): Item {
  return key(endpointsPartition(mesh), pendingKey(id))
}

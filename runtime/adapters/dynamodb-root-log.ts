import { type DynamoDBClient, PutItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb'
import type { RootLog, RootRecord } from './ca-roots.ts'
import { asMeshError } from './dynamodb-calls.ts'
import { CA_ROOTS, ROOTS, rootKey } from './dynamodb-table.ts'

/**
 * The roots of the CA in the mesh's table. Throws MeshError `throttled` or `unavailable`. Needs `dynamodb:Query` and
 * `dynamodb:PutItem` on the table.
 */
export class DynamoDbRootLog implements RootLog {
  readonly #client: DynamoDBClient
  readonly #table: string

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /** One page: a root lives for years, and 1 MB holds a thousand. */
  async list(): Promise<readonly RootRecord[]> {
    const query = new QueryCommand({
      TableName: this.#table,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :roots)',
      ExpressionAttributeValues: { ':pk': { S: CA_ROOTS }, ':roots': { S: ROOTS } },
      ConsistentRead: true,
    })
    const { Items = [] } = await this.#send(() => this.#client.send(query))
    return Items.map(({ arn, certificate, addedAtMs }) => ({
      arn: arn?.S ?? '',
      certificate: certificate?.S ?? '',
      addedAtMs: Number(addedAtMs?.N),
    }))
  }

  async add(position: number, { arn, certificate, addedAtMs }: RootRecord): Promise<void> {
    const put = new PutItemCommand({
      TableName: this.#table,
      Item: {
        pk: { S: CA_ROOTS },
        sk: { S: rootKey(position) },
        arn: { S: arn },
        certificate: { S: certificate },
        addedAtMs: { N: `${addedAtMs}` },
      },
      ConditionExpression: 'attribute_not_exists(pk)',
    })
    await this.#send(async () => {
      try {
        await this.#client.send(put)
      } catch (error) {
        if ((error as Error).name !== 'ConditionalCheckFailedException') throw error
      }
    })
  }

  async #send<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      throw asMeshError(error, this.#table)
    }
  }
}

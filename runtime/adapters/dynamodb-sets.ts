import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import {
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type TransactionCanceledException,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import type { EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Clock } from '../ports.ts'
import { backOff, type Item, isThrottling } from './dynamodb-calls.ts'
import { key } from './dynamodb-commit.ts'
import { ENDPOINTS_HEAD, endpointsPartition, setKey } from './dynamodb-table.ts'
import { type JoinRule, type Registration, UNREGISTERED } from './endpoint-join.ts'
import { endpointSet } from './endpoint-set.ts'
import { remember } from './remember.ts'

const zip = promisify(gzip)
const unzip = promisify(gunzip)

/** The endpoints of a node, and what they were made from. */
export interface KeptSet extends Registration {
  readonly set: EndpointSet
  readonly rule: JoinRule
}

/** The version of a mesh is read at most so often by a process: polls come faster. See `polledEvery`. */
const VERSION_MAX_AGE_MS = 250
/** Attempts at a set, or at the head of its mesh, which others write at the same moment. */
const MAX_ATTEMPTS = 10
/** Sets and meshes kept in memory. */
const MAX_CACHED = 5_000
/** Nothing is lost with a set that is empty: it counts as empty when it is not there. */
const KEEP_EMPTY_S = 86_400

/**
 * Aggregated endpoint sets, one item a node. The head of the mesh counts their changes, so that a poll of a mesh at rest
 * reads one small item at most, however many nodes it asks about.
 */
export class DynamoDbSets {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #clock: Clock
  readonly #versions = new Map<string, { readonly version: number; readonly readAtMs: number }>()
  /** One read for all nodes of a poll. */
  readonly #reading = new Map<string, Promise<number>>()
  readonly #sets = new Map<string, { readonly set: EndpointSet; readonly version: number }>()

  constructor(client: DynamoDBClient, table: string, clock: Clock) {
    this.#client = client
    this.#table = table
    this.#clock = clock
  }

  /** As it is now, or was at most 250 ms ago. */
  async current(mesh: string, node: string): Promise<EndpointSet> {
    const version = await this.#version(mesh)
    const cacheKey = JSON.stringify([mesh, node])
    const known = this.#sets.get(cacheKey)
    if (known?.version === version) return known.set
    const { set } = (await this.read(mesh, node)).kept
    remember(this.#sets, cacheKey, { set, version }, MAX_CACHED)
    return set
  }

  async read(mesh: string, node: string): Promise<{ readonly kept: KeptSet; readonly writes: number }> {
    const at = key(endpointsPartition(mesh), setKey(node))
    const request = { TableName: this.#table, Key: at, ConsistentRead: true }
    const { Item: item } = await this.#client.send(new GetItemCommand(request))
    if (item !== undefined) return { kept: JSON.parse(String(await unzip(item.data!.B!))), writes: Number(item.n!.N) }
    const rule = { registers: false, plainPort: null }
    return { kept: { ...UNREGISTERED, rule, set: endpointSet(node, []) }, writes: 0 }
  }

  /**
   * Replaces what is kept of a node by what `change` makes of it; again when somebody else wrote in between, so that no
   * change is lost. Nothing is written when nothing changes. Throws MeshError `throttled` when it never gets through.
   */
  async rewrite(mesh: string, node: string, change: (before: KeptSet) => KeptSet | Promise<KeptSet>): Promise<void> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const { kept, writes } = await this.read(mesh, node)
      const next = await change(kept)
      if (JSON.stringify(next) === JSON.stringify(kept)) return
      try {
        await this.#write(mesh, node, next, writes, next.set.revision !== kept.set.revision)
        this.#sets.delete(JSON.stringify([mesh, node]))
        this.#versions.delete(mesh)
        return
      } catch (error) {
        if (!isThrottling(error) && !isOvertaken(error as Error)) throw error
        await backOff(attempt)
      }
    }
    throw new MeshError('throttled', `The endpoints of ${node} in mesh ${mesh} are being changed too fast; try again.`)
  }

  /** A changed set and the new version of its mesh are seen together or not at all. */
  async #write(mesh: string, node: string, next: KeptSet, writes: number, changed: boolean): Promise<void> {
    const partition = endpointsPartition(mesh)
    const empty = next.found.length === 0 && next.set.endpoints.length === 0
    const expires = { N: String(Math.ceil(this.#clock.now() / 1000) + KEEP_EMPTY_S) }
    const put = {
      TableName: this.#table,
      Item: {
        ...key(partition, setKey(node)),
        n: { N: String(writes + 1) },
        data: { B: await zip(JSON.stringify(next)) },
        ...(empty ? { expires } : {}),
      } satisfies Item,
      ConditionExpression: writes === 0 ? 'attribute_not_exists(pk)' : 'n = :n',
      ...(writes === 0 ? {} : { ExpressionAttributeValues: { ':n': { N: String(writes) } } }),
    }
    if (!changed) {
      await this.#client.send(new PutItemCommand(put))
      return
    }
    const count = {
      TableName: this.#table,
      Key: key(partition, ENDPOINTS_HEAD),
      UpdateExpression: 'ADD version :one',
      ExpressionAttributeValues: { ':one': { N: '1' } },
    }
    await this.#client.send(new TransactWriteItemsCommand({ TransactItems: [{ Put: put }, { Update: count }] }))
  }

  async #version(mesh: string): Promise<number> {
    const known = this.#versions.get(mesh)
    if (known !== undefined && this.#clock.now() - known.readAtMs < VERSION_MAX_AGE_MS) return known.version
    const reading = this.#reading.get(mesh) ?? this.#readVersion(mesh).finally(() => this.#reading.delete(mesh))
    this.#reading.set(mesh, reading)
    return reading
  }

  /** Eventually consistent, which costs half; it never goes back. */
  async #readVersion(mesh: string): Promise<number> {
    const readAtMs = this.#clock.now()
    const at = key(endpointsPartition(mesh), ENDPOINTS_HEAD)
    const { Item: item } = await this.#client.send(new GetItemCommand({ TableName: this.#table, Key: at }))
    const version = Math.max(Number(item?.version?.N ?? 0), this.#versions.get(mesh)?.version ?? 0)
    remember(this.#versions, mesh, { version, readAtMs }, MAX_CACHED)
    return version
  }
}

/** Somebody else wrote first, or is about to. */
function isOvertaken(error: Error): boolean {
  const { name, CancellationReasons: reasons } = error as Error & Partial<TransactionCanceledException>
  const overtaken = ['ConditionalCheckFailedException', 'TransactionConflictException']
  return overtaken.includes(name) || (reasons ?? []).some(({ Code }) => Code === 'ConditionalCheckFailed')
}

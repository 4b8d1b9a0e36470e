import { randomUUID } from 'node:crypto'
import { DynamoDBClient, type DynamoDBClientConfig, GetItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { ChangedResource, ChangeLogEntry, Page, Receipt, ResourceStore, StoredResource } from '../ports.ts'
import { BlobBatch, BlobReader, type BlobRef } from './dynamodb-blobs.ts'
import { asMeshError, dynamoDbClient, type Item, refuseReader } from './dynamodb-calls.ts'
import { checkRecord, discard, fitsKey, flip, key, prepare, sweep } from './dynamodb-commit.ts'
import { addLog, type LoggedChange, readLog } from './dynamodb-log.ts'
import { commitKey, HEADS, meshPartition, receiptKey } from './dynamodb-table.ts'
import {
  type Entry,
  type LeafRef,
  leafOf,
  leavesBehind,
  listPrefix,
  merged,
  rewrite,
  runsOf,
  sizeOf,
  treeKey,
} from './dynamodb-tree.ts'
import { decodePageToken, encodePageToken } from './page-token.ts'
import {
  checkChanges,
  checkGeneration,
  checkWanted,
  compareNames,
  conflict,
  notThere,
  pageSize,
  parentKey,
  refOf,
} from './store-rules.ts'

export interface DynamoDbStoreOptions {
  /** Name of a table with the keys of `DYNAMODB_TABLE`. */
  readonly table: string
  /** A client to share, or how to make one ({@link dynamoDbClient}). Closing the store ends it. */
  readonly client?: DynamoDBClient | DynamoDBClientConfig
  /** Characters of immutable content kept in memory. Default 32 million. */
  readonly cacheSize?: number
}

/**
 * Opens the store of a control plane on AWS; nothing is asked before the first call. Calls throw MeshError `throttled`
 * when DynamoDB stays too busy through all attempts of the SDK, `unavailable` when it can't be reached or used.
 */
export function openDynamoDbStore(options: DynamoDbStoreOptions): ResourceStore {
  const { table, client, cacheSize = 32_000_000 } = options
  return new DynamoDbStore(client instanceof DynamoDBClient ? client : dynamoDbClient(client), table, cacheSize)
}

interface Head {
  readonly generation: number
  /** Undefined for a mesh that never was. */
  readonly index: BlobRef | undefined
}

const NO_HEAD: Head = { generation: 0, index: undefined }

/** Keys, write scheme and why readers see whole commits: see `DYNAMODB_TABLE`. */
class DynamoDbStore implements ResourceStore {
  readonly client: DynamoDBClient
  readonly table: string
  readonly blobs: BlobReader

  constructor(client: DynamoDBClient, table: string, cacheSize: number) {
    this.client = client
    this.table = table
    this.blobs = new BlobReader(client, table, cacheSize)
  }

  async generation(mesh: string): Promise<number> {
    return this.#call(async () => (await this.#head(mesh)).generation)
  }

  async get(ref: ResourceRef): Promise<StoredResource | undefined> {
    const wanted = treeKey(ref)
    return this.#call(async () => {
      const index = await this.#index(ref.mesh, (await this.#head(ref.mesh)).index)
      const leaf = index[leafOf(index, wanted)]
      if (leaf === undefined) return undefined
      const found = (await this.#leaves(ref.mesh, [leaf]))[0]!.find(([at]) => at === wanted)
      return found && JSON.parse(found[1])
    })
  }

  async list(query: Parameters<ResourceStore['list']>[0]): Promise<Page<StoredResource>> {
    const { kind, mesh } = query
    const prefix = listPrefix(kind, parentKey(kind, query.parent))
    const size = pageSize(query.limit)
    const after = query.after === undefined ? '' : decodePageToken('list', query.after, ['string'])[0]
    const found = await this.#call(async () =>
      kind === 'mesh'
        ? this.#meshes(after, size + 1)
        : this.#run(mesh, (await this.#stateAt(mesh, undefined)).index, prefix, after, size + 1),
    )
    const items = found.slice(0, size).map((json): StoredResource => JSON.parse(json))
    return { items, ...(found.length > size && { next: encodePageToken('list', [items.at(-1)!.ref.name]) }) }
  }

  async load(mesh: string, at?: number): Promise<{ generation: number; resources: StoredResource[] }> {
    return this.#call(async () => {
      const { generation, index } = await this.#stateAt(mesh, at)
      const leaves = await this.#leaves(mesh, index)
      return { generation, resources: leaves.flat().map(([, json]) => JSON.parse(json)) }
    })
  }

  async loadPage(query: Parameters<ResourceStore['loadPage']>[0]): Promise<StoredResource[]> {
    const { mesh, generation, after } = query
    const size = pageSize(query.limit)
    const end = after === undefined ? '' : treeKey(after)
    return this.#call(async () => {
      const { index } = await this.#stateAt(mesh, generation)
      return (await this.#run(mesh, index, '', end, size)).map((json) => JSON.parse(json))
    })
  }

  async changed(query: Parameters<ResourceStore['changed']>[0]): Promise<ChangedResource[]> {
    const { mesh, from, to, after } = query
    const size = pageSize(query.limit)
    const end = after === undefined ? '' : treeKey(after)
    return this.#call(async () => {
      const [was, is] = [(await this.#stateAt(mesh, from)).index, (await this.#stateAt(mesh, to)).index]
      // Leaves that both have hold nothing that differs: they are not even read.
      const sides = [
        this.#entries(mesh, leavesBehind(was, end, is)),
        this.#entries(mesh, leavesBehind(is, end, was)),
      ] as const
      const found: ChangedResource[] = []
      for await (const [key, before, now] of merged(...sides)) {
        if (before === now || compareNames(key, end) <= 0) continue
        if (found.push({ before: before && JSON.parse(before), after: now && JSON.parse(now) }) === size) break
      }
      return found
    })
  }

  async commit(input: Parameters<ResourceStore['commit']>[0]): Promise<number> {
    const { mesh, expectedGeneration, changes, actor, atMs, rolledBackTo, receipt, stopped } = input
    checkChanges(mesh, changes)
    checkWanted(stopped)
    if (!fitsKey(mesh)) throw new MeshError('invalid', 'The name of a mesh has at most 1,024 bytes.')
    return this.#call(async () => {
      // Old litter must not keep anybody from writing.
      const [head] = await Promise.all([this.#head(mesh), sweep(this, mesh).catch(() => {})])
      if (head.generation !== expectedGeneration) throw conflict(mesh, expectedGeneration, head.generation)
      const batch = new BlobBatch(randomUUID())
      const { index, log } = await this.#apply(mesh, head, changes, batch)
      const root = batch.add(JSON.stringify(index))
      const record = log.find(({ ref }) => ref.kind === 'mesh')?.after
      checkRecord(mesh, record)
      const about = {
        id: { S: batch.id },
        atMs: { N: String(atMs) },
        actor: { S: actor },
        ...(rolledBackTo !== undefined && { rolledBackTo: { N: String(rolledBackTo) } }),
        ...addLog(batch, log),
      }
      const move = { mesh, expectedGeneration, batch, index: root, about, record, receipt, stopped }
      await prepare(this, move).catch(refuseReader)
      if (await flip(this, move)) return expectedGeneration + 1
      // What can't be cleaned up now is left to the next writer.
      await discard(this, mesh, batch.id, batch.size).catch(() => {})
      checkWanted(stopped)
      throw conflict(mesh, expectedGeneration, (await this.#head(mesh)).generation)
    })
  }

  async receipt(mesh: string, token: string, nowMs: number): Promise<Receipt | undefined> {
    if (!fitsKey(mesh)) return undefined
    const request = { TableName: this.table, Key: key(meshPartition(mesh), receiptKey(token)), ConsistentRead: true }
    const { Item: item } = await this.#call(() => this.client.send(new GetItemCommand(request)))
    const found: Receipt | undefined = item && JSON.parse(item.receipt!.S!)
    return found !== undefined && found.expiresAtMs > nowMs ? found : undefined
  }

  async history(query: Parameters<ResourceStore['history']>[0]): Promise<Page<ChangeLogEntry>> {
    const { mesh, after } = query
    const size = pageSize(query.limit)
    const token = after === undefined ? undefined : decodePageToken('history', after, ['number', 'number'])
    const end = token && { generation: token[0], position: token[1] }
    if (!fitsKey(mesh) || (end !== undefined && end.generation < 0)) return { items: [] }
    const found = await this.#call(() => readLog(this, { mesh, end, limit: size + 1 }))
    const items = found.slice(0, size)
    const last = items.at(-1)
    return {
      items: items.map(({ entry }) => entry),
      ...(found.length > size &&
        last !== undefined && { next: encodePageToken('history', [last.generation, last.position]) }),
    }
  }

  async close(): Promise<void> {
    this.client.destroy()
  }

  async #head(mesh: string): Promise<Head> {
    if (!fitsKey(mesh)) return NO_HEAD
    const request = { TableName: this.table, Key: key(HEADS, mesh), ConsistentRead: true }
    const { Item: item } = await this.client.send(new GetItemCommand(request))
    return item === undefined ? NO_HEAD : { generation: Number(item.generation!.N), index: indexOf(item) }
  }

  async #indexAt(mesh: string, generation: number): Promise<BlobRef | undefined> {
    if (generation === 0) return undefined
    // Past commits never change, and the head has shown that this one is there: an eventual read could still miss it.
    const request = {
      TableName: this.table,
      Key: key(meshPartition(mesh), commitKey(generation)),
      ConsistentRead: true,
    }
    const { Item: item } = await this.client.send(new GetItemCommand(request))
    if (item !== undefined) return indexOf(item)
    throw new MeshError('unavailable', `Generation ${generation} of mesh ${mesh} is gone from table ${this.table}.`)
  }

  async #index(mesh: string, root: BlobRef | undefined): Promise<readonly LeafRef[]> {
    return root === undefined ? [] : JSON.parse((await this.blobs.read(mesh, [root]))[0]!)
  }

  async #stateAt(mesh: string, at: number | undefined): Promise<{ generation: number; index: readonly LeafRef[] }> {
    const head = await this.#head(mesh)
    const generation = at ?? head.generation
    checkGeneration(mesh, generation, head.generation)
    const root = generation === head.generation ? head.index : await this.#indexAt(mesh, generation)
    return { generation, index: await this.#index(mesh, root) }
  }

  /** The entries of leaves one after the other; a leaf is read when it is come to. */
  async *#entries(mesh: string, leaves: readonly LeafRef[]): AsyncGenerator<Entry> {
    for (const leaf of leaves) yield* (await this.#leaves(mesh, [leaf]))[0]!
  }

  async #leaves(mesh: string, leaves: readonly LeafRef[]): Promise<Entry[][]> {
    const texts = await this.blobs.read(
      mesh,
      leaves.map(([, blob]) => blob),
    )
    return texts.map((text) => JSON.parse(text))
  }

  /** JSON of the first resources of one listing behind a name. */
  async #run(mesh: string, index: readonly LeafRef[], prefix: string, after: string, limit: number): Promise<string[]> {
    const found: string[] = []
    for (const leaf of index.slice(leafOf(index, prefix + after))) {
      for (const [at, json] of (await this.#leaves(mesh, [leaf]))[0]!) {
        if (compareNames(at, prefix + after) <= 0) continue
        if (!at.startsWith(prefix) || found.push(json) === limit) return found
      }
    }
    return found
  }

  /** JSON of the first mesh resources behind a name. */
  async #meshes(after: string, limit: number): Promise<string[]> {
    const found: string[] = []
    let from: Item | undefined = fitsKey(after) ? key(HEADS, after) : undefined
    do {
      const answer = await this.client.send(
        new QueryCommand({
          TableName: this.table,
          ConsistentRead: true,
          Limit: limit,
          KeyConditionExpression: 'pk = :heads',
          ExpressionAttributeValues: { ':heads': { S: HEADS } },
          ...(from && { ExclusiveStartKey: from }),
        }),
      )
      for (const { record } of answer.Items ?? []) if (record?.S !== undefined) found.push(record.S)
      from = answer.LastEvaluatedKey
    } while (from !== undefined && found.length < limit)
    return found
  }

  /** Puts the leaves that changes touch into the batch, and returns the new index and what to log. */
  async #apply(
    mesh: string,
    head: Head,
    changes: Parameters<ResourceStore['commit']>[0]['changes'],
    batch: BlobBatch,
  ): Promise<{ index: LeafRef[]; log: LoggedChange[] }> {
    const old = await this.#index(mesh, head.index)
    const texts = new Map(
      changes.map((change) => [treeKey(refOf(change)), change.kind === 'put' ? JSON.stringify(change.resource) : null]),
    )
    const index: LeafRef[] = []
    const before = new Map<string, string>()
    const runs = runsOf(old, [...texts.keys()])
    const inRun = await this.#leaves(
      mesh,
      runs.flatMap(({ from, to }) => old.slice(from, to)),
    )
    let done = 0
    for (const { from, to } of runs) {
      index.push(...old.slice(done, from))
      const entries = inRun.splice(0, to - from).flat()
      for (const [at, json] of entries) if (texts.has(at)) before.set(at, json)
      const own = runs.length === 1 ? texts : changesOf(texts, old, from, to)
      for (const leaf of rewrite(entries, own)) {
        const size = leaf.reduce((sum, entry) => sum + sizeOf(entry), 0)
        index.push([leaf[0]![0], batch.add(JSON.stringify(leaf)), size])
      }
      done = to
    }
    index.push(...old.slice(done))
    const log = changes.map((change) => {
      const ref = refOf(change)
      const at = treeKey(ref)
      const was = before.get(at) ?? null
      if (change.kind === 'remove' && was === null) throw notThere(ref)
      return { ref, before: was, after: texts.get(at)! }
    })
    return { index, log }
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asMeshError(error, this.table)
    }
  }
}

/** Those changes that fall into a run of leaves. */
function changesOf(
  texts: ReadonlyMap<string, string | null>,
  index: readonly LeafRef[],
  from: number,
  to: number,
): ReadonlyMap<string, string | null> {
  return new Map(
    [...texts].filter(([at]) => {
      const leaf = leafOf(index, at)
      return leaf >= from && leaf < to
    }),
  )
}

function indexOf(item: Item): BlobRef {
  return JSON.parse(item.index!.S!)
}

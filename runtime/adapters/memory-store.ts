import { isDeepStrictEqual } from 'node:util'
import type { ResourceRef } from '../model/reference.ts'
import type { ChangedResource, ChangeLogEntry, Page, Receipt, ResourceStore, StoredResource } from '../ports.ts'
import { decodePageToken, encodePageToken } from './page-token.ts'
import {
  checkChanges,
  checkGeneration,
  checkWanted,
  compareNames,
  compareRefs,
  conflict,
  notThere,
  pageSize,
  parentKey,
  refOf,
  storeKey,
} from './store-rules.ts'

interface Partition {
  generation: number
  /** JSON, so that neither a writer nor a reader can reach into the store; by {@link storeKey}. */
  resources: Map<string, { readonly ref: ResourceRef; readonly json: string }>
  /** By client token, oldest first. */
  readonly receipts: Map<string, Receipt>
  /** Oldest first. */
  readonly log: {
    readonly generation: number
    readonly atMs: number
    readonly actor: string
    readonly ref: ResourceRef
    readonly before: string | null
    readonly after: string | null
    readonly rolledBackTo?: number
  }[]
}

/** A ResourceStore that lives and ends with the process: for tests and throw-away meshes. */
export class MemoryStore implements ResourceStore {
  readonly #meshes = new Map<string, Partition>()

  async generation(mesh: string): Promise<number> {
    return this.#meshes.get(mesh)?.generation ?? 0
  }

  async get(ref: ResourceRef): Promise<StoredResource | undefined> {
    const found = this.#meshes.get(ref.mesh)?.resources.get(storeKey(ref))
    return found && JSON.parse(found.json)
  }

  async list(query: Parameters<ResourceStore['list']>[0]): Promise<Page<StoredResource>> {
    const parent = parentKey(query.kind, query.parent)
    const size = pageSize(query.limit)
    const after = query.after === undefined ? undefined : decodePageToken('list', query.after, ['string'])[0]
    const partitions = query.kind === 'mesh' ? [...this.#meshes.values()] : [this.#meshes.get(query.mesh)]
    const matching = partitions
      .flatMap((partition) => [...(partition?.resources.values() ?? [])])
      .filter(({ ref }) => ref.kind === query.kind && (ref.parent ?? '') === parent)
      .filter(({ ref }) => after === undefined || compareNames(ref.name, after) > 0)
      .sort((a, b) => compareNames(a.ref.name, b.ref.name))
    const items = matching.slice(0, size)
    return {
      items: items.map(({ json }) => JSON.parse(json)),
      ...(matching.length > size && { next: encodePageToken('list', [items.at(-1)!.ref.name]) }),
    }
  }

  async load(mesh: string, at?: number): Promise<{ generation: number; resources: StoredResource[] }> {
    const partition = this.#meshes.get(mesh)
    const head = partition?.generation ?? 0
    const generation = at ?? head
    checkGeneration(mesh, generation, head)
    const texts = new Map([...(partition?.resources ?? [])].map(([key, { json }]) => [key, json]))
    // The past is what is left when everything after it is taken back, newest first.
    for (const entry of partition?.log.toReversed() ?? []) {
      if (entry.generation <= generation) break
      if (entry.before === null) texts.delete(storeKey(entry.ref))
      else texts.set(storeKey(entry.ref), entry.before)
    }
    return { generation, resources: [...texts.values()].map((json) => JSON.parse(json)) }
  }

  async loadPage(query: Parameters<ResourceStore['loadPage']>[0]): Promise<StoredResource[]> {
    const { resources } = await this.load(query.mesh, query.generation)
    return behind(query.after, resources, ({ ref }) => ref).slice(0, pageSize(query.limit))
  }

  async changed({ mesh, from, to, limit, after }: Parameters<ResourceStore['changed']>[0]): Promise<ChangedResource[]> {
    const [was, is] = await Promise.all([from, to].map(async (at) => byKey((await this.load(mesh, at)).resources)))
    const pairs = [...new Set([...was!.keys(), ...is!.keys()])]
      .map((key): ChangedResource => ({ before: was!.get(key) ?? null, after: is!.get(key) ?? null }))
      .filter((pair) => !isDeepStrictEqual(pair.before, pair.after))
    return behind(after, pairs, (pair) => (pair.after ?? pair.before)!.ref).slice(0, pageSize(limit))
  }

  async commit(input: Parameters<ResourceStore['commit']>[0]): Promise<number> {
    const { mesh, expectedGeneration, changes, actor, atMs, rolledBackTo, receipt, stopped } = input
    checkChanges(mesh, changes)
    checkWanted(stopped)
    const partition: Partition = this.#meshes.get(mesh) ?? {
      generation: 0,
      resources: new Map(),
      receipts: new Map(),
      log: [],
    }
    if (partition.generation !== expectedGeneration) throw conflict(mesh, expectedGeneration, partition.generation)
    const generation = partition.generation + 1
    const resources = new Map(partition.resources)
    const log: Partition['log'] = []
    for (const change of changes) {
      const ref = refOf(change)
      const key = storeKey(ref)
      const before = resources.get(key)?.json ?? null
      const after = change.kind === 'put' ? JSON.stringify(change.resource) : null
      if (after !== null) resources.set(key, { ref: { ...ref }, json: after })
      else if (!resources.delete(key)) throw notThere(ref)
      log.push({
        generation,
        atMs,
        actor,
        ref: { ...ref },
        before,
        after,
        ...(rolledBackTo !== undefined && { rolledBackTo }),
      })
    }
    partition.generation = generation
    partition.resources = resources
    partition.log.push(...log)
    if (receipt !== undefined) keep(partition.receipts, receipt, atMs)
    this.#meshes.set(mesh, partition)
    return generation
  }

  async receipt(mesh: string, token: string, nowMs: number): Promise<Receipt | undefined> {
    const found = this.#meshes.get(mesh)?.receipts.get(token)
    return found !== undefined && found.expiresAtMs > nowMs ? found : undefined
  }

  async history(query: Parameters<ResourceStore['history']>[0]): Promise<Page<ChangeLogEntry>> {
    const size = pageSize(query.limit)
    const log = this.#meshes.get(query.mesh)?.log ?? []
    const end = query.after === undefined ? log.length : decodePageToken('history', query.after, ['number'])[0]
    const start = Math.max(0, end - size)
    return {
      items: log
        .slice(start, Math.max(start, end))
        .reverse()
        .map((entry) => ({
          ...entry,
          before: entry.before && JSON.parse(entry.before),
          after: entry.after && JSON.parse(entry.after),
        })),
      ...(start > 0 && { next: encodePageToken('history', [start]) }),
    }
  }

  async close(): Promise<void> {}
}

function byKey(resources: readonly StoredResource[]): Map<string, StoredResource> {
  return new Map(resources.map((resource) => [storeKey(resource.ref), resource]))
}

/** Those behind a place, in order. */
function behind<T>(after: ResourceRef | undefined, all: readonly T[], refOf: (one: T) => ResourceRef): T[] {
  return all
    .filter((one) => after === undefined || compareRefs(refOf(one), after) > 0)
    .sort((a, b) => compareRefs(refOf(a), refOf(b)))
}

function keep(receipts: Map<string, Receipt>, receipt: Receipt, nowMs: number): void {
  for (const { token, expiresAtMs } of receipts.values()) {
    if (expiresAtMs > nowMs) break
    receipts.delete(token)
  }
  receipts.delete(receipt.token)
  receipts.set(receipt.token, { ...receipt })
}

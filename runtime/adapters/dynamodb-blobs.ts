import { gunzipSync, gzipSync } from 'node:zlib'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import { type Item, readAll, writeAll } from './dynamodb-calls.ts'
import { blobKey, meshPartition } from './dynamodb-table.ts'

/** Where a blob is: commit, number of its first item, and how many items it is spread over. */
export type BlobRef = readonly [id: string, first: number, parts: number]

/** Bytes in one item; DynamoDB takes 400 KB, keys included. */
const MAX_PART = 350 * 1024
/** A blob never unpacks to more: what is stored is ours, but a damaged one must not take the memory. */
const MAX_TEXT = 512 * 1024 * 1024

/** The blobs of one commit, gathered before they are written. */
export class BlobBatch {
  readonly id: string
  readonly #parts: Buffer[] = []

  constructor(id: string) {
    this.id = id
  }

  get size(): number {
    return this.#parts.length
  }

  add(text: string): BlobRef {
    const first = this.#parts.length
    const bytes = gzipSync(text, { level: 4 })
    for (let start = 0; start < bytes.length; start += MAX_PART) {
      this.#parts.push(bytes.subarray(start, start + MAX_PART))
    }
    return [this.id, first, this.#parts.length - first]
  }

  async write(client: DynamoDBClient, table: string, mesh: string): Promise<void> {
    const requests = this.#parts.map((bytes, n) => ({
      PutRequest: { Item: { pk: { S: meshPartition(mesh) }, sk: { S: blobKey(this.id, n) }, bytes: { B: bytes } } },
    }))
    await writeAll(client, table, requests)
  }
}

/** Reads blobs. They never change, so those read lately are kept: an unchanged mesh costs no more than its head. */
export class BlobReader {
  readonly #client: DynamoDBClient
  readonly #table: string
  readonly #cacheLimit: number
  /** Least recently used first. */
  readonly #cache = new Map<string, string>()
  #cached = 0

  /** `cacheLimit` is in characters. */
  constructor(client: DynamoDBClient, table: string, cacheLimit: number) {
    this.#client = client
    this.#table = table
    this.#cacheLimit = cacheLimit
  }

  /** The texts of blobs, in the order asked for. Throws MeshError `unavailable` when one is gone or damaged. */
  async read(mesh: string, refs: readonly BlobRef[]): Promise<string[]> {
    const missing = refs.filter((ref) => !this.#cache.has(cacheKey(mesh, ref)))
    const pk = { S: meshPartition(mesh) }
    const keys = missing.flatMap(([id, first, parts]) =>
      Array.from({ length: parts }, (_, part): Item => ({ pk, sk: { S: blobKey(id, first + part) } })),
    )
    const items = await readAll(this.#client, this.#table, keys)
    const bytes = new Map(items.map((item) => [item.sk!.S!, item.bytes?.B]))
    const texts = new Map(missing.map((ref) => [cacheKey(mesh, ref), unpack(ref, bytes)]))
    const result = refs.map((ref) => {
      const key = cacheKey(mesh, ref)
      return texts.get(key) ?? this.#touch(key)
    })
    for (const [key, text] of texts) this.#keep(key, text)
    return result
  }

  #touch(key: string): string {
    const text = this.#cache.get(key)!
    this.#cache.delete(key)
    this.#cache.set(key, text)
    return text
  }

  #keep(key: string, text: string): void {
    if (text.length > this.#cacheLimit || this.#cache.has(key)) return
    this.#cache.set(key, text)
    this.#cached += text.length
    for (const [oldest, { length }] of this.#cache) {
      if (this.#cached <= this.#cacheLimit) return
      this.#cache.delete(oldest)
      this.#cached -= length
    }
  }
}

function cacheKey(mesh: string, [id, first]: BlobRef): string {
  return `${id}#${first}#${mesh}`
}

function unpack([id, first, parts]: BlobRef, bytes: ReadonlyMap<string, Uint8Array | undefined>): string {
  const pieces = Array.from({ length: parts }, (_, part) => bytes.get(blobKey(id, first + part)))
  const whole = pieces.filter((piece) => piece !== undefined)
  try {
    if (whole.length !== parts) throw new Error('an item is gone')
    return gunzipSync(Buffer.concat(whole), { maxOutputLength: MAX_TEXT }).toString('utf8')
  } catch (cause) {
    throw new MeshError(
      'unavailable',
      `${blobKey(id, first)} of the store is damaged (${(cause as Error).message}); restore the table from a backup.`,
      { cause },
    )
  }
}

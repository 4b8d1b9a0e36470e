import type { ResourceRef } from '../model/reference.ts'
import type { BlobRef } from './dynamodb-blobs.ts'
import { compareNames, parentKey } from './store-rules.ts'

/** A resource in a leaf: its key and its JSON. */
export type Entry = readonly [key: string, json: string]

/** One leaf as the index knows it: the first key in it, its blob, and how many characters it holds. */
export type LeafRef = readonly [first: string, blob: BlobRef, size: number]

/** Characters of JSON in a leaf, about: gzipped it is 5 to 10 KB, which is what the change of one resource writes. */
const LEAF_SIZE = 64 * 1024

/** Key of a resource inside its mesh: kind, parent and name. In key order, a listing is one run. Names hold no NUL. */
export function treeKey(ref: ResourceRef): string {
  return `${listPrefix(ref.kind, parentKey(ref.kind, ref.parent))}${ref.name}`
}

/** What the keys of one listing begin with. */
export function listPrefix(kind: string, parent: string): string {
  return `${kind}\0${parent}\0`
}

/** Number of the leaf that holds a key, or would hold it. 0 for an empty index. */
export function leafOf(index: readonly LeafRef[], key: string): number {
  let low = 0
  let high = index.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareNames(index[middle]![0], key) <= 0) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** The leaves of an index that another one does not share, from the one on that may hold what comes behind a key. */
export function leavesBehind(index: readonly LeafRef[], key: string, other: readonly LeafRef[]): LeafRef[] {
  const blobKeyOf = ([, [id, first]]: LeafRef) => `${id}#${first}`
  const shared = new Set(other.map(blobKeyOf))
  return index.slice(leafOf(index, key)).filter((leaf) => !shared.has(blobKeyOf(leaf)))
}

/** Two runs of entries in key order as one: for each key what it is left and right, null where it is not. */
export async function* merged(
  left: AsyncGenerator<Entry>,
  right: AsyncGenerator<Entry>,
): AsyncGenerator<readonly [key: string, left: string | null, right: string | null]> {
  let [a, b] = [await left.next(), await right.next()]
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : compareNames(a.value[0], b.value[0])
    const [l, r] = [order <= 0 ? (a.value as Entry) : null, order >= 0 ? (b.value as Entry) : null]
    yield [(l ?? r)![0], l === null ? null : l[1], r === null ? null : r[1]]
    if (l !== null) a = await left.next()
    if (r !== null) b = await right.next()
  }
}

/** A run of leaves (`to` excluded) to be replaced. */
export interface Run {
  readonly from: number
  readonly to: number
}

/**
 * The runs of leaves that a change of `keys` rewrites: those that hold a key, neighbours joined. A leaf that became small
 * takes the next one in, so that an index does not fill with crumbs.
 */
export function runsOf(index: readonly LeafRef[], keys: readonly string[]): Run[] {
  if (index.length === 0) return [{ from: 0, to: 0 }]
  const touched = new Set<number>()
  for (const key of keys) {
    const at = leafOf(index, key)
    touched.add(at)
    const neighbour = at + 1 < index.length ? at + 1 : at - 1
    if (index[at]![2] < LEAF_SIZE / 4 && neighbour >= 0) touched.add(neighbour)
  }
  const runs: { from: number; to: number }[] = []
  for (const at of [...touched].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last?.to === at) last.to = at + 1
    else runs.push({ from: at, to: at + 1 })
  }
  return runs
}

/** The entries of a run after a change, cut evenly into new leaves. `null` takes a key out. */
export function rewrite(entries: readonly Entry[], changes: ReadonlyMap<string, string | null>): Entry[][] {
  const merged = new Map(entries)
  for (const [key, json] of changes) {
    if (json === null) merged.delete(key)
    else merged.set(key, json)
  }
  const sorted = [...merged].sort(([a], [b]) => compareNames(a, b))
  const total = sorted.reduce((sum, entry) => sum + sizeOf(entry), 0)
  // As few leaves as it takes, all about as large: a full one and a crumb would be rewritten together again and again.
  const size = total / Math.ceil(total / LEAF_SIZE)
  const leaves = new Map<number, Entry[]>()
  let before = 0
  for (const entry of sorted) {
    const n = Math.floor((before + sizeOf(entry) / 2) / size)
    const leaf = leaves.get(n)
    if (leaf === undefined) leaves.set(n, [entry])
    else leaf.push(entry)
    before += sizeOf(entry)
  }
  return [...leaves.values()]
}

/** Characters of an entry. */
export function sizeOf([key, json]: Entry): number {
  return key.length + json.length
}

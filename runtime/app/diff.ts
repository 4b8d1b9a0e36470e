import { type ResourceRef, refKey } from '../model/reference.ts'
import type { ResourceStore, StoredResource } from '../ports.ts'
import { changedPaths } from './changed-paths.ts'
import { requireHistory } from './history.ts'

/** What happened to one resource between two states. `before` is null for a created one, `after` for a deleted one. */
export interface Difference {
  readonly change: 'created' | 'updated' | 'deleted'
  readonly ref: ResourceRef
  readonly before: StoredResource | null
  readonly after: StoredResource | null
  /** Of an updated one: where spec and tags differ, such as `spec.listeners[0].portMapping.port` or `tags.team`. */
  readonly paths: readonly string[]
}

interface DiffQuery {
  readonly mesh: string
  readonly from: number
  /** Default: the head's. */
  readonly to?: number | undefined
  readonly limit: number
  /** That of the last one of the page before. */
  readonly after?: ResourceRef | undefined
}

/** One page of a diff. */
interface Diff {
  readonly from: number
  readonly to: number
  /** By kind, parent and name. */
  readonly changes: readonly Difference[]
  /** There are more behind the last one. */
  readonly more: boolean
}

/** What was written is read in pieces of this size at least: much of it may have no other content than before. */
const PIECE = 100

/**
 * What it takes to come from one generation of a mesh to another (the head's by default), in either direction. Content
 * counts: a resource that was deleted and made again as it was is no difference.
 * @throws MeshError `not-found` for a mesh that never was, or a generation that it has not reached.
 */
export function diffGenerations({ store }: { readonly store: ResourceStore }) {
  return async ({ mesh, from, to: wanted, limit, after: start }: DiffQuery): Promise<Diff> => {
    const head = await requireHistory(store, mesh)
    const to = wanted ?? head
    const size = Math.max(PIECE, limit + 1)
    const changes: Difference[] = []
    for (let place = start; changes.length <= limit; ) {
      const piece = await store.changed({ mesh, from, to, limit: size, after: place })
      changes.push(...piece.flatMap(({ before, after }) => differenceOf(before, after) ?? []))
      const last = piece.at(-1)
      if (last === undefined || piece.length < size) break
      place = (last.after ?? last.before)!.ref
    }
    return { from, to, changes: changes.slice(0, limit), more: changes.length > limit }
  }
}

/** The differences in content between two whole states. */
export function differences(from: readonly StoredResource[], to: readonly StoredResource[]): Difference[] {
  const [before, after] = [byKey(from), byKey(to)]
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort()
  return keys.flatMap((key) => differenceOf(before.get(key) ?? null, after.get(key) ?? null) ?? [])
}

function differenceOf(before: StoredResource | null, after: StoredResource | null): Difference | undefined {
  const { ref } = (after ?? before)!
  if (before === null) return { change: 'created', ref, before, after, paths: [] }
  if (after === null) return { change: 'deleted', ref, before, after, paths: [] }
  const paths = changedPaths(contentOf(before), contentOf(after))
  return paths.length === 0 ? undefined : { change: 'updated', ref, before, after, paths }
}

function contentOf({ spec, tags }: StoredResource) {
  return { spec, tags }
}

function byKey(resources: readonly StoredResource[]): Map<string, StoredResource> {
  return new Map(resources.map((resource) => [refKey(resource.ref), resource]))
}

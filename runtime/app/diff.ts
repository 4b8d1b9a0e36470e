import { type ResourceRef, refKey } from '../model/reference.ts'
import type { ResourceStore, StoredResource } from '../ports.ts'
import { changedPaths } from './changed-paths.ts'
import { type PastState, readState } from './history.ts'

/** What happened to one resource between two states. `before` is null for a created one, `after` for a deleted one. */
export interface Difference {
  readonly change: 'created' | 'updated' | 'deleted'
  readonly ref: ResourceRef
  readonly before: StoredResource | null
  readonly after: StoredResource | null
  /** Of an updated one: where spec and tags differ, such as `spec.listeners[0].portMapping.port` or `tags.team`. */
  readonly paths: readonly string[]
}

interface Diff {
  readonly from: number
  readonly to: number
  /** By kind, parent and name. */
  readonly changes: readonly Difference[]
}

/**
 * What it takes to come from one generation of a mesh to another (the head's by default), in either direction. Content
 * counts: a resource that was deleted and made again as it was is no difference.
 * @throws MeshError `not-found` for a mesh that never was, or a generation that it has not reached.
 */
export function diffGenerations(deps: { readonly store: ResourceStore }) {
  const read = readState(deps)
  return async ({ mesh, from, to }: { mesh: string; from: number; to?: number }): Promise<Diff> => {
    const [older, newer] = await Promise.all([read(mesh, from), read(mesh, to)])
    return { from: older.generation, to: newer.generation, changes: differences(older, newer) }
  }
}

/** The differences in content between two states. */
export function differences(from: Pick<PastState, 'resources'>, to: Pick<PastState, 'resources'>): Difference[] {
  const before = byKey(from)
  const after = byKey(to)
  const found: Difference[] = []
  for (const key of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [was, is] = [before.get(key) ?? null, after.get(key) ?? null]
    const { ref } = (is ?? was)!
    if (was === null) found.push({ change: 'created', ref, before: was, after: is, paths: [] })
    else if (is === null) found.push({ change: 'deleted', ref, before: was, after: is, paths: [] })
    else {
      const paths = changedPaths(contentOf(was), contentOf(is))
      if (paths.length > 0) found.push({ change: 'updated', ref, before: was, after: is, paths })
    }
  }
  return found
}

function contentOf({ spec, tags }: StoredResource) {
  return { spec, tags }
}

function byKey({ resources }: Pick<PastState, 'resources'>): Map<string, StoredResource> {
  return new Map(resources.map((resource) => [refKey(resource.ref), resource]))
}

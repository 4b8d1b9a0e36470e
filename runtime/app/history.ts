import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { ChangeLogEntry, Page, ResourceStore, StoredResource } from '../ports.ts'

interface HistoryDeps {
  readonly store: ResourceStore
}

/** One page of the change log of a mesh, newest first, also of one that was deleted. @throws MeshError `not-found`. */
export function readHistory({ store }: HistoryDeps) {
  return async (query: { mesh: string; limit: number; after?: string }): Promise<Page<ChangeLogEntry>> => {
    const page = await store.history(query)
    if (page.items.length === 0 && query.after === undefined) await requireHistory(store, query.mesh)
    return page
  }
}

/** One page of a mesh as it was. */
interface PastState {
  readonly generation: number
  /** By kind, parent and name. */
  readonly resources: readonly StoredResource[]
  /** There are more behind the last one. */
  readonly more: boolean
}

interface StateQuery {
  readonly mesh: string
  /** Default: the head's. */
  readonly generation?: number | undefined
  readonly limit: number
  /** The last one of the page before. */
  readonly after?: ResourceRef | undefined
}

/**
 * The resources of a mesh at a generation, a page at a time.
 * @throws MeshError `not-found` for a mesh that never was, or a generation that it has not reached.
 */
export function readState({ store }: HistoryDeps) {
  return async ({ mesh, generation: wanted, limit, after }: StateQuery): Promise<PastState> => {
    const head = await requireHistory(store, mesh)
    const generation = wanted ?? head
    const found = await store.loadPage({ mesh, generation, limit: limit + 1, after })
    return { generation, resources: found.slice(0, limit), more: found.length > limit }
  }
}

/** The generation of a mesh. @throws MeshError `not-found` for one that never was; one that was deleted keeps its past. */
export async function requireHistory(store: ResourceStore, mesh: string): Promise<number> {
  const generation = await store.generation(mesh)
  if (generation > 0) return generation
  throw new MeshError('not-found', `there is no mesh '${mesh}', and there never was one`)
}

import { MeshError } from '../model/problem.ts'
import { refKey } from '../model/reference.ts'
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

/** A mesh as it was. */
export interface PastState {
  readonly generation: number
  /** By kind, parent and name. */
  readonly resources: readonly StoredResource[]
}

/**
 * Every resource of a mesh at a generation, the head's by default.
 * @throws MeshError `not-found` for a mesh that never was, or a generation that it has not reached.
 */
export function readState({ store }: HistoryDeps) {
  return async (mesh: string, generation?: number): Promise<PastState> => {
    await requireHistory(store, mesh)
    const state = await store.load(mesh, generation)
    return { ...state, resources: state.resources.toSorted(byKey) }
  }
}

/** @throws MeshError `not-found` for a mesh that never was; one that was deleted keeps its past. */
export async function requireHistory(store: ResourceStore, mesh: string): Promise<void> {
  if ((await store.generation(mesh)) > 0) return
  throw new MeshError('not-found', `there is no mesh '${mesh}', and there never was one`)
}

function byKey(a: StoredResource, b: StoredResource): number {
  const [x, y] = [refKey(a.ref), refKey(b.ref)]
  return x < y ? -1 : Number(x > y)
}

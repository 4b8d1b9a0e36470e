import { buildGraph, changeGraph, type Graph } from '../compiler/graph.ts'
import type { Change, ResourceStore, StoredResource } from '../ports.ts'

/** One consistent view of a mesh. Immutable, and shared by all who decide or compile on it. */
export interface MeshState {
  /** 0 of a mesh that never was. */
  readonly generation: number
  readonly graph: Graph<StoredResource>
}

/** Meshes kept in memory; the one not used for longest makes room. */
const MAX_MESHES = 64

/**
 * Meshes in memory, each at its generation, so that neither a write nor a new snapshot reads the whole mesh from the store.
 * The store's head decides whether a state is of use: one small read. A commit of this process carries its state forward;
 * after one of another process the mesh is loaded again.
 */
export class MeshStates {
  readonly #store: ResourceStore
  /** Least recently used first. */
  readonly #states = new Map<string, MeshState>()
  readonly #loading = new Map<string, Promise<MeshState>>()
  /** When the head of a mesh in `#states` was last read, on the clock of `performance.now()`. */
  readonly #checkedAt = new Map<string, number>()

  constructor(store: ResourceStore) {
    this.#store = store
  }

  /** The mesh as it is now, or was at most `maxAgeMs` ago: no older than the head at that time. Default: 0. */
  async current(mesh: string, maxAgeMs = 0): Promise<MeshState> {
    const startedAt = performance.now()
    const recent = this.#states.get(mesh)
    if (recent !== undefined && startedAt - (this.#checkedAt.get(mesh) ?? Number.NEGATIVE_INFINITY) < maxAgeMs)
      return recent
    const generation = await this.#store.generation(mesh)
    for (;;) {
      const known = this.#states.get(mesh)
      if (known !== undefined && known.generation >= generation) {
        this.#checkedAt.set(mesh, startedAt)
        return known
      }
      // One load for all who wait; one that began before the last write may be too old, hence the loop.
      const loaded = await (this.#loading.get(mesh) ?? this.#load(mesh))
      if (loaded.generation >= generation) return loaded
    }
  }

  /** Takes note of a commit that was made on top of `before`. */
  advance(mesh: string, before: MeshState, generation: number, changes: readonly Change[]): void {
    this.#keep(mesh, { generation, graph: changeGraph(before.graph, changes) })
  }

  #load(mesh: string): Promise<MeshState> {
    const loading = this.#store
      .load(mesh)
      .then(({ generation, resources }) => this.#keep(mesh, { generation, graph: buildGraph(resources) }))
      .finally(() => this.#loading.delete(mesh))
    this.#loading.set(mesh, loading)
    return loading
  }

  #keep(mesh: string, state: MeshState): MeshState {
    const known = this.#states.get(mesh)
    this.#states.delete(mesh)
    const newest = known !== undefined && known.generation > state.generation ? known : state
    // An empty mesh costs nothing to load, and strangers may ask for any name.
    if (newest.graph.resources.size === 0) {
      this.#checkedAt.delete(mesh)
      return newest
    }
    this.#states.set(mesh, newest)
    if (this.#states.size > MAX_MESHES) {
      const [unused] = this.#states.keys()
      this.#states.delete(unused!)
      this.#checkedAt.delete(unused!)
    }
    return newest
  }
}

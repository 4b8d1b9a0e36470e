import { buildGraph, changeGraph, type Graph } from '../compiler/graph.ts'
import type { Change, ResourceStore, StoredResource } from '../ports.ts'

/** One consistent view of a mesh. Immutable, and shared by all who decide or compile on it. */
export interface MeshState {
  /** 0 of a mesh that never was. */
  readonly generation: number
  readonly graph: Graph<StoredResource>
}

/**
 * Resources of all meshes kept in memory, at 1 to 3 KB each: many small meshes or a few large ones, in the 512 MB that a
 * function has. One mesh is kept whatever its size: the next write would only load it again.
 */
const MAX_RESOURCES = 100_000

/**
 * Meshes in memory, each at its generation, so that neither a write nor a new snapshot reads the whole mesh from the store.
 * The store's head decides whether a state is of use: one small read. A commit of this process carries its state forward;
 * after one of another process the mesh is loaded again.
 */
export class MeshStates {
  readonly #store: ResourceStore
  readonly #maxResources: number
  /** Least recently used first. */
  readonly #states = new Map<string, MeshState>()
  readonly #loading = new Map<string, Promise<MeshState>>()
  /** When the head of a mesh in `#states` was last read, on the clock of `performance.now()`. */
  readonly #checkedAt = new Map<string, number>()

  /** Of more resources than `maxResources` in all, the mesh not used for longest makes room. Default: 100,000. */
  constructor(store: ResourceStore, maxResources = MAX_RESOURCES) {
    this.#store = store
    this.#maxResources = maxResources
  }

  /** The mesh as it is now, or was at most `maxAgeMs` ago: no older than the head at that time. Default: 0. */
  async current(mesh: string, maxAgeMs = 0): Promise<MeshState> {
    const startedAt = performance.now()
    const recent = this.#states.get(mesh)
    if (recent !== undefined && startedAt - (this.#checkedAt.get(mesh) ?? Number.NEGATIVE_INFINITY) < maxAgeMs) {
      return this.#touch(mesh, recent)
    }
    const generation = await this.#store.generation(mesh)
    for (;;) {
      const known = this.#states.get(mesh)
      if (known !== undefined && known.generation >= generation) {
        this.#checkedAt.set(mesh, startedAt)
        return this.#touch(mesh, known)
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
    this.#touch(mesh, newest)
    this.#makeRoom()
    return newest
  }

  #touch(mesh: string, state: MeshState): MeshState {
    this.#states.delete(mesh)
    this.#states.set(mesh, state)
    return state
  }

  #makeRoom(): void {
    let kept = 0
    for (const { graph } of this.#states.values()) kept += graph.resources.size
    for (const [mesh, { graph }] of this.#states) {
      if (kept <= this.#maxResources || this.#states.size === 1) return
      this.#states.delete(mesh)
      this.#checkedAt.delete(mesh)
      kept -= graph.resources.size
    }
  }
}

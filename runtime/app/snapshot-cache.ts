import { type Compiled, compile } from '../compiler/compile.ts'
import { buildGraph, type Graph } from '../compiler/graph.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { ResourceKind, ResourceRef, Subject } from '../model/reference.ts'
import type { Snapshot } from '../model/snapshot.ts'
import type { ResourceStore } from '../ports.ts'
import { missing } from './describe-resource.ts'

/** What a subject is to run. */
export interface CurrentSnapshot {
  readonly snapshot: Snapshot
  /** The generation that was looked at, which is newer than `snapshot` when `problems` is not empty. */
  readonly generation: number
  /** Why the mesh as it is now does not compile for this subject: `snapshot` is the last good one. */
  readonly problems: readonly Problem[]
  /** What compiles but will hardly do what was meant. */
  readonly warnings: readonly Problem[]
}

interface CachedMesh {
  readonly generation: number
  readonly graph: Graph
  /** Keys of all nodes and gateways. */
  readonly existing: ReadonlySet<string>
  /** By `kind/name`. */
  readonly subjects: Map<string, CurrentSnapshot>
  /** Those of the generations before, which unchanged or broken content goes back to. */
  readonly earlier: ReadonlyMap<string, CurrentSnapshot>
}

/**
 * Snapshots are derived data: compiled when first asked for in a generation, then kept. A poll of an unchanged mesh
 * costs one read of its generation, however many proxies it has.
 */
export class SnapshotCache {
  readonly #store: ResourceStore
  readonly #trustDomain: string
  readonly #meshes = new Map<string, CachedMesh>()
  readonly #loading = new Map<string, Promise<CachedMesh>>()

  constructor(store: ResourceStore, trustDomain: string) {
    this.#store = store
    this.#trustDomain = trustDomain
  }

  /**
   * The snapshot that is in force for a subject.
   * @throws MeshError `not-found` when the subject does not exist; `unavailable` when it does not compile and never did.
   */
  async of(subject: Subject): Promise<CurrentSnapshot> {
    const mesh = await this.#mesh(subject.mesh)
    const key = subjectKey(subject)
    const known = mesh.subjects.get(key)
    if (known !== undefined) return known
    const current = this.#compile(mesh, subject, mesh.earlier.get(key))
    mesh.subjects.set(key, current)
    return current
  }

  /** Compilation is synchronous, so that one generation is never compiled twice for a subject. */
  #compile(mesh: CachedMesh, subject: Subject, earlier: CurrentSnapshot | undefined): CurrentSnapshot {
    const { generation, graph } = mesh
    if (!mesh.existing.has(subjectKey(subject))) throw missing(subject)
    const compiled = tryCompile(graph, subject, this.#trustDomain)
    if (compiled.ok) {
      // The older of two equal ones is kept: only one of them then lives in memory.
      const snapshot = earlier?.snapshot.revision === compiled.value.revision ? earlier.snapshot : compiled.value
      return { snapshot, generation, problems: [], warnings: compiled.warnings }
    }
    const { problems } = compiled
    if (earlier !== undefined) return { snapshot: earlier.snapshot, generation, problems, warnings: [] }
    throw new MeshError(
      'unavailable',
      `${subject.kind} '${subject.name}' of mesh '${subject.mesh}' has no snapshot: its resources do not compile; mend them`,
      { problems },
    )
  }

  async #mesh(name: string): Promise<CachedMesh> {
    const generation = await this.#store.generation(name)
    for (;;) {
      const cached = this.#meshes.get(name)
      if (cached !== undefined && cached.generation >= generation) return cached
      // One load for all who wait; one that began before the last write may be too old, hence the loop.
      const loaded = await (this.#loading.get(name) ?? this.#load(name))
      if (loaded.generation >= generation) return loaded
    }
  }

  #load(name: string): Promise<CachedMesh> {
    const loading = this.#loadMesh(name).finally(() => this.#loading.delete(name))
    this.#loading.set(name, loading)
    return loading
  }

  async #loadMesh(name: string): Promise<CachedMesh> {
    const { generation, resources } = await this.#store.load(name)
    const existing = new Set(resources.filter(({ ref }) => isSubjectKind(ref.kind)).map(({ ref }) => subjectKey(ref)))
    const before = this.#meshes.get(name)
    const earlier = new Map([...(before?.earlier ?? []), ...(before?.subjects ?? [])])
    for (const key of earlier.keys()) if (!existing.has(key)) earlier.delete(key)
    const subjects = new Map<string, CurrentSnapshot>()
    const mesh = { generation, graph: buildGraph(resources), existing, subjects, earlier }
    if (resources.length === 0) this.#meshes.delete(name)
    else this.#meshes.set(name, mesh)
    return mesh
  }
}

/** What the store holds was checked by the version that wrote it; a failure on it must not take the last good one away. */
function tryCompile(graph: Graph, subject: Subject, trustDomain: string): Compiled {
  try {
    return compile(graph, subject, { trustDomain })
  } catch (error) {
    const message = `the compiler failed on the resources of this mesh: ${(error as Error).message}; write those changed last again`
    return { ok: false, problems: [{ path: '', code: 'compiler-failed', message }] }
  }
}

function subjectKey({ kind, name }: Pick<ResourceRef, 'kind' | 'name'>): string {
  return `${kind}/${name}`
}

function isSubjectKind(kind: ResourceKind): boolean {
  return kind === 'virtual-node' || kind === 'virtual-gateway'
}

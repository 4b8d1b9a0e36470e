import { type Compiled, compile } from '../compiler/compile.ts'
import type { Graph } from '../compiler/graph.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import { refKey, type Subject } from '../model/reference.ts'
import type { Snapshot } from '../model/snapshot.ts'
import { missing } from './describe-resource.ts'
import type { MeshState, MeshStates } from './mesh-states.ts'
import { Slices } from './slices.ts'

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
  readonly state: MeshState
  /** By {@link refKey}. */
  readonly subjects: Map<string, CurrentSnapshot>
  /** Those of the generations before, which unchanged or broken content goes back to. */
  readonly earlier: ReadonlyMap<string, CurrentSnapshot>
}

/**
 * Snapshots are derived data: compiled when first asked for in a generation, then kept. A poll of an unchanged mesh
 * costs one read of its generation, however many proxies it has. After a write all proxies ask at once: their snapshots
 * are compiled in slices, between which other requests are served.
 */
export class SnapshotCache {
  readonly #states: MeshStates
  readonly #trustDomain: string
  readonly #meshes = new Map<string, CachedMesh>()
  readonly #slices = new Slices()

  constructor(states: MeshStates, trustDomain: string) {
    this.#states = states
    this.#trustDomain = trustDomain
  }

  /**
   * The snapshot that is in force for a subject.
   * @throws MeshError `not-found` when the subject does not exist; `unavailable` when it does not compile and never did.
   */
  async of(subject: Subject): Promise<CurrentSnapshot> {
    return this.at(await this.#states.current(subject.mesh), subject)
  }

  /** The same, of a state at hand: of that, or of a newer one that was asked for already. */
  async at(state: MeshState, subject: Subject): Promise<CurrentSnapshot> {
    const known = this.#mesh(subject.mesh, state).subjects.get(refKey(subject))
    return known ?? this.#slices.run(() => this.#compileOnce(this.#mesh(subject.mesh, state), subject))
  }

  /** What others asked for too while this waited its turn is compiled already. */
  #compileOnce(mesh: CachedMesh, subject: Subject): CurrentSnapshot {
    const key = refKey(subject)
    const current = mesh.subjects.get(key) ?? this.#compile(mesh.state, subject, mesh.earlier.get(key))
    mesh.subjects.set(key, current)
    return current
  }

  #compile({ generation, graph }: MeshState, subject: Subject, earlier: CurrentSnapshot | undefined): CurrentSnapshot {
    if (!graph.resources.has(refKey(subject))) throw missing(subject)
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

  /** What is cached of this state, or of a newer one. */
  #mesh(name: string, state: MeshState): CachedMesh {
    const before = this.#meshes.get(name)
    if (before !== undefined && before.state.generation >= state.generation) return before
    const { resources } = state.graph
    const earlier = new Map([...(before?.earlier ?? []), ...(before?.subjects ?? [])])
    for (const key of earlier.keys()) if (!resources.has(key)) earlier.delete(key)
    const mesh = { state, subjects: new Map<string, CurrentSnapshot>(), earlier }
    if (resources.size === 0) this.#meshes.delete(name)
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

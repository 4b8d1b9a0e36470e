import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { Change, Clock, ResourceStore, StoredResource } from '../ports.ts'
import { type Changes, meshTopic } from './changes.ts'

/** What every use case that writes resources needs. */
export interface WriteDeps {
  readonly store: ResourceStore
  readonly changes: Changes
  readonly clock: Clock
  /** A fresh UUID. */
  readonly newUid: () => string
}

/** One consistent view of a mesh to decide on. */
export interface MeshState {
  readonly generation: number
  readonly resources: readonly StoredResource[]
}

/** A resource of a loaded mesh. Compared part by part: names may hold slashes, so joined keys could be ambiguous. */
export function findResource(state: MeshState, ref: ResourceRef): StoredResource | undefined {
  return state.resources.find(
    (r) => r.ref.kind === ref.kind && r.ref.name === ref.name && (r.ref.parent ?? '') === (ref.parent ?? ''),
  )
}

interface Decision<T> {
  readonly changes: readonly Change[]
  readonly result: T
}

const ATTEMPTS = 8

/**
 * Loads a mesh, lets `decide` say what to change (it throws MeshError to refuse), commits on condition that nobody else
 * wrote meanwhile, and wakes those who wait for the mesh. Somebody else's write in between only means deciding again.
 * @throws MeshError whatever `decide` throws; `conflict` when others won the race every time.
 */
export async function writeMesh<T>(
  deps: WriteDeps,
  target: { readonly mesh: string; readonly actor: string },
  decide: (state: MeshState, atMs: number) => Decision<T> | Promise<Decision<T>>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const state = await deps.store.load(target.mesh)
    const atMs = deps.clock.now()
    const { changes, result } = await decide(state, atMs)
    try {
      await deps.store.commit({ ...target, expectedGeneration: state.generation, changes, atMs })
    } catch (error) {
      if (!(error instanceof MeshError && error.code === 'conflict')) throw error
      if (attempt < ATTEMPTS) continue
      throw new MeshError(
        'conflict',
        `mesh '${target.mesh}' is being written by others all the time; nothing was changed, try again`,
        { cause: error },
      )
    }
    deps.changes.notify(meshTopic(target.mesh))
    return result
  }
}

import { setTimeout } from 'node:timers/promises'
import { MeshError } from '../model/problem.ts'
import { type ResourceRef, refKey } from '../model/reference.ts'
import type { Change, Clock, ResourceStore, StoredResource } from '../ports.ts'
import { type Changes, meshTopic } from './changes.ts'
import { type ClientToken, receiptOf, replay } from './client-token.ts'
import type { MeshState, MeshStates } from './mesh-states.ts'
import type { Quotas } from './quotas.ts'

/** What every use case that writes resources needs. */
export interface WriteDeps {
  readonly store: ResourceStore
  readonly states: MeshStates
  readonly changes: Changes
  readonly clock: Clock
  readonly quotas: Quotas
  /** A fresh UUID. */
  readonly newUid: () => string
  /** Aborted when nobody waits any more: then nothing is committed. */
  readonly stopped?: AbortSignal
}

export function findResource({ graph }: MeshState, ref: ResourceRef): StoredResource | undefined {
  return graph.resources.get(refKey(ref))
}

/** What to write, and the resource to answer with. No changes: everything is as asked for already. */
interface Decision {
  readonly changes: readonly Change[]
  readonly result: StoredResource
}

interface Target {
  readonly mesh: string
  readonly actor: string
  readonly clientToken?: ClientToken | undefined
}

/** How often a write is decided anew when somebody else's came first. */
export const ATTEMPTS = 12
const LONGEST_PAUSE_MS = 100

/** Before another attempt: each waits a time of its own, or those who met once would meet again and again. */
export function pauseAfterLostRace(attempt: number): Promise<void> {
  return setTimeout(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** attempt))
}

/**
 * Lets `decide` say on the mesh as it is what to change (it throws MeshError to refuse), commits on condition that nobody
 * else wrote meanwhile, and wakes those who wait for the mesh. Somebody else's write in between only means deciding again.
 * A request whose client token is known gets its first answer and writes nothing, as long as what it wrote is there.
 * @throws MeshError whatever `decide` throws; `conflict` when others won the race every time, or the client token belongs to
 * another request.
 */
export async function writeMesh(
  deps: WriteDeps,
  target: Target,
  decide: (state: MeshState, atMs: number) => Decision | Promise<Decision>,
): Promise<StoredResource> {
  const { mesh, actor, clientToken } = target
  for (let attempt = 1; ; attempt++) {
    const state = await deps.states.current(mesh)
    const atMs = deps.clock.now()
    // After the state: a rival with the same token either shows here or moves the head.
    const known = clientToken && (await deps.store.receipt(mesh, clientToken.token, atMs))
    const first = clientToken && known && replay(clientToken, known, state)
    if (first !== undefined) return first
    const { changes, result } = await decide(state, atMs)
    if (changes.length === 0) return result
    try {
      const generation = await deps.store.commit({
        mesh,
        actor,
        expectedGeneration: state.generation,
        changes,
        atMs,
        ...(clientToken === undefined ? {} : { receipt: receiptOf(clientToken, result, atMs) }),
        ...(deps.stopped === undefined ? {} : { stopped: deps.stopped }),
      })
      deps.states.advance(mesh, state, generation, changes)
    } catch (error) {
      if (!(error instanceof MeshError && error.code === 'conflict')) throw error
      if (attempt < ATTEMPTS) {
        await pauseAfterLostRace(attempt)
        continue
      }
      throw new MeshError(
        'conflict',
        `mesh '${mesh}' is being written by others all the time; nothing was changed, try again`,
        { cause: error },
      )
    }
    deps.changes.notify(meshTopic(mesh))
    return result
  }
}

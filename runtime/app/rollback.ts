import { buildGraph } from '../compiler/graph.ts'
import { validateStanding } from '../compiler/validate.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import { RESOURCE_KINDS, type ResourceRef, refKey } from '../model/reference.ts'
import type { Change, ResourceStore, StoredResource } from '../ports.ts'
import { meshTopic } from './changes.ts'
import { checkSpec } from './check-resource.ts'
import { type Difference, differences } from './diff.ts'
import { requireHistory } from './history.ts'
import { laterVip } from './vip.ts'
import { ATTEMPTS, pauseAfterLostRace, type WriteDeps } from './write.ts'

export interface RollbackInput {
  readonly mesh: string
  /** The past generation whose resources are to be the present ones. */
  readonly generation: number
  /** Refuse when the mesh is at another generation than this one. */
  readonly expectedGeneration?: number
  /** Say what would be done and do nothing. */
  readonly dryRun?: boolean
  readonly actor: string
}

interface RolledBack {
  /** The new generation; the old one when nothing had to be done, or nothing was done. */
  readonly generation: number
  readonly changes: readonly Difference[]
}

/**
 * Makes the resources of a mesh equal in content to those of a past generation, in one commit. It is a write like any
 * other: versions count on, a resource that exists keeps its uid and VIP. One that comes back is a new one (new uid) with its
 * former VIP, which was given to nobody else meanwhile. Undoes the deletion of a mesh, too.
 * @throws MeshError `not-found` for a mesh that never was or a generation that it has not reached; `conflict` when the mesh
 * is not at `expectedGeneration`, or others win the race every time; `invalid` when the mesh did not exist then, or with
 * every problem that the past state has under the rules of today.
 */
export function rollback(deps: WriteDeps): (input: RollbackInput) => Promise<RolledBack> {
  return async (input) => {
    const { mesh, generation, expectedGeneration, actor } = input
    await requireHistory(deps.store, mesh)
    const target = (await deps.store.load(mesh, generation)).resources
    refuseUnlessWhole(mesh, generation, target)
    for (let attempt = 1; ; attempt++) {
      const state = await deps.states.current(mesh)
      const head = state.generation
      if (expectedGeneration !== undefined && head !== expectedGeneration) {
        throw new MeshError(
          'conflict',
          `mesh '${mesh}' is at generation ${head}, not ${expectedGeneration}: somebody wrote meanwhile; look at the diff again`,
        )
      }
      const found = differences([...state.graph.resources.values()], target)
      if (found.length === 0 || input.dryRun === true) return { generation: head, changes: found }
      const atMs = deps.clock.now()
      const mark = await markOf(deps.store, mesh, state.graph.resources.get(`mesh/${mesh}`), target)
      const changes = changesFor(found, { atMs, mark, newUid: deps.newUid })
      try {
        const commit = { mesh, expectedGeneration: head, changes, actor, atMs, rolledBackTo: generation }
        const next = await deps.store.commit(commit)
        deps.states.advance(mesh, state, next, changes)
        deps.changes.notify(meshTopic(mesh))
        return { generation: next, changes: found }
      } catch (error) {
        const lost = error instanceof MeshError && error.code === 'conflict'
        if (!lost || expectedGeneration !== undefined || attempt === ATTEMPTS) throw error
        await pauseAfterLostRace(attempt)
      }
    }
  }
}

/** Rules may have become stricter since that state was written. */
function refuseUnlessWhole(mesh: string, generation: number, target: readonly StoredResource[]): void {
  if (!target.some(({ ref }) => ref.kind === 'mesh')) {
    const message = `mesh '${mesh}' did not exist at generation ${generation}; nothing was changed. To be without it, delete it`
    throw new MeshError('invalid', message)
  }
  const graph = buildGraph(target)
  const problems = target.flatMap((resource): Problem[] => {
    const own = checkSpec(resource.ref.kind, resource.spec)
    // What has not the shape of a spec can't be looked at beside others.
    const found = own.length > 0 ? own : validateStanding(graph, resource)
    return found.map((problem) => ({ ...problem, path: `${refKey(resource.ref)}: ${problem.path}` }))
  })
  if (problems.length === 0) return
  const message = `generation ${generation} of mesh '${mesh}' has resources that this version of Weft refuses; nothing was changed. Roll back to another generation, or apply these resources mended`
  throw new MeshError('invalid', message, { problems })
}

/** The last VIP ever given in the mesh. A mesh that is gone has it in the entry of its removal. */
async function markOf(
  store: ResourceStore,
  mesh: string,
  present: StoredResource | undefined,
  target: readonly StoredResource[],
): Promise<string | undefined> {
  const then = target.find(({ ref }) => ref.kind === 'mesh')?.vip
  if (present !== undefined) return laterVip(present.vip, then)
  const [removal] = (await store.history({ mesh, limit: 1 })).items
  return laterVip(removal?.before?.vip, then)
}

interface ChangeFacts {
  readonly atMs: number
  readonly mark: string | undefined
  readonly newUid: () => string
}

/** The steps, in the order in which resources depend on one another: what others need comes first and goes last. */
function changesFor(found: readonly Difference[], facts: ChangeFacts): Change[] {
  const rank = ({ ref }: { readonly ref: ResourceRef }) => RESOURCE_KINDS.indexOf(ref.kind)
  const removed = found.filter(({ after }) => after === null).sort((a, b) => rank(b) - rank(a))
  const put = found.filter(({ after }) => after !== null).sort((a, b) => rank(a) - rank(b))
  return [
    ...put.map(({ before, after }): Change => ({ kind: 'put', resource: restored(before, after!, facts) })),
    ...removed.map(({ ref }): Change => ({ kind: 'remove', ref })),
  ]
}

/** A resource with the content it had `then`. */
function restored(now: StoredResource | null, then: StoredResource, { atMs, mark, newUid }: ChangeFacts) {
  const { ref, spec, tags } = then
  const resource: StoredResource =
    now === null
      ? { ...then, uid: newUid(), version: then.version + 1, createdAtMs: atMs, updatedAtMs: atMs }
      : { ...now, spec, tags, version: now.version + 1, updatedAtMs: atMs }
  return ref.kind === 'mesh' && mark !== undefined ? { ...resource, vip: mark } : resource
}

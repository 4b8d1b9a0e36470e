import { changeGraph, policyKey } from '../compiler/graph.ts'
import { describe } from '../compiler/named-ports.ts'
import type { Policy } from '../model/policy.ts'
import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { Change, ResourceStore, StoredResource } from '../ports.ts'
import { checkResource, refuseUnlessSound } from './check-resource.ts'
import { clientToken } from './client-token.ts'
import { containersOf, missing } from './describe-resource.ts'
import type { MeshState } from './mesh-states.ts'
import { refuseBeyondBackends, refuseBeyondQuota } from './quotas.ts'
import { refuseBadTags } from './tag-resource.ts'
import { nextVip } from './vip.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface CreateInput {
  readonly ref: ResourceRef
  /** As the user wrote it. */
  readonly spec: unknown
  readonly tags: Readonly<Record<string, string>>
  readonly actor: string
  /** The same request under the same token is done once. */
  readonly clientToken?: string | undefined
  /**
   * Of a policy: whether the one of the same kind and target may go, in the same commit, so that proxies never are without.
   * Default: it may not.
   */
  readonly mayReplace?: (former: StoredResource) => boolean
}

/**
 * Makes a resource that is not there yet. A virtual service gets its loopback VIP here.
 * @throws MeshError `invalid` with every problem of name, spec and references; `not-found` when the mesh, router or
 * gateway around it, or something that the spec names, is missing; `conflict` when it exists already or the client token
 * belongs to another request; `limit-exceeded` past a quota, `too-many-tags`.
 */
export function createResource(deps: WriteDeps): (input: CreateInput) => Promise<StoredResource> {
  return async ({ ref, spec, tags, actor, mayReplace = () => false, ...input }) => {
    checkResource(ref, spec)
    refuseBadTags(tags)
    const token = clientToken(input.clientToken, { operation: 'create', ref, spec, tags })
    return writeMesh(deps, { mesh: ref.mesh, actor, clientToken: token }, async (before, atMs) => {
      const gone = formerOf(before, ref, spec).filter(mayReplace).map(removal)
      const state = gone.length === 0 ? before : { ...before, graph: changeGraph(before.graph, gone) }
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      if (findResource(before, ref)) {
        throw new MeshError('conflict', `${describe(ref)} exists already; update it instead`)
      }
      refuseBeyondBackends(deps.quotas, { ref, spec })
      await refuseBeyondQuota(deps, state, ref)
      const times = { createdAtMs: atMs, updatedAtMs: atMs }
      const plain: StoredResource = { ref, spec, tags, uid: deps.newUid(), version: 1, ...times }
      const { resource, also } = await withVip(deps.store, state, plain)
      refuseUnlessSound(state, resource)
      return { changes: [...gone, { kind: 'put', resource }, ...also], result: resource }
    })
  }
}

/** The policy, if this is one, that has its kind and target now. */
function formerOf({ graph }: MeshState, { kind }: ResourceRef, spec: unknown): readonly StoredResource[] {
  const former = kind === 'policy' ? graph.policies.get(policyKey(spec as Policy)) : undefined
  return former === undefined ? [] : [former]
}

function removal({ ref }: StoredResource): Change {
  return { kind: 'remove', ref }
}

/**
 * The mesh's own `vip` is the high-water mark: the last VIP given in it. It moves in the same commit as the virtual
 * service that takes the next one, so neither a deletion nor a race gives one away twice.
 */
async function withVip(
  store: ResourceStore,
  state: MeshState,
  resource: StoredResource,
): Promise<{ resource: StoredResource; also: readonly Change[] }> {
  const { ref } = resource
  if (ref.kind === 'mesh') return { resource: await inheritMark(store, state, resource), also: [] }
  if (ref.kind !== 'virtual-service') return { resource, also: [] }
  const mesh = findResource(state, { kind: 'mesh', mesh: ref.mesh, name: ref.mesh })!
  const vip = nextVip(mesh.vip)
  return { resource: { ...resource, vip }, also: [{ kind: 'put', resource: { ...mesh, vip } }] }
}

/** A mesh made again under an old name goes on where the old one stopped: its VIPs may still be cached somewhere. */
async function inheritMark(store: ResourceStore, state: MeshState, mesh: StoredResource): Promise<StoredResource> {
  if (state.generation === 0) return mesh
  // The last commit of a mesh that is gone is its removal.
  const [removal] = (await store.history({ mesh: mesh.ref.mesh, limit: 1 })).items
  const vip = removal?.before?.vip
  return vip === undefined ? mesh : { ...mesh, vip }
}

import { changeGraph, policyKey } from '../compiler/graph.ts'
import type { Policy } from '../model/policy.ts'
import type { Change, StoredResource } from '../ports.ts'
import { checkResource, refuseUnlessSound } from './check-resource.ts'
import { clientToken } from './client-token.ts'
import type { CreateInput } from './create-resource.ts'
import { type WriteDeps, writeMesh } from './write.ts'

export interface RenamePolicyInput extends CreateInput {
  /** Whether the policy that has this kind and target now may go. */
  readonly mayGo: (former: StoredResource) => boolean
}

/**
 * Makes a policy in place of the one of the same kind and target, which goes in the same commit: proxies never are without.
 * @throws MeshError `invalid` with every problem, the former one that may not go among them; `not-found` when the mesh or the
 * target is missing; `conflict` when the client token belongs to another request.
 */
export function renamePolicy(deps: WriteDeps): (input: RenamePolicyInput) => Promise<StoredResource> {
  return async ({ ref, spec, tags, actor, mayGo, ...input }) => {
    checkResource(ref, spec)
    const token = clientToken(input.clientToken, { operation: 'create', ref, spec, tags })
    return writeMesh(deps, { mesh: ref.mesh, actor, clientToken: token }, (state, atMs) => {
      const former = state.graph.policies.get(policyKey(spec as Policy))
      const gone: Change[] = former !== undefined && mayGo(former) ? [{ kind: 'remove', ref: former.ref }] : []
      const times = { createdAtMs: atMs, updatedAtMs: atMs }
      const resource: StoredResource = { ref, spec, tags, uid: deps.newUid(), version: 1, ...times }
      refuseUnlessSound({ ...state, graph: changeGraph(state.graph, gone) }, resource)
      return { changes: [...gone, { kind: 'put', resource }], result: resource }
    })
  }
}

import { isDeepStrictEqual } from 'node:util'
import type { StoredResource } from '../ports.ts'
import { checkResource, refuseUnlessSound } from './check-resource.ts'
import { containersOf, missing } from './describe-resource.ts'
import { refuseBeyondQuota } from './quotas.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface PutPolicyInput {
  readonly mesh: string
  readonly kind: string
  readonly name: string
  /** As the user wrote it: target, mode and rules. */
  readonly policy: object
  readonly actor: string
}

/**
 * Makes a policy, or gives it new content; the same content again writes nothing.
 * @throws MeshError `invalid` with every problem; `not-found` when the mesh or the target is missing; `limit-exceeded` past
 * the quota.
 */
export function putPolicy(deps: WriteDeps): (input: PutPolicyInput) => Promise<StoredResource> {
  return async ({ mesh, kind, name, policy, actor }) => {
    const ref = { kind: 'policy', mesh, parent: kind, name } as const
    const spec = { ...policy, kind }
    checkResource(ref, spec)
    return writeMesh(deps, { mesh, actor }, async (state, atMs) => {
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      const before = findResource(state, ref)
      if (before !== undefined && isDeepStrictEqual(before.spec, spec)) return { changes: [], result: before }
      if (before === undefined) await refuseBeyondQuota(deps, state, ref)
      const resource: StoredResource =
        before === undefined
          ? { ref, spec, tags: {}, uid: deps.newUid(), version: 1, createdAtMs: atMs, updatedAtMs: atMs }
          : { ...before, spec, version: before.version + 1, updatedAtMs: atMs }
      refuseUnlessSound(state, resource)
      return { changes: [{ kind: 'put', resource }], result: resource }
    })
  }
}

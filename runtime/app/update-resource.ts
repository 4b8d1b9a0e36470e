import type { ResourceRef } from '../model/reference.ts'
import type { StoredResource } from '../ports.ts'
import { checkResource, refuseUnlessSound } from './check-resource.ts'
import { clientToken } from './client-token.ts'
import { containersOf, missing } from './describe-resource.ts'
import { refuseBeyondBackends } from './quotas.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface UpdateInput {
  readonly ref: ResourceRef
  /** As the user wrote it; takes the place of the whole spec. */
  readonly spec: unknown
  readonly actor: string
  /** The same request under the same token is done once. */
  readonly clientToken?: string | undefined
}

/**
 * Gives a resource a new spec; identity, tags, creation time and VIP stay.
 * @throws MeshError `invalid` with every problem of spec and references; `not-found` when it, or something that the
 * spec names, does not exist; `conflict` when the client token belongs to another request; `limit-exceeded` past a quota.
 */
export function updateResource(deps: WriteDeps): (input: UpdateInput) => Promise<StoredResource> {
  return async ({ ref, spec, actor, ...input }) => {
    checkResource(ref, spec)
    const token = clientToken(input.clientToken, { operation: 'update', ref, spec })
    return writeMesh(deps, { mesh: ref.mesh, actor, clientToken: token }, (state, atMs) => {
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      const before = findResource(state, ref)
      if (before === undefined) throw missing(ref)
      const resource = { ...before, spec, version: before.version + 1, updatedAtMs: atMs }
      refuseBeyondBackends(deps.quotas, resource)
      refuseUnlessSound(state, resource)
      return { changes: [{ kind: 'put', resource }], result: resource }
    })
  }
}

import type { ResourceRef } from '../model/reference.ts'
import type { StoredResource } from '../ports.ts'
import { containersOf, missing } from './describe-resource.ts'
import { refuseInUse } from './refuse-in-use.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface DeleteInput {
  readonly ref: ResourceRef
  readonly actor: string
  /** Named in App Mesh's message of a mesh in use. */
  readonly accountId: string
}

/**
 * Takes a resource away and returns it as it was.
 * @throws MeshError `not-found` when it does not exist; `in-use`, naming the users, when others refer to it.
 */
export function deleteResource(deps: WriteDeps): (input: DeleteInput) => Promise<StoredResource> {
  return async ({ ref, actor, accountId }) =>
    writeMesh(deps, { mesh: ref.mesh, actor }, (state) => {
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      const before = findResource(state, ref)
      if (before === undefined) throw missing(ref)
      refuseInUse(state, ref, accountId)
      return { changes: [{ kind: 'remove', ref }], result: before }
    })
}

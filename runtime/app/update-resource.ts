import type { ResourceRef } from '../model/reference.ts'
import type { StoredResource } from '../ports.ts'
import { checkResource, refuseUnlessSound } from './check-resource.ts'
import { containersOf, missing } from './describe-resource.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface UpdateInput {
  readonly ref: ResourceRef
  /** As the user wrote it; takes the place of the whole spec. */
  readonly spec: unknown
  readonly actor: string
}

/**
 * Gives a resource a new spec; identity, tags, creation time and VIP stay.
 * @throws MeshError `invalid` with every problem of spec and references; `not-found` when it does not exist.
 */
export function updateResource(deps: WriteDeps): (input: UpdateInput) => Promise<StoredResource> {
  return async ({ ref, spec, actor }) => {
    checkResource(ref, spec)
    return writeMesh(deps, { mesh: ref.mesh, actor }, (state, atMs) => {
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      const before = findResource(state, ref)
      if (before === undefined) throw missing(ref)
      const resource = { ...before, spec, version: before.version + 1, updatedAtMs: atMs }
      refuseUnlessSound(state, resource)
      return { changes: [{ kind: 'put', resource }], result: resource }
    })
  }
}

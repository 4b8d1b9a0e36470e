import { MeshError } from '../model/problem.ts'
import type { ResourceRef } from '../model/reference.ts'
import type { StoredResource } from '../ports.ts'
import { removalProblems } from './check-resource.ts'
import { containersOf, missing } from './describe-resource.ts'
import { findResource, type WriteDeps, writeMesh } from './write.ts'

export interface DeleteInput {
  readonly ref: ResourceRef
  readonly actor: string
}

/**
 * Takes a resource away and returns it as it was.
 * @throws MeshError `not-found` when it does not exist; `in-use`, naming the users, when others refer to it.
 */
export function deleteResource(deps: WriteDeps): (input: DeleteInput) => Promise<StoredResource> {
  return async ({ ref, actor }) =>
    writeMesh(deps, { mesh: ref.mesh, actor }, (state) => {
      for (const container of containersOf(ref)) if (!findResource(state, container)) throw missing(container)
      const before = findResource(state, ref)
      if (before === undefined) throw missing(ref)
      const problems = removalProblems(state, ref)
      if (problems.length > 0) {
        throw new MeshError('in-use', `${ref.kind} '${ref.name}' is in use; remove what refers to it first`, {
          problems,
        })
      }
      return { changes: [{ kind: 'remove', ref }], result: before }
    })
}

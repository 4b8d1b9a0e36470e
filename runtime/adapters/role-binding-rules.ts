import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { RoleBinding } from '../ports.ts'

/** What every adapter of RoleBindings says of a role that stands for somebody else. */
export function boundElsewhere({ accountId, roleName, subject }: RoleBinding, holder: Subject): MeshError {
  return new MeshError(
    'conflict',
    `role ${roleName} of account ${accountId} stands for ${named(holder)} already, so it can't stand for ${named(subject)}; give each its own task role, or take the other binding away first`,
  )
}

function named({ kind, mesh, name }: Subject): string {
  return `${kind} '${name}' of mesh '${mesh}'`
}

export function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && a.mesh === b.mesh && a.name === b.name
}

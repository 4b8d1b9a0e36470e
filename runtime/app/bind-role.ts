import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { ResourceStore, RoleBinding, RoleBindings } from '../ports.ts'
import { requireSubject } from './describe-resource.ts'

export interface BindRoleInput {
  readonly subject: Subject
  /** Such as `arn:aws:iam::111122223333:role/tasks/orders-task`. */
  readonly roleArn: string
  /** See RoleBinding. */
  readonly owner?: string
}

/**
 * Lets a task role stand for a virtual node or gateway. Idempotent.
 * @throws MeshError `invalid` for what is no ARN of a role, `not-found` when there is no such node or gateway, `conflict`
 * when the role stands for another one.
 */
export function bindRole(deps: {
  readonly store: ResourceStore
  readonly bindings: RoleBindings
}): (input: BindRoleInput) => Promise<RoleBinding> {
  return async (input) => {
    const binding = bindingOf(input)
    await requireSubject(deps.store, input.subject)
    await deps.bindings.bind(binding)
    return binding
  }
}

/**
 * Takes a binding away; one that is not there, or another's, stays as it is.
 * @throws MeshError `invalid` for what is no ARN of a role.
 */
export function unbindRole(deps: { readonly bindings: RoleBindings }): (input: BindRoleInput) => Promise<void> {
  return async (input) => deps.bindings.unbind(bindingOf(input))
}

/** IAM User Guide, IAM identifiers: a path may stand before the name. Sessions show the name alone. */
const ROLE_ARN = /^arn:aws[\w-]*:iam::(\d{12}):role\/(?:[\x21-\x7e]{0,510}\/)?([\w+=,.@-]{1,64})$/

function bindingOf({ subject, roleArn, owner }: BindRoleInput): RoleBinding {
  const [, accountId, roleName] = ROLE_ARN.exec(roleArn) ?? []
  if (accountId === undefined || roleName === undefined) {
    throw new MeshError(
      'invalid',
      'the role is no ARN of an IAM role; give one such as arn:aws:iam::111122223333:role/orders-task',
    )
  }
  return { accountId, roleName, subject, ...(owner === undefined ? {} : { owner }) }
}

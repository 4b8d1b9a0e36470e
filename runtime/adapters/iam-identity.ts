import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { CallerIdentity, Clock, Credentials, IamCaller, RoleBindings } from '../ports.ts'

/**
 * How long an answer of the bindings is used again. A proxy syncs every 30 s, and a read of the table each time would
 * cost half of what everything else does; a binding that was taken away counts for so long still.
 */
const REMEMBER_MS = 60_000
const MAX_REMEMBERED = 10_000

/** `arn:aws:sts::111122223333:assumed-role/orders-task/3f6d`: a session of a role, without the role's path. */
const ASSUMED_ROLE =
  /^arn:aws(?:-cn|-us-gov|-eusc|-iso(?:-[a-z])?)?:sts::(\d{12}):assumed-role\/([\w+=,.@-]{1,64})\/([\w+=,.@-]{1,128})$/

/** Callers whose SigV4 signature AWS has verified: their role decides who they are, by the bindings. */
export class IamIdentity implements CallerIdentity {
  readonly #bindings: Pick<RoleBindings, 'subjectOf'>
  readonly #clock: Clock
  readonly #remembered = new Map<string, { readonly subject: Subject; readonly untilMs: number }>()

  constructor(bindings: Pick<RoleBindings, 'subjectOf'>, clock: Clock) {
    this.#bindings = bindings
    this.#clock = clock
  }

  /** @throws MeshError `unauthenticated` when the caller is no session of a role, `forbidden` when its role stands for nobody. */
  async identify({ iam }: Credentials): Promise<Subject> {
    if (iam === undefined) {
      throw new MeshError(
        'unauthenticated',
        'Sign the call with the task role (SigV4): this endpoint takes no other proof.',
      )
    }
    const role = roleOf(iam)
    const key = `${role.accountId}/${role.roleName}`
    const now = this.#clock.now()
    const known = this.#remembered.get(key)
    if (known !== undefined && now < known.untilMs) return known.subject
    this.#remembered.delete(key)
    const subject = await this.#bindings.subjectOf(role.accountId, role.roleName)
    if (subject === undefined) {
      throw new MeshError(
        'forbidden',
        `The role ${role.roleName} of account ${role.accountId} is bound to no virtual node or gateway of any mesh. MeshService and MeshGateway bind the task role at deployment; is this task's role the one of its task definition, and is that stack deployed?`,
      )
    }
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear()
    this.#remembered.set(key, { subject, untilMs: now + REMEMBER_MS })
    return subject
  }
}

/** The role behind a session. Users, roots and federated users stand for people, never for a task. */
function roleOf({ accountId, arn }: IamCaller): { readonly accountId: string; readonly roleName: string } {
  const [, account, roleName] = ASSUMED_ROLE.exec(arn) ?? []
  if (account === undefined || roleName === undefined) {
    const shown = /^[\w:/+=,.@-]{1,300}$/.test(arn) ? arn : 'something that is no ARN'
    throw new MeshError(
      'unauthenticated',
      `The caller is ${shown}, and a proxy must call with its task role (arn:aws:sts::<account>:assumed-role/<role>/<session>). Give the task definition a task role, and no access keys of a user.`,
    )
  }
  if (account !== accountId) {
    throw new MeshError(
      'unauthenticated',
      `The caller's ARN is of account ${account}, but the call came from ${accountId}.`,
    )
  }
  return { accountId, roleName }
}

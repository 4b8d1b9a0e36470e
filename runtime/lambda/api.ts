import { managementApp } from '../http/app.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { CallerIdentity, IamCaller } from '../ports.ts'
import { readEnv } from './env.ts'
import { callerOf, httpHandler, report } from './http-handler.ts'
import { managementCases } from './management-cases.ts'
import { wire } from './wire.ts'

const wiring = wire(readEnv(process.env))
const { callers, store, bindings } = wiring
const cases = managementCases(wiring)

/** The management API, behind a Function URL or a REST API with IAM authorization. */
export const handler = httpHandler((owner) => {
  const guard = { callerOf, subjectOf: (caller: IamCaller) => subjectOf(callers, caller) }
  return managementApp({ useCases: cases, owner, guard, roles: { store, bindings }, report })
})

/** The node or gateway that a caller's role stands for; people and pipelines stand for none. */
async function subjectOf(callers: CallerIdentity, iam: IamCaller): Promise<Subject | undefined> {
  try {
    return await callers.identify({ iam })
  } catch (error) {
    if (error instanceof MeshError && (error.code === 'forbidden' || error.code === 'unauthenticated')) return undefined
    throw error
  }
}

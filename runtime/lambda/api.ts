import { managementApp } from '../http/app.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { CallerIdentity, IamCaller, Issuer } from '../ports.ts'
import { readEnv } from './env.ts'
import { httpCases } from './http-cases.ts'
import { callerOf, httpHandler, report } from './http-handler.ts'
import { wire } from './wire.ts'

/** Certificates are the business of the proxies' API: this function has no right to the CA. */
const noCa = async () => {
  throw new MeshError('unavailable', 'the management API has no CA')
}
const issuer: Issuer = { trust: noCa, issue: noCa }

const wiring = wire(readEnv(process.env))
const { callers } = wiring
const cases = httpCases(wiring, issuer)

/** The management API, behind a Function URL or a REST API with IAM authorization. */
export const handler = httpHandler((owner) => {
  const guard = { callerOf, subjectOf: (caller: IamCaller) => subjectOf(callers, caller) }
  return managementApp({ useCases: cases, owner, guard, report })
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

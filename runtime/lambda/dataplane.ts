import { dataPlaneApp } from '../http/dataplane-app.ts'
import { readEnv } from './env.ts'
import { httpCases } from './http-cases.ts'
import { callerOf, httpHandler, report } from './http-handler.ts'
import { openIssuer } from './open-issuer.ts'
import { wire } from './wire.ts'

const wiring = wire(readEnv(process.env))
const { callers, clock } = wiring
const cases = httpCases(wiring, openIssuer(wiring))

/** The proxies' API, behind a Function URL or a REST API with IAM authorization: task roles may call this and no other. */
export const handler = httpHandler(() => {
  const credentials = (c: Parameters<typeof callerOf>[0]) => {
    const iam = callerOf(c)
    return iam === undefined ? {} : { iam }
  }
  return dataPlaneApp({ useCases: cases, callers, clock, credentials, report })
})

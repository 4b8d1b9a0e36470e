import { dataPlaneApp } from '../http/app.ts'
import { readEnv } from './env.ts'
import { callerOf, httpHandler, report } from './http-handler.ts'
import { wire } from './wire.ts'

const { cases, callers, clock } = wire(readEnv(process.env))

/** The proxies' API, behind a Function URL or a REST API with IAM authorization: task roles may call this and no other. */
export const handler = httpHandler(() => {
  const credentials = (c: Parameters<typeof callerOf>[0]) => {
    const iam = callerOf(c)
    return iam === undefined ? {} : { iam }
  }
  return dataPlaneApp({ useCases: cases, callers, clock, credentials, report })
})

import type { Context } from 'hono'
import { Changes } from '../app/changes.ts'
import { issueCertificate } from '../app/issue-certificate.ts'
import { MeshStates } from '../app/mesh-states.ts'
import { polledEvery } from '../app/pace.ts'
import { SnapshotCache } from '../app/snapshot-cache.ts'
import { sync } from '../app/sync.ts'
import { dataPlaneApp } from '../http/dataplane-app.ts'
import type { Credentials } from '../ports.ts'
import { readEnv } from './env.ts'
import { callerOf, httpHandler, report } from './http-handler.ts'
import { openDirectory } from './open-directory.ts'
import { openIssuer } from './open-issuer.ts'
import { wire } from './wire.ts'

const wiring = wire(readEnv(process.env))
const { env, store, callers, clock } = wiring
const issuer = openIssuer(wiring)
const states = new MeshStates(store)

/** These two alone: each kilobyte is read at every start. */
const useCases = {
  sync: sync({
    states,
    snapshots: new SnapshotCache(states, env.trustDomain),
    directory: openDirectory(wiring),
    issuer,
    changes: new Changes(),
    pace: polledEvery(env.syncIntervalMs),
    stopping: new AbortController().signal,
  }),
  issueCertificate: issueCertificate({ issuer, store, trustDomain: env.trustDomain }),
}

/** The proxies' API, behind a Function URL or a REST API with IAM authorization: task roles may call this and no other. */
export const handler = httpHandler(() => {
  const credentials = (c: Context): Credentials => {
    const iam = callerOf(c)
    return iam === undefined ? {} : { iam }
  }
  return dataPlaneApp({ useCases, callers, clock, credentials, report })
})

import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from 'hono'
import { IamIdentity } from '../../runtime/adapters/iam-identity.ts'
import { openLocalCa } from '../../runtime/adapters/local-ca.ts'
import { MemoryStore } from '../../runtime/adapters/memory-store.ts'
import { Registry } from '../../runtime/adapters/registry.ts'
import { openSqliteRoleBindings } from '../../runtime/adapters/sqlite-role-bindings.ts'
import { Changes } from '../../runtime/app/changes.ts'
import { polledEvery } from '../../runtime/app/pace.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { useCases } from '../../runtime/app/use-cases.ts'
import { managementApp } from '../../runtime/http/app.ts'
import { dataPlaneApp } from '../../runtime/http/dataplane-app.ts'
import { startControlPlane } from '../../runtime/server.ts'
import { createTestCa } from '../support/certificates.ts'
import { type Session, startSignedFront } from '../support/signed-front.ts'
import { credentialsOf } from '../support/task-metadata.ts'

/** Where tasks sync, and where the test changes their mesh. */
export interface Plane extends AsyncDisposable {
  readonly dataPlaneUrl: string
  /** Of the management API. */
  request(path: string, init?: RequestInit): Promise<Response>
  /** Variables by which the sidecar of a task proves whose it is. */
  proof(subject: {
    mesh: string
    node: string
    task: string
    account: string
    role: string
  }): Promise<NodeJS.ProcessEnv>
  /** What was wrong with calls that were refused. */
  readonly faults: readonly string[]
}

/** Self-hosted: proxies join by token, and changes are told at once. */
export async function selfHosted(address: string): Promise<Plane> {
  const plane = await startControlPlane({ memory: true, apiPort: 0, dataPlaneAddress: address, dataPlanePort: 0 })
  return {
    dataPlaneUrl: plane.dataPlaneUrl,
    request: (path, init) => fetch(`${plane.apiUrl}${path}`, init),
    proof: async ({ mesh, node }) => ({
      WEFT_TOKEN: plane.mintJoinToken({ kind: 'virtual-node', mesh, name: node }),
    }),
    faults: [],
    [Symbol.asyncDispose]: () => plane.close(),
  }
}

/** Of a Function URL, which tells a sidecar what to sign for. */
export const FUNCTION_URL = 'k3wq7.lambda-url.eu-west-1.on.aws'

/** As on Lambda: behind IAM, which checks a signature with each call; every call is answered at once. */
export async function behindIam(address: string, directory: string): Promise<Plane> {
  const clock = { now: () => Date.now() }
  const bindings = openSqliteRoleBindings(':memory:')
  const trustDomain = 'weft.internal'
  const cases = useCases({
    store: new MemoryStore(),
    directory: new Registry(clock),
    issuer: await openLocalCa({ directory: join(directory, 'ca'), trustDomain, clock }),
    mint: () => {
      throw new Error('on AWS there are no join tokens')
    },
    changes: new Changes(),
    clock,
    newUid: randomUUID,
    trustDomain,
    quotas: quotasOf({}),
    pace: polledEvery(1000),
    stopping: new AbortController().signal,
  })
  const publicCa = await createTestCa('public')
  const trusted = join(directory, 'public-ca.pem')
  writeFileSync(trusted, publicCa.certificatePem)
  const sessions: Session[] = []
  const front = await startSignedFront(publicCa, sessions, { name: FUNCTION_URL, address })
  const report = (error: unknown) => void process.stderr.write(`${error}\n`)
  const credentials = (c: Context) => ({ iam: c.env.iam })
  front.serve(dataPlaneApp({ useCases: cases, callers: new IamIdentity(bindings, clock), clock, credentials, report }))
  const owner = { accountId: '111122223333', region: 'eu-west-1' }
  const management = managementApp({ useCases: cases, owner, guard: { loopback: false }, report })
  return {
    dataPlaneUrl: front.url,
    request: async (path, init) => management.request(`http://127.0.0.1${path}`, init),
    async proof({ mesh, node, task, account, role }) {
      await bindings.bind({ accountId: account, roleName: role, subject: { kind: 'virtual-node', mesh, name: node } })
      const arn = `arn:aws:sts::${account}:assumed-role/${role}/${task}`
      sessions.push({ ...credentialsOf(task), caller: { accountId: account, arn } })
      // What the front's certificate is signed by stands for the public CAs.
      return { NODE_EXTRA_CA_CERTS: trusted }
    },
    faults: front.faults,
    [Symbol.asyncDispose]: async () => front.close(),
  }
}

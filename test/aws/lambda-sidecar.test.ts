import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readEnvironment } from '../../proxy-image/src/env.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { RunningProxy } from '../../proxy-image/src/proxy.ts'
import { readEnv } from '../../runtime/lambda/env.ts'
import { managementCases } from '../../runtime/lambda/management-cases.ts'
import { type Wiring, wire } from '../../runtime/lambda/wire.ts'
import { createTestCa } from '../support/certificates.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { lambdaEnvironment } from '../support/lambda-environment.ts'
import { ACCOUNT, functionUrlEvent, lambdaContext } from '../support/lambda-events.ts'
import { startLinkLocal } from '../support/link-local.ts'
import { startMoto } from '../support/moto.ts'
import { REGION, type Session, startSignedFront } from '../support/signed-front.ts'

const database = await startDynamoDb()
const moto = await startMoto('kms')
const missing = 'missing' in database ? database.missing : 'missing' in moto ? moto.missing : undefined
const title = missing === undefined ? 'on emulators' : `where there are emulators: ${missing}`

const session: Session = {
  accessKeyId: 'ASIAORDERS0000000001',
  secretAccessKey: 'secret',
  sessionToken: 'session',
  caller: { accountId: ACCOUNT, arn: `arn:aws:sts::${ACCOUNT}:assumed-role/orders-task/0123abcd` },
}

describe.skipIf(missing !== undefined)(`a sidecar and the function for proxies, ${title}`, () => {
  const lines: string[] = []
  const cleanup = new AsyncDisposableStack()
  let wiring: Wiring
  let front: Awaited<ReturnType<typeof startSignedFront>>

  beforeAll(async () => {
    if ('missing' in database || 'missing' in moto) return
    cleanup.use(database)
    cleanup.use(moto)
    const key = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' } as const
    const { KeyMetadata } = await new KMSClient(moto.config).send(new CreateKeyCommand(key))
    const syncInterval = { WEFT_SYNC_INTERVAL_S: '1' }
    await lambdaEnvironment(database, {
      WEFT_CA: `kms:${KeyMetadata!.Arn}`,
      AWS_ENDPOINT_URL: moto.endpoint,
      ...syncInterval,
    })
    wiring = wire(readEnv(process.env))
    const { handler } = await import('../../runtime/lambda/dataplane.ts')
    const ca = await createTestCa('public')
    const trusted = getCACertificates('default')
    setDefaultCACertificates([...trusted, ca.certificatePem])
    cleanup.defer(() => setDefaultCACertificates(trusted))
    front = await startSignedFront(ca, [session])
    cleanup.defer(() => front.close())
    const url = new Hono().all('*', async (c) => {
      const { method, path } = c.req
      const userArn = (c.env as { iam: Session['caller'] }).iam.arn
      const { search } = new URL(c.req.url)
      const event = functionUrlEvent({
        method,
        path: path + search,
        headers: c.req.header(),
        body: await c.req.text(),
        userArn,
      })
      const { statusCode, headers, body } = await handler(event, lambdaContext())
      return new Response(body, { status: statusCode, headers: headers as Record<string, string> })
    })
    front.serve(url)
  }, 200_000)
  afterAll(() => cleanup.disposeAsync())

  it('meet: signed calls, the role’s node, a certificate under a KMS key, a snapshot from the table, and its changes', async () => {
    const cases = managementCases(wiring)
    const spec = (port: number) => ({
      listeners: [{ portMapping: { port, protocol: 'http' } }],
      serviceDiscovery: { dns: { hostname: 'orders.local' } },
    })
    const orders = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    const write = { tags: {}, actor: 'test' }
    await cases.createResource({ ref: { kind: 'mesh', mesh: 'shop', name: 'shop' }, spec: {}, ...write })
    await cases.createResource({ ref: orders, spec: spec(8080), ...write })

    const linkLocal = await startLinkLocal(session, '0123abcd')
    cleanup.defer(() => linkLocal.close())
    const app = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await once(app, 'listening')
    cleanup.defer(() => void app.close())
    const directory = await mkdtemp(join(tmpdir(), 'weft-lambda-'))
    cleanup.defer(() => rm(directory, { recursive: true, force: true }))
    const environment = readEnvironment({
      WEFT_CONTROL_PLANE_URL: front.url,
      WEFT_IDENTITY: `lambda/${REGION}`,
      WEFT_MESH: 'shop',
      WEFT_NODE: 'orders',
      WEFT_BIND_ADDRESS: '127.0.0.1',
      WEFT_VIPS: 'off',
      WEFT_SELF_REGISTER: 'on',
      WEFT_PORTS: `15000=0,15001=0,9901=0,8080=${(app.address() as AddressInfo).port}`,
      WEFT_STATE_DIR: directory,
      LISTENER_DRAIN_WAIT_TIME_S: '0',
      ...linkLocal.variables,
    })
    if (!environment.ok) throw new Error(JSON.stringify(environment.problems))
    const sidecar = new RunningProxy(environment.value, new Log('info', (line) => lines.push(line)))
    cleanup.defer(() => sidecar.stop())
    sidecar.start().catch((error) => lines.push(String(error)))

    await expect.poll(() => lines.join(''), { timeout: 10_000 }).toContain('The role orders-task of account')
    await wiring.bindings.bind({ accountId: ACCOUNT, roleName: 'orders-task', subject: orders })
    await expect.poll(() => sidecar.notReady(), { timeout: 15_000 }).toEqual([])
    expect(sidecar.identity.spiffeId).toBe('spiffe://weft.internal/shop/orders')
    await expect
      .poll(() => cases.listProxies('shop'), { timeout: 10_000 })
      .toMatchObject([{ instance: '0123abcd', address: '127.0.0.1', state: 'ready' }])
    await cases.updateResource({ ref: orders, spec: spec(9001), actor: 'test' })
    const port = () =>
      sidecar.serving.snapshot?.listeners.flatMap((listener) => (listener.kind === 'inbound' ? listener.ports : []))[0]
        ?.port
    await expect.poll(port, { timeout: 10_000 }).toBe(9001)
    expect(front.faults).toEqual([])
  }, 60_000)
})

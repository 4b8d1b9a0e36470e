import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readEnv } from '../../runtime/lambda/env.ts'
import { wire } from '../../runtime/lambda/wire.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { type FaultyDynamoDb, startFaultyDynamoDb } from '../support/faulty-dynamodb.ts'
import { startMoto } from '../support/moto.ts'
import type { CloudFormationStack } from './cloudformation.ts'
import { EmulatedMesh } from './emulated-mesh.ts'
import { meshResources, type Services, serviceResources, ZONE } from './shop-stacks.ts'

const [database, moto] = await Promise.all([startDynamoDb(), startMoto('kms', 'route53', 'servicediscovery')])
const missing = 'missing' in database ? database.missing : 'missing' in moto ? moto.missing : undefined

const DENIED = `<?xml version="1.0"?><ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User: resources is not authorized to perform: route53:ChangeResourceRecordSets</Message></Error></ErrorResponse>`

/** Route 53 before whose door somebody may take a function's right to write. */
async function guardedRoute53(endpoint: string) {
  const guard = { mayWrite: true }
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request
    const body = await buffer(request)
    if (method === 'POST' && url.includes('/rrset') && !guard.mayWrite) return response.writeHead(403).end(DENIED)
    const { host: _, connection: __, 'content-length': ___, ...passed } = headers
    const init = { method, headers: passed as Record<string, string>, ...(body.length === 0 ? {} : { body }) }
    const answer = await fetch(endpoint + url, init)
    return response.writeHead(answer.status, { 'content-type': 'text/xml' }).end(await answer.text())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(guard, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  })
}

describe.skipIf(missing !== undefined)(
  `deployments that go wrong${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    const cleanup = new AsyncDisposableStack()
    let mesh: EmulatedMesh
    let control: CloudFormationStack
    let shop: CloudFormationStack
    let table: FaultyDynamoDb
    let route53: Awaited<ReturnType<typeof guardedRoute53>>

    beforeAll(async () => {
      if ('missing' in database || 'missing' in moto) return
      cleanup.use(database)
      cleanup.use(moto)
      table = cleanup.use(await startFaultyDynamoDb(String(database.config.endpoint)))
      route53 = cleanup.use(await guardedRoute53(moto.endpoint))
      const guarded = { AWS_ENDPOINT_URL_DYNAMODB: table.endpoint, AWS_ENDPOINT_URL_ROUTE_53: route53.endpoint }
      mesh = cleanup.use(await EmulatedMesh.start(moto, database, guarded))
      control = mesh.stack('control')
      shop = mesh.stack('shop')
      expect(await control.deploy(meshResources())).toEqual({ status: 'COMPLETE' })
      expect(await shop.deploy(services(catalog))).toEqual({ status: 'COMPLETE' })
    }, 200_000)
    afterEach(() => {
      table.fate = () => 'pass'
      route53.mayWrite = true
    })
    afterAll(() => cleanup.disposeAsync())

    const services = (fill: (given: Services) => void) => serviceResources(control, fill)
    const catalog = ({ service }: Services) => void service('Catalog')

    /** All that a deployment can leave: resources with their specs and owners, roles, names. */
    async function everything() {
      const { store, bindings } = wire(readEnv(process.env))
      const { resources } = await store.load('shop')
      const zone = [...control.resources.values()].find(({ type }) => type === 'AWS::Route53::HostedZone')!
      return {
        resources: resources.map(({ ref, uid, spec, tags }) => ({ ref, uid, spec, tags })),
        roles: await bindings.list('shop'),
        names: await mesh.cloud.names(zone.ref),
      }
    }

    it('by a name that another stack has leave that one alone, and nothing of their own', async () => {
      const before = await everything()
      const rival = mesh.stack('rival')
      const { status, reason } = await rival.deploy(
        services(({ service }) => {
          service('Web').addBackend(service('Catalog'))
        }),
      )
      expect(status).toBe('ROLLBACK_COMPLETE')
      expect(reason).toMatch(
        /^Catalog\w+: .*'catalog.*of mesh 'shop' exists already, and it belongs to Catalog\w+ of stack/,
      )
      expect(await everything()).toEqual(before)
    })

    it('at the same time by the same names: one wins, the other leaves nothing', async (context) => {
      if ('isolated' in database && !database.isolated) context.skip('moto does not isolate transactions')
      const before = await everything()
      const stacks = ['left', 'right'].map((name) => mesh.stack(name))
      const twin = services(({ service }) => void service('Twin'))
      const outcomes = await Promise.all(stacks.map((stack) => stack.deploy(twin)))
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['COMPLETE', 'ROLLBACK_COMPLETE'])
      const winner = stacks[outcomes.findIndex(({ status }) => status === 'COMPLETE')]!
      const { resources } = await everything()
      const owners = new Set(
        resources
          .slice(0)
          .filter(({ ref }) => ref.name.includes('twin'))
          .map(({ tags }) => tags['weft:stack-id']),
      )
      expect(owners.size).toBe(1)
      expect(await winner.delete()).toEqual({ status: 'COMPLETE' })
      expect(await everything()).toEqual(before)
    }, 60_000)

    it('half-way, by a port that is none, go back to what was there', async () => {
      const before = await everything()
      const { status, reason } = await shop.deploy(
        services(({ service }) => {
          const web = service('Web')
          web.virtualNodeResource!.addPropertyOverride('Spec.Listeners.0.PortMapping.Port', 99_999)
          const kept = service('Catalog')
          kept.retry({ maxRetries: 4 })
          kept.allowFrom(web)
          web.addBackend(kept)
        }),
      )
      expect([status, reason]).toEqual([
        'ROLLBACK_COMPLETE',
        expect.stringMatching(/^Web\w+: .*Spec\.Listeners\[0\]\.PortMapping\.Port: .*65535/s),
      ])
      expect(await everything()).toEqual(before)
    })

    it('for want of a right to write names say so, leave nothing, and succeed when it is given', async () => {
      const before = await everything()
      route53.mayWrite = false
      const more = services((given) => {
        catalog(given)
        given.service('Late')
      })
      const { status, reason } = await shop.deploy(more)
      expect([status, reason]).toEqual([
        'ROLLBACK_COMPLETE',
        expect.stringContaining('route53:ChangeResourceRecordSets'),
      ])
      expect(await everything()).toEqual(before)
      route53.mayWrite = true
      expect(await shop.deploy(more)).toEqual({ status: 'COMPLETE' })
      expect((await everything()).names).toHaveProperty([`late.${ZONE}.`])
      expect(await shop.deploy(services(catalog))).toEqual({ status: 'COMPLETE' })
      expect(await everything()).toEqual(before)
    })

    it('for want of a right to write the table say so, and leave nothing', async () => {
      const before = await everything()
      table.fate = (operation) =>
        /Write|Put|Update|Delete/.test(operation) ? { error: 'AccessDeniedException' } : 'pass'
      const { status, reason } = await shop.deploy(
        services((given) => {
          catalog(given)
          given.service('Late')
        }),
      )
      const said = /^Late\w+: .*may read its table and not write it \(AccessDeniedException\)/
      expect([status, reason]).toEqual(['ROLLBACK_COMPLETE', expect.stringMatching(said)])
      expect(await everything()).toEqual(before)
    })

    it('at their end, for want of a right to write names, keep the mesh until its zone is empty', async () => {
      const { names } = await everything()
      expect(names).toHaveProperty([`catalog.${ZONE}.`])
      const zone = [...control.resources.values()].find(({ type }) => type === 'AWS::Route53::HostedZone')!
      route53.mayWrite = false
      // Of a mesh that stays, names are taken away later.
      expect(await shop.delete()).toEqual({ status: 'COMPLETE' })
      const { status, reason } = await control.delete()
      const denied = expect.stringContaining('route53:ChangeResourceRecordSets')
      expect([status, reason]).toEqual(['DELETE_FAILED', denied])
      expect(await mesh.cloud.names(zone.ref)).toEqual(names)
      route53.mayWrite = true
      expect(await control.delete()).toEqual({ status: 'COMPLETE' })
      expect(await mesh.cloud.names(zone.ref)).toEqual({})
    })
  },
)

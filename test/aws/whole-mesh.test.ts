import { once } from 'node:events'
import { connect } from 'node:tls'
import { ScanCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { ACCOUNT } from '../support/lambda-events.ts'
import { startMoto } from '../support/moto.ts'
import type { CloudFormationStack } from './cloudformation.ts'
import { EmulatedMesh, noLoopbackAddresses } from './emulated-mesh.ts'
import type { EmulatedTask } from './emulated-task.ts'
import { meshResources, type Services, serviceResources, ZONE } from './shop-stacks.ts'

const [database, moto, noAddresses] = await Promise.all([
  startDynamoDb(),
  startMoto('kms', 'route53', 'servicediscovery'),
  noLoopbackAddresses(),
])
const noStream =
  'isolated' in database && !database.isolated
    ? `${database.what}: its streams end at a transaction that fails`
    : undefined
const missing = 'missing' in database ? database.missing : 'missing' in moto ? moto.missing : (noStream ?? noAddresses)
const where =
  missing === undefined && 'what' in database && 'what' in moto ? `on ${database.what} and ${moto.what}` : missing

describe.skipIf(missing !== undefined)(
  `a mesh from its templates to the last deletion, ${where}`,
  { timeout: 60_000 },
  () => {
    const cleanup = new AsyncDisposableStack()
    let mesh: EmulatedMesh
    let control: CloudFormationStack
    let shop: CloudFormationStack
    let web: EmulatedTask
    let catalog: EmulatedTask
    let canary: EmulatedTask
    let thief: EmulatedTask

    beforeAll(async () => {
      if ('missing' in database || 'missing' in moto) return
      cleanup.use(database)
      cleanup.use(moto)
      mesh = cleanup.use(await EmulatedMesh.start(moto, database))
      control = mesh.stack('control')
      shop = mesh.stack('shop')
    }, 200_000)
    afterAll(() => cleanup.disposeAsync())

    const fill = (canaryWeight: number) => (services: Services) => {
      const [caller, called, next, stranger] = ['Web', 'Catalog', 'CatalogCanary', 'Thief'].map(services.service)
      caller!.addBackend(called!)
      stranger!.addBackend(called!)
      called!.allowFrom(caller!)
      if (canaryWeight === 0) return
      called!.split([
        { target: called!, weight: 100 - canaryWeight },
        { target: next!, weight: canaryWeight },
      ])
    }
    const resourcesWith = (canaryWeight: number) => serviceResources(control, fill(canaryWeight))
    const ref = (stack: CloudFormationStack, wanted: string) =>
      [...stack.resources.values()].find(({ type }) => type === wanted)!.ref
    const names = () => mesh.cloud.names(ref(control, 'AWS::Route53::HostedZone'))
    /** What an app gets from the catalog, `count` times. */
    const ask = async (task: EmulatedTask, count = 1) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          const { status, body } = await task.call(`catalog.${ZONE}`)
          return status === 200 ? body : `${status} ${body}`
        }),
      )

    it('is made by CloudFormation, and its names resolve', async () => {
      expect(await control.deploy(meshResources())).toEqual({ status: 'COMPLETE' })
      expect(await shop.deploy(resourcesWith(0))).toEqual({ status: 'COMPLETE' })
      const records = await names()
      expect(Object.keys(records).sort()).toEqual(
        ['catalog-canary', 'catalog', 'thief', 'web'].map((name) => `${name}.${ZONE}.`),
      )
      expect(new Set(Object.values(records)).size).toBe(4)
      for (const address of Object.values(records)) expect(address).toMatch(/^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./)
    })

    it('lets in tasks by their roles, gives them certificates, and carries a call by the name of a service', async () => {
      web = await mesh.task(shop, 'web')
      catalog = await mesh.task(shop, 'catalog')
      canary = await mesh.task(shop, 'catalog-canary')
      thief = await mesh.task(shop, 'thief')
      await Promise.all([web, catalog, canary, thief].map((task) => task.ready()))
      await expect.poll(() => ask(web), { timeout: 20_000 }).toEqual(['catalog'])
      expect(mesh.front.faults).toEqual([])
      expect(mesh.front.sockets.size).toBe(4)
      expect(catalog.log).toContain(`got a certificate spiffeId="spiffe://${ZONE}/shop/catalog"`)
    })

    it('opens the mesh port to nobody without a certificate of the mesh', async () => {
      const port = catalog.meshPort
      const socket = connect({ host: catalog.address, port, rejectUnauthorized: false })
      await once(socket, 'secureConnect')
      expect(socket.getPeerX509Certificate()!.subjectAltName).toBe(`URI:spiffe://${ZONE}/shop/catalog`)
      socket.write('GET / HTTP/1.1\r\nhost: catalog\r\n\r\n')
      await expect(once(socket, 'data')).rejects.toThrow(/certificate required/)
      await expect(fetch(`http://${catalog.address}:${port}/`)).rejects.toThrow('fetch failed')
    })

    it('keeps out whom the policy of the service does not name', async () => {
      await expect.poll(() => ask(thief), { timeout: 20_000 }).toEqual([expect.stringMatching(/^403 /)])
      expect(await ask(web)).toEqual(['catalog'])
    })

    it('tells callers of a canary at once, by the table’s stream and the push, and of its end', async () => {
      const update = async (weight: number) => {
        const failed = { requests: 0 }
        let done = false
        const load = (async () => {
          while (!done) {
            const bodies = await ask(web, 2).catch((error: Error) => [error.message])
            failed.requests += bodies.filter((body) => !body.startsWith('catalog')).length
          }
        })()
        expect(await shop.deploy(resourcesWith(weight))).toEqual({ status: 'COMPLETE' })
        await expect.poll(async () => new Set(await ask(web, 20)).size, { timeout: 20_000 }).toBe(weight === 0 ? 1 : 2)
        done = true
        await load
        expect(failed.requests).toBe(0)
      }
      await update(50)
      await update(0)
      expect(await ask(web, 5)).toEqual(Array(5).fill('catalog'))
      expect(mesh.stream.failures).toEqual([])
    })

    it('forgets a task that stops, and calls the next one', async () => {
      const next = await mesh.task(shop, 'catalog', 'the next catalog')
      await next.ready()
      await expect.poll(async () => new Set(await ask(web, 20)), { timeout: 20_000 }).toContain('the next catalog')
      await mesh.stopTask(shop, 'catalog', catalog)
      await expect
        .poll(async () => new Set(await ask(web, 20)), { timeout: 20_000 })
        .toEqual(new Set(['the next catalog']))
      catalog = next
    })

    it('is not deleted while services of another stack use it, which the reason names', async () => {
      const { status, reason } = await control.delete()
      expect(status).toBe('DELETE_FAILED')
      expect(reason).toContain(`Mesh shop for account ${ACCOUNT} has active `)
      expect(reason).toContain('catalog')
      expect(await ask(web)).toEqual(['the next catalog'])
    })

    it('leaves nothing but its history when the stacks go', async () => {
      for (const [name, task] of Object.entries({ web, catalog, 'catalog-canary': canary, thief })) {
        await mesh.stopTask(shop, name, task)
      }
      expect(await shop.delete()).toEqual({ status: 'COMPLETE' })
      const zone = ref(control, 'AWS::Route53::HostedZone')
      const TableName = ref(control, 'AWS::DynamoDB::Table')
      expect(await names()).toEqual({})
      expect(await control.delete()).toEqual({ status: 'COMPLETE' })
      expect(await mesh.cloud.names(zone)).toEqual({})
      const { Items = [] } = await mesh.cloud.dynamo.send(new ScanCommand({ TableName }))
      const kinds = Items.map(
        ({ pk, sk, ...rest }) => `${pk!.S} ${sk!.S!.replace(/#.*/, '')} ${Object.keys(rest).sort()}`,
      )
      expect([...new Set(kinds)].sort()).toEqual([
        'ca root addedAtMs,arn,certificate',
        'e#shop head version',
        // What DynamoDB takes away by itself, some day.
        'e#shop look dueAt,expires,readAt',
        'e#shop set data,expires,n',
        'heads shop generation,index',
        'm#shop blob bytes',
        'm#shop commit actor,atMs,count,generation,id,index,log',
        'm#shop receipt expires,receipt',
      ])
    })
  },
)

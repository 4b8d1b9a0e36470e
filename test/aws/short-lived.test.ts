import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { afterAll, expect, it } from 'vitest'
import { CertificateAuthority } from '../../lib/index.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { startMoto } from '../support/moto.ts'
import { startStandInPca } from '../support/stand-in-pca.ts'
import { EmulatedMesh, noLoopbackAddresses } from './emulated-mesh.ts'
import type { EmulatedTask } from './emulated-task.ts'
import { meshResources, serviceResources, ZONE } from './shop-stacks.ts'

/** Of each certificate, so that running sidecars live through several in the time that a test has. */
const LIFETIME_S = 10
const GENERATIONS = 4
/** From the start of a task to a sidecar that is ready, where ACM PCA issues. */
const READY_WITHIN_MS = 5_000
const CALLERS = 4

const cleanup = new AsyncDisposableStack()
afterAll(() => cleanup.disposeAsync())

async function certificateOf({ address, meshPort }: EmulatedTask) {
  const socket = connect({ host: address, port: meshPort, rejectUnauthorized: false })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  const certificate = socket.getPeerX509Certificate()!
  socket.destroy()
  return certificate
}

it('certificates of ACM PCA that live for seconds are renewed through the whole chain, and no request is refused', async (context) => {
  const [database, moto, noAddresses] = await Promise.all([
    startDynamoDb(),
    startMoto('route53', 'servicediscovery'),
    noLoopbackAddresses(),
  ])
  if ('missing' in database) return context.skip(database.missing)
  cleanup.use(database)
  if ('missing' in moto) return context.skip(moto.missing)
  cleanup.use(moto)
  if (noAddresses !== undefined) return context.skip(noAddresses)
  const pca = cleanup.use(await startStandInPca())
  pca.tamper = (asked) => {
    asked.Validity.Value = Math.floor(Date.now() / 1000) + LIFETIME_S
  }
  const mesh = cleanup.use(await EmulatedMesh.start(moto, database, { AWS_ENDPOINT_URL_ACM_PCA: pca.endpoint }))
  const control = mesh.stack('control')
  const acmPca = meshResources({ certificateAuthority: CertificateAuthority.acmPca() })
  expect(await control.deploy(acmPca)).toEqual({ status: 'COMPLETE' })
  const shop = mesh.stack('shop')
  const services = serviceResources(control, ({ service }) => service('Web').addBackend(service('Catalog')))
  expect(await shop.deploy(services)).toEqual({ status: 'COMPLETE' })
  const catalog = await mesh.task(shop, 'catalog')
  await catalog.ready()
  // With a control plane that is warm by now, and a CA that is asked until it has issued.
  const startedMs = performance.now()
  const web = await mesh.task(shop, 'web')
  await web.ready()
  expect(performance.now() - startedMs).toBeLessThan(READY_WITHIN_MS)
  const reply = () => web.call(`catalog.${ZONE}`).catch((error: Error) => ({ status: 0, body: error.message }))
  await expect.poll(reply, { timeout: 20_000 }).toMatchObject({ status: 200 })

  const first = await certificateOf(catalog)
  const wrong: unknown[] = []
  let [calls, done] = [0, false]
  const load = Array.from({ length: CALLERS }, async () => {
    for (; !done; calls++) {
      const answer = await reply()
      if (answer.status !== 200) wrong.push(answer)
      await delay(5)
    }
  })
  const certificates = ({ log }: EmulatedTask) => log.split('got a certificate').length - 1
  const fewest = () => Math.min(certificates(web), certificates(catalog))
  await expect.poll(fewest, { timeout: 60_000, interval: 250 }).toBeGreaterThanOrEqual(GENERATIONS)
  done = true
  await Promise.all(load)

  expect(wrong).toEqual([])
  expect(calls).toBeGreaterThan(500)
  expect(first.validToDate.getTime()).toBeLessThan(Date.now())
  const last = await certificateOf(catalog)
  expect(last.serialNumber).not.toBe(first.serialNumber)
  expect(last.subjectAltName).toBe(`URI:spiffe://${ZONE}/shop/catalog`)
  for (const { log } of [web, catalog]) expect(log).not.toContain('could not get a certificate')
  expect(pca.issued.length).toBeGreaterThanOrEqual(2 * GENERATIONS)
  expect(mesh.front.faults).toEqual([])
}, 180_000)

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { acmPcaIssuer } from '../../../runtime/lambda/acm-pca-issuer.ts'
import { kmsIssuer } from '../../../runtime/lambda/kms-issuer.ts'
import { route53Names } from '../../../runtime/lambda/route53-names.ts'
import { unbounded } from '../../support/free-pca.ts'
import { MemoryRootLog } from '../../support/memory-root-log.ts'

/** A sidecar gives up then, and the function a little later. */
const SIDECAR_WAITS_MS = 10_000

const server = createServer((socket) => socket.on('error', () => {}).resume())

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  vi.stubEnv('AWS_REGION', 'us-east-1')
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
  vi.stubEnv('AWS_ENDPOINT_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
afterAll(() => {
  vi.unstubAllEnvs()
  server.close()
})

const about = { log: new MemoryRootLog(), trustDomain: 'weft.internal', clock: Date }
const arn = (rest: string) => `arn:aws:${rest.replace(':', ':us-east-1:111122223333:')}`

describe.concurrent('an AWS that takes connections and never answers', () => {
  it.each<[string, () => Promise<unknown>]>([
    [
      'ACM PCA',
      () =>
        acmPcaIssuer({
          caArn: arn('acm-pca:certificate-authority/one'),
          ...unbounded(),
          ...about,
        }).trust(),
    ],
    ['KMS', () => kmsIssuer({ keyArn: arn('kms:key/one'), ...about }).trust()],
    [
      'Route 53',
      () =>
        route53Names({ zones: [{ zoneId: 'Z1', name: 'shop.internal', mesh: 'shop' }], report: () => {} }).publish(
          'shop',
          new Map([['orders.shop.internal', '127.64.0.1']]),
        ),
    ],
  ])('is given up while the caller still waits: %s', async (_, call) => {
    const startMs = performance.now()
    await expect(call()).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('Timeout') })
    expect(performance.now() - startMs).toBeLessThan(SIDECAR_WAITS_MS)
  })
})

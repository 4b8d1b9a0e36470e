import { afterEach, expect, it } from 'vitest'
import { createTestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { startHttp2Server } from '../support/http2-peers.ts'
import { startServing } from '../support/running-serving.ts'
import { cluster, forwardRoute, inboundPort, outbound, snapshot, table } from '../support/snapshots.ts'
import { identityOf } from '../support/tcp-pair.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

it('health of a gRPC app behind its sidecar is asked through the mesh port', async () => {
  const ca = await createTestCa('mesh')
  const [meshPort, port] = [await freePort(), await freePort()]
  const sni = 'p8080.callee.weft.internal'
  const origin = { kind: 'virtual-node', name: 'callee' } as const
  let serving = true
  const app = await startHttp2Server((stream, headers) => {
    expect(headers[':path']).toBe('/grpc.health.v1.Health/Check')
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving ? 1 : 2]))
  })
  const ports = [inboundPort({ port: app.port, cluster: 'local', sni, protocol: 'grpc' })]
  const callee = await startServing(
    snapshot({
      listeners: [{ kind: 'inbound', authorization: null, origin, port: meshPort, ports }],
      clusters: [cluster('local', { port: app.port, protocol: 'grpc', discovery: { kind: 'local' } })],
    }),
    { identity: await identityOf(ca, 'callee') },
  )
  const caller = await startServing(
    snapshot({
      listeners: [outbound(port, [{ names: ['callee.mesh'], table: 'callee' }])],
      tables: [table('callee', [forwardRoute('all', 'callee')])],
      clusters: [
        cluster('callee', {
          port: 1,
          protocol: 'grpc',
          discovery: { kind: 'endpoints', node: 'callee' },
          tls: { mesh: { sni, spiffeId: 'spiffe://weft.test/shop/callee' }, plain: { kind: 'refuse' } },
          healthCheck: {
            protocol: 'grpc',
            path: null,
            port: null,
            intervalMs: 30,
            timeoutMs: 2_000,
            healthyThreshold: 1,
            unhealthyThreshold: 1,
            origin,
          },
        }),
        cluster('egress', { port: 1, discovery: { kind: 'passthrough' } }),
      ],
    }),
    { identity: await identityOf(ca, 'caller') },
  )
  closers.push(
    () => app.close(),
    () => callee.close(),
    () => caller.close(),
  )
  const sidecar = { port: meshPort, protocols: ['h2'], version: '0' }
  const endpoints = [{ id: 'e0', address: '127.0.0.1', port: 1, sidecar, state: 'ready' as const }]
  caller.serving.updateEndpoints({ node: 'callee', revision: '1', endpoints })
  const available = () => caller.count('weft_endpoints', { cluster: 'callee', state: 'available' })
  const asked = () => callee.count('weft_grpc_requests_total', { grpc_status: '0' })
  await expect.poll(asked).toBeGreaterThan(1)
  expect(available()).toBe(1)
  serving = false
  await expect.poll(available).toBe(0)
  serving = true
  await expect.poll(available).toBe(1)
})

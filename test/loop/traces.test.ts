import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { type ReceivedSpan, startReceiver } from '../support/otlp-receiver.ts'
import { signatureFault } from '../support/sigv4-check.ts'
import { request, startMesh } from './mesh.ts'

/** Through control plane, gateway and sidecars, told by environment variables as a task definition has them. */

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

async function receiver() {
  const started = await startReceiver()
  cleanup.push(() => started.close())
  return started
}

interface Shop {
  readonly gatePort: number
  /** What the app behind the sidecar saw. */
  readonly seen: Record<string, unknown>[]
  /** Ends the proxies, who send what they still hold. */
  drain(): Promise<unknown>
}

/** A gateway, and a node whose app is busy at the first request. */
async function shop(variables: Record<string, string>): Promise<Shop> {
  const mesh = await startMesh('shop')
  cleanup.push(() => mesh[Symbol.asyncDispose]())
  const seen: Record<string, unknown>[] = []
  const app = await mesh.app((incoming, response) => {
    seen.push(incoming.headers)
    response.writeHead(seen.length === 1 ? 503 : 200).end('ok')
  })
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  await mesh.put('/virtualNodes', {
    virtualNodeName: 'orders',
    spec: { listeners, serviceDiscovery: { awsCloudMap: { namespaceName: 'shop', serviceName: 'orders' } } },
  })
  const retryPolicy = {
    httpRetryEvents: ['gateway-error'],
    maxRetries: 2,
    perRetryTimeout: { unit: 's', value: 5 },
  }
  await mesh.put('/virtualRouters', { virtualRouterName: 'orders', spec: { listeners } })
  await mesh.put('/virtualRouter/orders/routes', {
    routeName: 'all',
    spec: {
      httpRoute: {
        match: { prefix: '/' },
        action: { weightedTargets: [{ virtualNode: 'orders', weight: 1 }] },
        retryPolicy,
      },
    },
  })
  await mesh.put('/virtualServices', {
    virtualServiceName: 'orders.shop.internal',
    spec: { provider: { virtualRouter: { virtualRouterName: 'orders' } } },
  })
  await mesh.put('/virtualGateways', {
    virtualGatewayName: 'edge',
    spec: { listeners: [{ portMapping: { port: 9000, protocol: 'http' } }] },
  })
  await mesh.put('/virtualGateway/edge/gatewayRoutes', {
    gatewayRouteName: 'all',
    spec: {
      httpRoute: {
        match: { prefix: '/' },
        action: { target: { virtualService: { virtualServiceName: 'orders.shop.internal' } } },
      },
    },
  })
  const sidecar = await mesh.proxy({ node: 'orders' }, { 8080: app }, variables)
  const gate = await mesh.proxy({ gateway: 'edge' }, { 9000: await freePort() }, variables)
  const drain = () => Promise.all([gate.stop(), sidecar.stop()])
  return { gatePort: mesh.port(gate, 9000), seen, drain }
}

const kinds = (spans: readonly ReceivedSpan[]) => spans.map(({ kind }) => kind).toSorted()

describe('a request through a gateway and a sidecar', () => {
  it('is one trace: server, client, server, each the parent of the next, the retry told by who retried', async () => {
    const collector = await receiver()
    const { gatePort, seen, drain } = await shop({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER: 'parentbased_always_on',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    })
    await expect.poll(async () => (await request(gatePort)).status, { timeout: 5_000 }).toBe(200)
    await drain()
    expect(kinds(collector.spans)).toEqual(['CLIENT', 'SERVER', 'SERVER', 'SERVER'])
    const of = (service: string, kind: string) =>
      collector.spans.filter((span) => span.resource['service.name'] === service && span.kind === kind)
    const [edge] = of('shop/edge', 'SERVER')
    const [client] = of('shop/edge', 'CLIENT')
    const [first, second] = of('shop/orders', 'SERVER').toSorted((a, b) => Number(a.start - b.start))
    expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(1)
    expect(edge!.parentSpanId).toBe('')
    expect(client!.parentSpanId).toBe(edge!.spanId)
    expect([first!.parentSpanId, second!.parentSpanId]).toEqual([client!.spanId, client!.spanId])
    expect(client!.events).toEqual([
      expect.objectContaining({
        name: 'retry',
        attributes: expect.objectContaining({ 'weft.attempt': 1, 'weft.reason': '503' }),
      }),
    ])
    expect(first!.status.code).toBe('ERROR')
    expect(second).toMatchObject({
      status: { code: 'UNSET' },
      resource: { 'weft.node': 'orders', 'deployment.environment.name': 'test' },
      attributes: { 'weft.peer': 'spiffe://weft.internal/shop/gateway/edge', 'weft.route': 'orders' },
    })
    expect(client!.attributes).toMatchObject({
      'weft.route': 'orders/all',
      'weft.cluster': expect.stringContaining('orders'),
    })
    // What the app would go on with.
    expect(seen[1]).toMatchObject({
      traceparent: `00-${edge!.traceId}-${second!.spanId}-01`,
      'x-amzn-trace-id': expect.stringContaining(`Parent=${second!.spanId};Sampled=1`),
    })
  })

  it("is exported to X-Ray's own endpoint, signed with the task's credentials, in the trace that a load balancer began", async () => {
    const xray = await receiver()
    const signer = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI', sessionToken: 'session' }
    const { gatePort, seen, drain } = await shop({
      ENABLE_ENVOY_XRAY_TRACING: '1',
      XRAY_SAMPLING_RATE: '1.0',
      XRAY_DAEMON_PORT: '2000',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL_XRAY: xray.url,
      AWS_ACCESS_KEY_ID: signer.accessKeyId,
      AWS_SECRET_ACCESS_KEY: signer.secretAccessKey,
      AWS_SESSION_TOKEN: signer.sessionToken,
    })
    const root = '1-67891233-abcdef012345678912345678'
    const headers = { 'x-amzn-trace-id': `Self=1-67891234-12456789abcdef012345678;Root=${root}` }
    await expect.poll(async () => (await request(gatePort, { headers })).status, { timeout: 5_000 }).toBe(200)
    await drain()
    expect(kinds(xray.spans)).toEqual(['CLIENT', 'SERVER', 'SERVER', 'SERVER'])
    expect(new Set(xray.spans.map(({ traceId }) => traceId))).toEqual(new Set(['67891233abcdef012345678912345678']))
    expect(seen[1]!['x-amzn-trace-id']).toMatch(new RegExp(`^Root=${root};Parent=[0-9a-f]{16};Sampled=1;Self=`))
    for (const one of xray.exports) {
      expect(one.target).toBe('/v1/traces')
      expect(signatureFault(one, { ...signer, region: 'eu-west-1', service: 'xray' })).toBeUndefined()
    }
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import type { Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { MeshEgress, VirtualNode } from '../../lib/index.ts'
import { convertSpec } from '../../runtime/importers/app-mesh/shape.ts'
import { treeOf } from '../../runtime/lambda/resource-properties.ts'
import type { ResourceKind } from '../../runtime/model/reference.ts'
import { shop } from '../construct/shop.ts'
import { createTestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { type Mesh, request, startMesh } from './mesh.ts'

// The names are those of AWS's and the partner's DNS; all of it is on this host.
vi.mock('node:dns/promises', async (original) => ({
  ...(await original<typeof import('node:dns/promises')>()),
  Resolver: class {
    async resolve4() {
      return [{ address: '127.0.0.1', ttl: 60 }]
    }
  },
}))

/** Puts what a stack deploys into a mesh that runs, in an order in which everything is there that is named. */
async function deploy(stack: Stack, mesh: Mesh): Promise<void> {
  const kinds: readonly [ResourceKind, string, (properties: Record<string, string>) => string][] = [
    ['virtual-node', 'VirtualNode', () => '/virtualNodes'],
    ['virtual-service', 'VirtualService', () => '/virtualServices'],
    ['virtual-gateway', 'VirtualGateway', () => '/virtualGateways'],
    [
      'gateway-route',
      'GatewayRoute',
      ({ VirtualGatewayName }) => `/virtualGateway/${VirtualGatewayName}/gatewayRoutes`,
    ],
  ]
  for (const [kind, type, path] of kinds) {
    for (const { Properties } of Object.values(Template.fromStack(stack).findResources(`Custom::Weft${type}`))) {
      const { spec, problems } = convertSpec(kind, treeOf(Properties.Spec, 'Spec', 0), 'cloudformation')
      expect(problems).toEqual([])
      const key = `${type[0]!.toLowerCase()}${type.slice(1)}Name`
      await mesh.put(path(Properties), { [key]: Properties[`${type}Name`], spec })
    }
  }
}

/** A partner's server: says what it was asked and under which name, with a certificate for these names. */
async function outside(ca: Awaited<ReturnType<typeof createTestCa>>, name: string): Promise<number> {
  const { keyPem, chainPem } = await ca.issue([{ type: 'dns', value: name }])
  const server = https.createServer({ key: keyPem, cert: chainPem }, (incoming, response) => {
    const { servername } = incoming.socket as tls.TLSSocket & { servername?: string }
    response.end(`${incoming.method} ${incoming.url} host=${incoming.headers.host} sni=${servername}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** What a client of the gateway gets that shows no certificate. */
function knock(port: number, open: (port: number) => net.Socket): Promise<string> {
  return new Promise((resolve) => {
    const socket = open(port)
    let heard = ''
    socket.on('data', (chunk) => {
      heard += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(heard))
    socket.write('GET / HTTP/1.1\r\nHost: partner.shop.internal\r\n\r\n')
  })
}

describe('an egress gateway of the constructs, in a mesh that runs', () => {
  it('carries members to allowed hosts under their own names, and nobody and nothing else', {
    timeout: 30_000,
  }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-egress-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const trustFile = join(directory, 'partners.pem')
    const ca = await createTestCa('partners')
    writeFileSync(trustFile, ca.certificatePem)
    const partner = await outside(ca, '*.partner.example')
    const impostor = await outside(ca, 'api.partner.example')

    const { mesh: declared, stack } = shop()
    const port = await freePort()
    const egress = new MeshEgress(stack, 'Egress', { mesh: declared, port, trustFile })
    const backends = [
      egress.host('api.partner.example', { name: 'partner', port: partner }),
      egress.host('other.example', { port: impostor }),
    ]
    new VirtualNode(stack, 'Web', { mesh: declared, port: 8080, backends })
    new VirtualNode(stack, 'Careless', { mesh: declared, port: 8080 })

    await using mesh = await startMesh('shop', { trustDomain: 'shop.internal' })
    await deploy(stack, mesh)
    // One that names the host alone, without the policy that comes with it.
    await mesh.put('/virtualNodes/careless', {
      spec: {
        listeners: [{ portMapping: { port: 8080, protocol: 'http' } }],
        backends: [
          { virtualService: { virtualServiceName: 'partner.shop.internal' } },
          { virtualService: { virtualServiceName: 'rogue.shop.internal', clientPolicy: backends[0]!.clientPolicy } },
        ],
      },
    })
    await mesh.put('/virtualServices', {
      virtualServiceName: 'rogue.shop.internal',
      spec: { provider: { virtualNode: { virtualNodeName: 'egress' } } },
    })
    await mesh.proxy({ gateway: 'egress' }, { [port]: port })
    const web = mesh.port(await mesh.proxy({ node: 'web' }), 15001)
    const careless = mesh.port(await mesh.proxy({ node: 'careless' }), 15001)
    const call = (from: number, host: string) => request(from, { path: '/v1/pay?x=1', headers: { host } })

    expect(await call(web, 'partner.shop.internal')).toMatchObject({
      status: 200,
      body: 'GET /v1/pay?x=1 host=api.partner.example sni=api.partner.example',
    })
    // Its certificate is good, but for another host of the gateway.
    expect((await call(web, 'other-example.shop.internal')).status).toBe(503)
    // Nothing that was not allowed leaves, neither past the gateway nor through it.
    expect((await call(web, 'elsewhere.example')).status).toBe(403)
    expect((await call(careless, 'partner.shop.internal')).status).toBe(503)
    expect((await call(careless, 'rogue.shop.internal')).status).toBe(404)

    expect(await knock(port, (at) => net.connect(at, '127.0.0.1'))).not.toContain('host=')
    const bare = (at: number) => tls.connect({ port: at, host: '127.0.0.1', rejectUnauthorized: false })
    expect(await knock(port, bare)).toBe('')
    const stranger = await (await createTestCa('strangers')).issue([{ type: 'dns', value: 'web' }])
    const foreign = (at: number) =>
      tls.connect({
        port: at,
        host: '127.0.0.1',
        rejectUnauthorized: false,
        key: stranger.keyPem,
        cert: stranger.chainPem,
      })
    expect(await knock(port, foreign)).toBe('')
  })
})

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunningProxy } from '../../proxy-image/src/proxy.ts'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { CURL_NOT_VERIFIED, curlSite } from '../support/curl.ts'
import { startTlsApp, type TcpApp } from '../support/tcp-pair.ts'
import { type Mesh, startMesh } from './mesh.ts'

/** The three policies of server names, from the API to what curl is shown. */

const directory = mkdtempSync(join(tmpdir(), 'weft-names-'))
const fileOf = (name: string) => ({
  certificateChain: join(directory, `${name}.pem`),
  privateKey: join(directory, `${name}.key`),
})

let ca: TestCa
let mesh: Mesh
let edge: RunningProxy
const apps: TcpApp[] = []
const listener = (port: number, protocol: string) => ({ portMapping: { port, protocol } })

/** An app that ends TLS and says its own name, behind a sidecar. */
async function startTenant(node: string, names: readonly string[]): Promise<void> {
  const app = await startTlsApp(ca, names, () => `HTTP/1.1 200 OK\r\ncontent-length: ${node.length}\r\n\r\n${node}`)
  apps.push(app)
  await mesh.put('/virtualNodes', { virtualNodeName: node, spec: { listeners: [listener(5432, 'tcp')] } })
  await mesh.proxy({ node }, { 5432: app.port })
}

beforeAll(async () => {
  ca = await createTestCa('public')
  writeFileSync(join(directory, 'ca.pem'), ca.certificatePem)
  for (const name of ['www.example', 'blog.example']) {
    const { keyPem, chainPem } = await ca.issue([{ type: 'dns', value: name }])
    writeFileSync(fileOf(name).privateKey, keyPem)
    writeFileSync(fileOf(name).certificateChain, chainPem)
  }
  mesh = await startMesh('shop')
  await startTenant('acme', ['acme.db.example'])
  await startTenant('shared', ['other.db.example', 'acme.db.example'])
  await mesh.put('/virtualNodes', { virtualNodeName: 'web', spec: { listeners: [listener(8080, 'http')] } })
  await mesh.proxy({ node: 'web' }, { 8080: await mesh.app((_, response) => response.end('web')) })

  const spec = { listeners: [listener(5432, 'tcp')] }
  await mesh.put('/virtualRouters', { virtualRouterName: 'db', spec })
  for (const [routeName, virtualNode] of [
    ['a-shared', 'shared'],
    ['b-acme', 'acme'],
  ]) {
    const action = { weightedTargets: [{ virtualNode, weight: 1 }] }
    await mesh.put('/virtualRouter/db/routes', { routeName, spec: { tcpRoute: { action } } })
  }
  const service = (virtualServiceName: string, provider: object) =>
    mesh.put('/virtualServices', { virtualServiceName, spec: { provider } })
  await service('db.shop', { virtualRouter: { virtualRouterName: 'db' } })
  await service('web.shop', { virtualNode: { virtualNodeName: 'web' } })
  const tls = { mode: 'STRICT', certificate: { file: fileOf('www.example') } }
  const listeners = [{ ...listener(8443, 'http'), tls }]
  await mesh.put('/virtualGateways', { virtualGatewayName: 'edge', spec: { listeners } })
  const action = { target: { virtualService: { virtualServiceName: 'web.shop' } } }
  const httpRoute = { match: { prefix: '/' }, action }
  await mesh.put('/virtualGateway/edge/gatewayRoutes', { gatewayRouteName: 'web', spec: { httpRoute } })
  edge = await mesh.proxy({ gateway: 'edge' }, { 8443: 0 })
}, 30_000)
afterAll(async () => {
  for (const app of apps) app.close()
  await mesh?.[Symbol.asyncDispose]()
})

const curl = (host: string) => curlSite(mesh.port(edge, 8443), host, join(directory, 'ca.pem'))

async function policy(method: 'PUT' | 'DELETE', path: string, body?: object): Promise<void> {
  const response = await fetch(`${mesh.controlPlane.apiUrl}/v1/meshes/shop/policies/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  expect([path, response.status, response.ok ? '' : await response.text()]).toEqual([path, 200, ''])
}

describe('policies of server names, put through the API', () => {
  it('reach the proxies, work together, and go as they came', { timeout: 30_000 }, async () => {
    const gateway = { kind: 'virtual-gateway', name: 'edge' }
    expect([await curl('www.example'), await curl('blog.example'), await curl('acme.db.example')]).toEqual([
      'web',
      60,
      60,
    ])

    await policy('PUT', 'certificates/sites', {
      targetRef: gateway,
      spec: { certificates: [{ file: fileOf('blog.example') }] },
    })
    await expect.poll(() => curl('blog.example')).toBe('web')

    await policy('PUT', 'tls-passthrough/db', {
      targetRef: gateway,
      spec: { routes: [{ hosts: ['*.db.example'], virtualService: 'db.shop' }] },
    })
    // The first route takes all of them.
    await expect.poll(() => curl('acme.db.example')).toBe('shared')

    await policy('PUT', 'sni/acme', {
      targetRef: { kind: 'route', name: 'db/b-acme' },
      spec: { hosts: ['acme.db.example'] },
    })
    await expect.poll(() => curl('acme.db.example')).toBe('acme')
    expect([await curl('other.db.example'), await curl('www.example'), await curl('blog.example')]).toEqual([
      'shared',
      'web',
      'web',
    ])

    await policy('DELETE', 'sni/acme')
    await expect.poll(() => curl('acme.db.example')).toBe('shared')
    await policy('DELETE', 'tls-passthrough/db')
    await expect.poll(() => curl('acme.db.example')).toBe(CURL_NOT_VERIFIED)
    await policy('DELETE', 'certificates/sites')
    await expect.poll(() => curl('blog.example')).toBe(CURL_NOT_VERIFIED)
    expect(await curl('www.example')).toBe('web')
  })
})

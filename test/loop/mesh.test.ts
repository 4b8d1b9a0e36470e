import { describe, expect, it } from 'vitest'
import { request, startMesh } from './mesh.ts'

const http = (port: number) => ({ portMapping: { port, protocol: 'http' } })

describe('a mesh of two nodes and a gateway', () => {
  it('routes a request from app to app over mTLS, and from a gateway', async () => {
    await using mesh = await startMesh('shop')
    await mesh.put('/virtualNodes', {
      virtualNodeName: 'catalog',
      spec: { listeners: [http(8080)] },
    })
    await mesh.put('/virtualServices', {
      virtualServiceName: 'catalog.shop.local',
      spec: { provider: { virtualNode: { virtualNodeName: 'catalog' } } },
    })
    await mesh.put('/virtualNodes', {
      virtualNodeName: 'web',
      spec: { listeners: [http(8080)], backends: [{ virtualService: { virtualServiceName: 'catalog.shop.local' } }] },
    })
    await mesh.put('/virtualGateways', { virtualGatewayName: 'ingress', spec: { listeners: [http(8080)] } })
    await mesh.put('/virtualGateway/ingress/gatewayRoutes', {
      gatewayRouteName: 'catalog',
      spec: {
        httpRoute: {
          match: { prefix: '/catalog' },
          action: { target: { virtualService: { virtualServiceName: 'catalog.shop.local' } } },
        },
      },
    })
    const app = await mesh.app((incoming, response) => response.end(`${incoming.url} ${incoming.headers.host}`))
    await mesh.proxy({ node: 'catalog' }, { 8080: app })
    const web = await mesh.proxy({ node: 'web' })
    const gateway = await mesh.proxy({ gateway: 'ingress' }, { 8080: 0 })

    const inside = await request(mesh.port(web, 15001), { path: '/items?x=1', headers: { host: 'catalog.shop.local' } })
    expect(inside).toMatchObject({ status: 200, body: '/items?x=1 catalog.shop.local' })
    const outside = await request(mesh.port(gateway, 8080), { path: '/catalog/items' })
    expect(outside).toMatchObject({ status: 200, body: '/items catalog.shop.local' })
    const nowhere = await request(mesh.port(web, 15001), { headers: { host: 'example.com' } })
    expect(nowhere.status).toBe(403)
  })
})

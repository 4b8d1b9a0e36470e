import { describe, expect, it } from 'vitest'
import { openApi } from './api.ts'

const BASE = '/v1/meshes/shop/policies'
const CALLERS = `${BASE}/authorization/callers`
const NODE = { virtualNodeName: 'orders', spec: { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] } }
const POLICY = { targetRef: { kind: 'virtual-node', name: 'orders' }, spec: { allow: [{ virtualNode: 'web' }] } }

async function shop() {
  const api = openApi({ quotas: { policiesPerMesh: 2 } })
  await api.call('PUT', '/v20190125/meshes', { meshName: 'shop' })
  await api.call('PUT', '/v20190125/meshes/shop/virtualNodes', NODE)
  return api
}

describe('the policy API', () => {
  it('makes, reads, lists, changes and deletes a policy; the same content again writes nothing', async () => {
    const { call } = await shop()
    const made = await call('PUT', CALLERS, POLICY)
    expect(made).toMatchObject({
      status: 200,
      json: { mesh: 'shop', kind: 'authorization', name: 'callers', version: 1, ...POLICY },
    })
    expect((await call('PUT', CALLERS, POLICY)).json.version).toBe(1)
    expect((await call('GET', CALLERS)).json).toEqual(made.json)
    const changed = await call('PUT', CALLERS, { ...POLICY, mode: 'shadow' })
    expect(changed.json).toMatchObject({ version: 2, mode: 'shadow', uid: made.json.uid })
    expect((await call('GET', `${BASE}/authorization`)).json).toEqual({ policies: [changed.json] })
    expect((await call('GET', `${BASE}/retry`)).json).toEqual({ policies: [] })
    expect((await call('DELETE', CALLERS)).status).toBe(200)
    expect((await call('GET', CALLERS)).status).toBe(404)
  })

  it('is part of history and rollback', async () => {
    const { call } = await shop()
    await call('PUT', CALLERS, POLICY)
    await call('DELETE', CALLERS)
    const { entries } = (await call('GET', '/v1/meshes/shop/history')).json
    expect(entries[0]).toMatchObject({ change: 'deleted', kind: 'policy', parent: 'authorization', name: 'callers' })
    await call('POST', '/v1/meshes/shop/rollback', { generation: entries[1].generation })
    expect((await call('GET', CALLERS)).json).toMatchObject(POLICY)
  })

  it('that a rollback restores in the place of another one is in force', async () => {
    const { call } = await shop()
    const nobody = { ...POLICY, spec: { allow: [] } }
    await call('PUT', `${BASE}/authorization/nobody`, nobody)
    await call('DELETE', `${BASE}/authorization/nobody`)
    await call('PUT', `${BASE}/authorization/nobody-v2`, nobody)
    await call('POST', '/v1/meshes/shop/rollback', { generation: 3 })
    const { json } = await call('GET', '/v1/meshes/shop/snapshots/virtual-node/orders')
    const policy = { allow: [], origin: { kind: 'policy', name: 'authorization/nobody' } }
    expect(json.snapshot.listeners[0]).toMatchObject({ kind: 'inbound', authorization: policy })
  })

  it('says all that is wrong, with paths into the body', async () => {
    const { call } = await shop()
    const bad = { targetRef: { kind: 'route', name: 'x' }, mode: 'maybe', spec: { allow: [{}], deny: [] } }
    const { status, json } = await call('PUT', CALLERS, bad)
    expect(status).toBe(400)
    expect(json.problems.map(({ path }: { path: string }) => path).sort()).toEqual([
      'mode',
      'spec.allow[0]',
      'spec.deny',
      'targetRef.kind',
    ])
    expect((await call('PUT', `${BASE}/magic/x`, POLICY)).status).toBe(400)
    expect((await call('PUT', CALLERS, { ...POLICY, more: 1 })).status).toBe(400)
  })

  it('wants its target, and one policy of a kind for each', async () => {
    const { call } = await shop()
    const nobody = { ...POLICY, targetRef: { kind: 'virtual-node', name: 'nobody' } }
    expect(await call('PUT', CALLERS, nobody)).toMatchObject({
      status: 404,
      json: { detail: 'VirtualNode with name nobody is missing' },
    })
    await call('PUT', CALLERS, POLICY)
    const second = await call('PUT', `${BASE}/authorization/others`, POLICY)
    expect(second.json.problems[0]).toMatchObject({ code: 'one-policy', path: 'targetRef' })
    await call('PUT', `${BASE}/timeout/t`, { targetRef: { kind: 'mesh', name: 'shop' }, spec: {} })
    const third = await call('PUT', `${BASE}/retry/r`, {
      targetRef: { kind: 'mesh', name: 'shop' },
      spec: { maxRetries: 1 },
    })
    expect(third).toMatchObject({ status: 400, json: { detail: expect.stringContaining('policiesPerMesh') } })
  })

  it('keeps what it is attached to from being deleted', async () => {
    const { call } = await shop()
    await call('PUT', CALLERS, POLICY)
    const refused = await call('DELETE', '/v20190125/meshes/shop/virtualNodes/orders')
    expect(refused).toMatchObject({
      exception: 'ResourceInUseException',
      json: {
        message: expect.stringContaining(
          'VirtualNode with name orders cannot be deleted because it has active Policies',
        ),
      },
    })
  })

  it('shows in the effective view what a policy sets, by its name', async () => {
    const { call } = await shop()
    await call('PUT', CALLERS, POLICY)
    const { spec } = (await call('GET', '/v1/meshes/shop/effective/virtual-node/orders')).json
    expect(spec.callers.allow).toEqual({
      value: ['virtual-node/web'],
      origin: { kind: 'policy', policy: 'authorization', name: 'callers' },
    })
  })

  it('gives TCP routes server names, and nothing else, and shows them in the effective view', async () => {
    const { call } = await shop()
    const router = { virtualRouterName: 'db', spec: { listeners: [{ portMapping: { port: 5432, protocol: 'tcp' } }] } }
    await call('PUT', '/v20190125/meshes/shop/virtualRouters', router)
    const weightedTargets = [{ virtualNode: 'orders', weight: 1 }]
    const path = '/v20190125/meshes/shop/virtualRouter/db/routes'
    const http = { httpRoute: { match: { prefix: '/' }, action: { weightedTargets } } }
    const tcp = { tcpRoute: { action: { weightedTargets } } }
    await call('PUT', path, { routeName: 'web', spec: http })
    await call('PUT', path, { routeName: 'acme', spec: tcp })
    const sni = {
      targetRef: { kind: 'route', name: 'db/acme' },
      spec: { hosts: ['DB.acme.example', '*.acme.example'] },
    }
    const wrong = await call('PUT', `${BASE}/sni/web`, { ...sni, targetRef: { kind: 'route', name: 'db/web' } })
    expect(wrong).toMatchObject({ status: 400, json: { problems: [{ path: 'targetRef', code: 'not-tcp' }] } })
    expect((await call('PUT', `${BASE}/sni/acme`, sni)).status).toBe(200)
    const turned = await call('PUT', `${path}/acme`, { spec: http })
    expect(turned).toMatchObject({ status: 400, json: { message: expect.stringContaining('sni/acme') } })
    const { spec } = (await call('GET', '/v1/meshes/shop/effective/route/db/acme')).json
    expect(spec.tcpRoute.match.serverNames).toEqual({
      value: ['db.acme.example', '*.acme.example'],
      origin: { kind: 'policy', policy: 'sni', name: 'acme' },
    })
  })

  it('says of each host what is wrong with it', async () => {
    const { call } = await shop()
    const hosts = [
      'ok.example',
      '10.0.0.1',
      'a..b',
      'x.example.',
      'a.*.b',
      '*',
      'OK.example',
      `${'x'.repeat(64)}.example`,
    ]
    const { json } = await call('PUT', `${BASE}/sni/x`, { targetRef: { kind: 'route', name: 'db/x' }, spec: { hosts } })
    const found = json.problems.map(({ path, code }: { path: string; code: string }) => `${path} ${code}`)
    expect(found).toEqual([1, 2, 3, 4, 5, 7].map((index) => `spec.hosts[${index}] invalid-value`))
    const twice = { targetRef: { kind: 'route', name: 'db/x' }, spec: { hosts: ['a.example', 'A.example'] } }
    expect((await call('PUT', `${BASE}/sni/x`, twice)).json.problems).toMatchObject([
      { path: 'spec.hosts[1]', code: 'duplicate-host' },
    ])
    const many = { ...twice, spec: { hosts: Array.from({ length: 101 }, (_, index) => `h${index}.example`) } }
    expect((await call('PUT', `${BASE}/sni/x`, many)).json.problems).toMatchObject([{ path: 'spec.hosts' }])
  })

  it('passes TLS of a gateway through to virtual services that speak TCP only', async () => {
    const { call } = await shop()
    const node = (name: string, listeners: object[]) =>
      call('PUT', '/v20190125/meshes/shop/virtualNodes', { virtualNodeName: name, spec: { listeners } })
    const db = [{ portMapping: { port: 80, protocol: 'http' } }, { portMapping: { port: 5432, protocol: 'tcp' } }]
    await node('db', db)
    const service = (virtualServiceName: string, virtualNodeName: string) =>
      call('PUT', '/v20190125/meshes/shop/virtualServices', {
        virtualServiceName,
        spec: { provider: { virtualNode: { virtualNodeName } } },
      })
    await service('db.shop', 'db')
    await service('orders.shop', 'orders')
    const tls = { mode: 'STRICT', certificate: { sds: { secretName: 'weft' } } }
    const listeners = [{ portMapping: { port: 8443, protocol: 'http' }, tls }]
    const gateway = { virtualGatewayName: 'edge', spec: { listeners } }
    await call('PUT', '/v20190125/meshes/shop/virtualGateways', gateway)
    const put = (...routes: object[]) =>
      call('PUT', `${BASE}/tls-passthrough/db`, {
        targetRef: { kind: 'virtual-gateway', name: 'edge' },
        spec: { routes },
      })

    expect(await put({ hosts: ['a.example'], virtualService: 'nobody' })).toMatchObject({
      status: 404,
      json: { detail: 'VirtualService with name nobody is missing' },
    })
    const wrong = await put(
      { hosts: ['a.example'], virtualService: 'orders.shop' },
      { hosts: ['b.example'], virtualService: 'db.shop', port: 80 },
      { hosts: ['c.example'], virtualService: 'db.shop', port: 5432 },
    )
    expect(wrong).toMatchObject({
      status: 400,
      json: {
        problems: [
          { path: 'spec.routes[0].virtualService', code: 'not-tcp' },
          { path: 'spec.routes[1].port', code: 'not-tcp', message: expect.stringContaining('5432') },
        ],
      },
    })
    const twice = await put(
      { hosts: ['a.example'], virtualService: 'db.shop' },
      { hosts: ['b.example', 'A.example'], virtualService: 'db.shop' },
    )
    expect(twice.json.problems).toMatchObject([{ path: 'spec.routes[1].hosts[1]', code: 'duplicate-host' }])
    expect((await put({ hosts: ['A.example'], virtualService: 'db.shop', port: 5432 })).status).toBe(200)

    const { spec } = (await call('GET', '/v1/meshes/shop/effective/virtual-gateway/edge')).json
    const origin = { kind: 'policy', policy: 'tls-passthrough', name: 'db' }
    expect(spec.tlsPassthrough).toEqual([
      {
        hosts: { value: ['a.example'], origin },
        virtualService: { value: 'db.shop', origin },
        port: { value: 5432, origin },
      },
    ])
    const removed = await call('DELETE', '/v20190125/meshes/shop/virtualServices/db.shop')
    expect(removed).toMatchObject({ exception: 'ResourceInUseException' })
    const without = await call('PUT', '/v20190125/meshes/shop/virtualNodes/db', { spec: { listeners: db.slice(0, 1) } })
    expect(without).toMatchObject({ status: 400, json: { message: expect.stringContaining('5432') } })
  })

  it('gives a gateway more certificates, and warns where it has no TLS to show them in', async () => {
    const { call } = await shop()
    const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
    await call('PUT', '/v20190125/meshes/shop/virtualGateways', { virtualGatewayName: 'edge', spec: { listeners } })
    const targetRef = { kind: 'virtual-gateway', name: 'edge' }
    const file = { certificateChain: '/tls/chain.pem', privateKey: '/tls/key.pem' }
    const put = (...certificates: object[]) =>
      call('PUT', `${BASE}/certificates/sites`, { targetRef, spec: { certificates } })
    expect((await put()).json.problems).toMatchObject([{ path: 'spec.certificates', code: 'out-of-range' }])
    const bad = [{ file: { certificateChain: '/a' } }, { file: { ...file, privateKey: 'x'.repeat(256) } }, { sds: {} }]
    expect((await put(...bad)).json.problems.map(({ path }: { path: string }) => path).sort()).toEqual([
      'spec.certificates[0].file.privateKey',
      'spec.certificates[1].file.privateKey',
      'spec.certificates[2].file',
      'spec.certificates[2].sds',
    ])
    expect((await put(...Array(101).fill({ file }))).json.problems).toMatchObject([{ path: 'spec.certificates' }])
    expect((await put({ file })).status).toBe(200)
    const { spec, warnings } = (await call('GET', '/v1/meshes/shop/effective/virtual-gateway/edge')).json
    const origin = { kind: 'policy', policy: 'certificates', name: 'sites' }
    expect(spec.certificates).toEqual([
      {
        file: {
          certificateChain: { value: file.certificateChain, origin },
          privateKey: { value: file.privateKey, origin },
        },
      },
    ])
    expect(warnings).toMatchObject([{ code: 'not-applied', message: expect.stringContaining('certificates/sites') }])
  })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'

const node = (hostname: string) => ({
  listeners: [{ portMapping: { port: 8080, protocol: 'http' } }],
  serviceDiscovery: { dns: { hostname } },
})

/** In the order in which they can be made; `changed` is what an update writes. */
const RESOURCES = [
  { at: '/meshes', name: { meshName: 'shop' }, spec: {}, changed: { egressFilter: { type: 'ALLOW_ALL' } } },
  {
    at: '/meshes/shop/virtualNodes',
    name: { virtualNodeName: 'cart' },
    spec: node('cart.local'),
    changed: node('basket.local'),
  },
  {
    at: '/meshes/shop/virtualRouters',
    name: { virtualRouterName: 'cart' },
    spec: { listeners: [{ portMapping: { port: 80, protocol: 'http' } }] },
    changed: { listeners: [{ portMapping: { port: 81, protocol: 'http' } }] },
  },
  {
    at: '/meshes/shop/virtualRouter/cart/routes',
    name: { routeName: 'all' },
    spec: {
      httpRoute: { match: { prefix: '/' }, action: { weightedTargets: [{ virtualNode: 'cart', weight: 1 }] } },
    },
    changed: {
      priority: 7,
      httpRoute: { match: { prefix: '/' }, action: { weightedTargets: [{ virtualNode: 'cart', weight: 2 }] } },
    },
  },
  {
    at: '/meshes/shop/virtualServices',
    name: { virtualServiceName: 'cart.shop.local' },
    spec: { provider: { virtualRouter: { virtualRouterName: 'cart' } } },
    changed: { provider: { virtualNode: { virtualNodeName: 'cart' } } },
  },
  {
    at: '/meshes/shop/virtualGateways',
    name: { virtualGatewayName: 'front' },
    spec: { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] },
    changed: { listeners: [{ portMapping: { port: 8081, protocol: 'http' } }] },
  },
  {
    at: '/meshes/shop/virtualGateway/front/gatewayRoutes',
    name: { gatewayRouteName: 'cart' },
    spec: gatewayRoute('/cart'),
    changed: gatewayRoute('/basket'),
  },
] as const

function gatewayRoute(prefix: string) {
  return {
    httpRoute: {
      match: { prefix },
      action: { target: { virtualService: { virtualServiceName: 'cart.shop.local' } } },
    },
  }
}

let directory: string
let controlPlane: ControlPlane

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-test-'))
  controlPlane = await start()
})

afterEach(async () => {
  await controlPlane.close()
  await rm(directory, { recursive: true })
})

function start(options: object = {}): Promise<ControlPlane> {
  return startControlPlane({ stateDirectory: directory, apiPort: 0, dataPlanePort: 0, ...options })
}

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(`${controlPlane.apiUrl}${path}`, { method, headers, ...(text && { body: text }) })
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever comes
  const json: any = await response.json()
  return { status: response.status, headers: response.headers, json }
}

const appMesh = (method: string, path: string, body?: unknown) => call(method, `/v20190125${path}`, body)

async function createAll(): Promise<void> {
  for (const { at, name, spec } of RESOURCES) expect((await appMesh('PUT', at, { ...name, spec })).status).toBe(200)
}

describe('the App Mesh API over a socket', () => {
  it.each(RESOURCES)('creates, describes, lists, updates and deletes at $at', async ({ at, name, spec, changed }) => {
    const before = RESOURCES.slice(
      0,
      RESOURCES.findIndex((resource) => resource.at === at),
    )
    for (const other of before) await appMesh('PUT', other.at, { ...other.name, spec: other.spec })
    const [[member, value]] = Object.entries(name) as [[string, string]]
    const created = await appMesh('PUT', at, { ...name, spec, clientToken: 'token', tags: [{ key: 'a', value: 'b' }] })
    expect(created.json).toMatchObject({ meshName: 'shop', ...name, spec, status: { status: 'ACTIVE' } })
    expect(created.json.metadata).toMatchObject({
      version: 1,
      meshOwner: '000000000000',
      resourceOwner: '000000000000',
    })
    expect(created.json.metadata.createdAt).toBeCloseTo(Date.now() / 1000, -1)
    expect(created.headers.get('x-amzn-requestid')).toMatch(/^[0-9a-f-]{36}$/)

    expect((await appMesh('GET', `${at}/${value}`)).json).toEqual(created.json)

    const listed = (await appMesh('GET', at)).json
    const [list] = Object.values(listed) as [Record<string, unknown>[]]
    expect(Object.keys(listed)).toEqual([at.slice(at.lastIndexOf('/') + 1)])
    expect(list).toEqual([expect.objectContaining({ [member]: value, arn: created.json.metadata.arn, version: 1 })])

    const updated = await appMesh('PUT', `${at}/${value}`, { spec: changed })
    expect(updated.json).toMatchObject({ spec: changed, metadata: { version: 2, uid: created.json.metadata.uid } })

    const deleted = await appMesh('DELETE', `${at}/${value}`)
    expect(deleted.json).toMatchObject({ spec: changed, status: { status: 'DELETED' } })
    expect(await appMesh('GET', `${at}/${value}`)).toMatchObject({ status: 404, json: { message: expect.any(String) } })
  })

  it('names resources by the ARNs of App Mesh', async () => {
    await createAll()
    const arn = async (path: string) => (await appMesh('GET', path)).json.metadata.arn
    expect(await arn('/meshes/shop')).toBe('arn:aws:appmesh:us-east-1:000000000000:mesh/shop')
    expect(await arn('/meshes/shop/virtualRouter/cart/routes/all')).toBe(
      'arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualRouter/cart/route/all',
    )
    expect(await arn('/meshes/shop/virtualGateway/front/gatewayRoutes/cart')).toBe(
      'arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualGateway/front/gatewayRoute/cart',
    )
  })

  it('pages through a list', async () => {
    await appMesh('PUT', '/meshes', { meshName: 'shop' })
    for (const name of ['c', 'a', 'b']) {
      await appMesh('PUT', '/meshes/shop/virtualNodes', { virtualNodeName: name, spec: {} })
    }
    const first = (await appMesh('GET', '/meshes/shop/virtualNodes?limit=2')).json
    expect(first.virtualNodes.map((n: { virtualNodeName: string }) => n.virtualNodeName)).toEqual(['a', 'b'])
    const token = encodeURIComponent(first.nextToken)
    const second = (await appMesh('GET', `/meshes/shop/virtualNodes?limit=2&nextToken=${token}`)).json
    expect(second).toMatchObject({ virtualNodes: [{ virtualNodeName: 'c' }] })
    expect(second.nextToken).toBeUndefined()
    expect((await appMesh('GET', '/meshes/shop/virtualNodes?limit=0')).status).toBe(400)
    expect((await appMesh('GET', '/meshes/shop/virtualNodes?nextToken=made-up')).status).toBe(400)
  })

  it('answers an invalid resource with every problem at once and changes nothing', async () => {
    await createAll()
    const before = (await appMesh('GET', '/meshes/shop/virtualNodes/cart')).json
    const { status, headers, json } = await appMesh('PUT', '/meshes/shop/virtualNodes/cart', {
      spec: {
        listeners: [
          { portMapping: { port: 0, protocol: 'udp' }, timeout: { http: { idle: { unit: 'h', value: 1 } } } },
        ],
        unknown: true,
      },
      alsoUnknown: true,
    })
    expect(status).toBe(400)
    expect(headers.get('x-amzn-errortype')).toBe('BadRequestException')
    const paths = json.problems.map((problem: { path: string }) => problem.path)
    expect(paths).toEqual(
      expect.arrayContaining([
        'alsoUnknown',
        'spec.unknown',
        'spec.listeners[0].portMapping.port',
        'spec.listeners[0].portMapping.protocol',
        'spec.listeners[0].timeout.http.idle.unit',
      ]),
    )
    for (const path of paths) expect(json.message).toContain(path)
    expect((await appMesh('GET', '/meshes/shop/virtualNodes/cart')).json).toEqual(before)
  })

  it('tells apart what exists already, what is missing and what is in use', async () => {
    await createAll()
    const exists = await appMesh('PUT', '/meshes', { meshName: 'shop' })
    expect([exists.status, exists.headers.get('x-amzn-errortype')]).toEqual([409, 'ConflictException'])
    const missing = await appMesh('PUT', '/meshes/shop/virtualNodes/nobody', { spec: {} })
    expect([missing.status, missing.headers.get('x-amzn-errortype')]).toEqual([404, 'NotFoundException'])
    const noMesh = await appMesh('GET', '/meshes/nowhere/virtualNodes')
    expect([noMesh.status, noMesh.json.message]).toEqual([
      404,
      expect.stringContaining('Mesh with name nowhere is missing'),
    ])
    const used = await appMesh('DELETE', '/meshes/shop/virtualNodes/cart')
    expect([used.status, used.headers.get('x-amzn-errortype')]).toEqual([409, 'ResourceInUseException'])
    const foreign = await appMesh('GET', '/meshes/shop?meshOwner=111111111111')
    expect([foreign.status, foreign.json.message]).toEqual([403, expect.stringContaining('111111111111')])
  })

  it('never gives a VIP twice, not even after the mesh was deleted and made again', async () => {
    const create = async (name: string) => {
      await appMesh('PUT', '/meshes/shop/virtualServices', { virtualServiceName: name, spec: {} })
      await appMesh('PUT', '/meshes/shop/virtualNodes', {
        virtualNodeName: `to-${name}`,
        spec: { backends: [{ virtualService: { virtualServiceName: name } }] },
      })
      const { json } = await call('GET', `/v1/meshes/shop/snapshots/virtual-node/to-${name}`)
      const vip = json.snapshot.listeners.find((listener: { kind: string }) => listener.kind === 'vip')
      return vip?.address
    }
    const wipe = async (name: string) => {
      await appMesh('DELETE', `/meshes/shop/virtualNodes/to-${name}`)
      await appMesh('DELETE', `/meshes/shop/virtualServices/${name}`)
    }
    await appMesh('PUT', '/meshes', { meshName: 'shop' })
    expect(await create('a')).toBe('127.64.0.1')
    await wipe('a')
    expect(await create('a')).toBe('127.64.0.2')
    await wipe('a')
    expect((await appMesh('DELETE', '/meshes/shop')).status).toBe(200)
    await appMesh('PUT', '/meshes', { meshName: 'shop' })
    expect(await create('b')).toBe('127.64.0.3')
  })

  it('keeps every write of many at the same time', async () => {
    await appMesh('PUT', '/meshes', { meshName: 'shop' })
    const names = Array.from({ length: 20 }, (_, index) => `node-${index}`)
    const answers = await Promise.all(
      names.map((virtualNodeName) => appMesh('PUT', '/meshes/shop/virtualNodes', { virtualNodeName, spec: {} })),
    )
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200))
    expect((await appMesh('GET', '/meshes/shop/virtualNodes')).json.virtualNodes).toHaveLength(20)
  })

  it('remembers everything after a restart', async () => {
    await createAll()
    const before = (await appMesh('GET', '/meshes/shop/virtualNodes/cart')).json
    await controlPlane.close()
    controlPlane = await start()
    expect((await appMesh('GET', '/meshes/shop/virtualNodes/cart')).json).toEqual(before)
  })
})

describe('requests that are not as they should be', () => {
  it.each([
    ['no body', undefined],
    ['no JSON', '{"meshName":'],
    ['no object', '[]'],
    ['a body nested a thousand levels deep', `{"meshName":"a","spec":${'['.repeat(1000)}${']'.repeat(1000)}}`],
    ['a body over 6 MiB', JSON.stringify({ meshName: 'a'.repeat(6 * 1024 * 1024) })],
    ['a name with a slash', JSON.stringify({ meshName: 'a/b' })],
    ['a tag given twice', JSON.stringify({ meshName: 'a', tags: Array(2).fill({ key: 'k', value: 'v' }) })],
  ])('with %s are 400 with a message and without a stack trace', async (_, body) => {
    const { status, json } = await call('PUT', '/v20190125/meshes', body)
    expect([status, json.message]).toEqual([400, expect.any(String)])
    expect(JSON.stringify(json)).not.toMatch(/\.ts|node_modules/)
    expect((await appMesh('GET', '/meshes')).json.meshes).toEqual([])
  })

  it('to unknown paths are 404 and with unknown methods 405, in the dialect of the path', async () => {
    expect(await call('GET', '/v20190125/nothing')).toMatchObject({
      status: 404,
      json: { message: expect.any(String) },
    })
    const v1 = await call('GET', '/v1/nothing')
    expect([v1.status, v1.headers.get('content-type')]).toEqual([404, 'application/problem+json'])
    const patched = await call('PATCH', '/v20190125/meshes', {})
    expect([patched.status, patched.headers.get('allow')]).toEqual([405, expect.stringContaining('PUT')])
  })

  it('for tokens of nodes that do not exist are 404', async () => {
    await appMesh('PUT', '/meshes', { meshName: 'shop' })
    const body = { kind: 'virtual-node', name: 'crat' }
    expect((await call('POST', '/v1/meshes/shop/join-tokens', body)).status).toBe(404)
    expect((await call('POST', '/v1/meshes/shop/join-tokens', { ...body, kind: 'mesh' })).status).toBe(400)
  })
})

describe('the description of the API', () => {
  it('lists all 38 operations and resolves every reference inside of it', async () => {
    const { json } = await call('GET', '/openapi.json')
    expect(json.openapi).toBe('3.1.0')
    const operations = Object.entries<Record<string, { operationId: string }>>(json.paths)
      .filter(([path]) => path.startsWith('/v20190125/'))
      .flatMap(([, methods]) => Object.values(methods).map(({ operationId }) => operationId))
    expect(new Set(operations).size).toBe(38)
    const references = [...JSON.stringify(json).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
      ([, name]) => name,
    )
    expect(references.length).toBeGreaterThan(35)
    for (const name of references) expect(json.components.schemas).toHaveProperty([name!])
    expect(json.components.schemas.VirtualNodeSpec.properties.listeners.type).toBe('array')
  })
})

describe('starting', () => {
  it('names the port and the option when the port is taken, and frees what it took', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    const attempt = startControlPlane({ memory: true, apiPort: 0, dataPlanePort: port })
    await expect(attempt).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(new RegExp(`${port}.*--data-plane-port`)),
    })
    taken.close()
  })

  it('refuses a management API for everybody, unless there is a token', async () => {
    const open = startControlPlane({ memory: true, apiAddress: '0.0.0.0', apiPort: 0, dataPlanePort: 0 })
    await expect(open).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('WEFT_API_TOKEN') })
  })

  it('asks for the token once there is one', async () => {
    await controlPlane.close()
    controlPlane = await start({ apiAddress: '0.0.0.0', apiToken: 'secret' })
    const get = async (headers: Record<string, string>) =>
      (await call('GET', '/v20190125/meshes', undefined, headers)).status
    expect(await get({})).toBe(401)
    expect(await get({ authorization: 'Bearer wrong' })).toBe(401)
    expect(await get({ authorization: 'Bearer secret' })).toBe(200)
    expect((await call('GET', '/healthz')).status).toBe(200)
  })
})

import { describe, expect, it } from 'vitest'
import { OPERATIONS, TAG_OPERATIONS } from '../../../runtime/http/operations.ts'
import { CALLS, MERGED_TAGS } from '../../aws/calls.ts'
import { answerDifferences, MODEL, requestOf, shapeOf } from '../../aws/shapes.ts'
import { openApi } from './api.ts'

type Api = ReturnType<typeof openApi>

const perform = ({ call }: Api, operation: string, input: Readonly<Record<string, unknown>>) => {
  const { method, path, body } = requestOf(operation, input)
  return call(method, path, body)
}

function inShop(operation: string): Readonly<Record<string, string>> {
  const { members } = shapeOf(MODEL.operations[operation]!.input.shape)
  return members !== undefined && 'meshName' in members ? { meshName: 'shop' } : {}
}

async function withMesh(options: Parameters<typeof openApi>[0] = {}) {
  const api = openApi(options)
  const perform_ = (operation: string, input: Readonly<Record<string, unknown>> = {}) =>
    perform(api, operation, { ...inShop(operation), ...input })
  await perform_('CreateMesh')
  return { ...api, perform: perform_ }
}

describe('every operation of the model', () => {
  it('is served by its method and path', () => {
    const served = [...OPERATIONS, ...TAG_OPERATIONS].map(({ name, method, path }) => `${name} ${method} ${path}`)
    const modelled = Object.entries(MODEL.operations).map(
      ([name, { http }]) => `${name} ${http.method} ${http.requestUri}`,
    )
    expect(served.sort()).toEqual(modelled.sort())
    expect(new Set(CALLS.map(({ operation }) => operation))).toEqual(new Set(Object.keys(MODEL.operations)))
  })

  it('answers exactly the shape of the model, bare and with a request id', async () => {
    const api = openApi()
    for (const { operation, input } of CALLS) {
      const { status, headers, json } = await perform(api, operation, input)
      expect([operation, status, json]).toEqual([operation, 200, json])
      expect(answerDifferences(operation, json)).toEqual([])
      expect(headers.get('content-type')).toMatch(/^application\/json/)
      expect(headers.get('x-amzn-requestid')).toMatch(/^[0-9a-f-]{36}$/)
      if (operation.startsWith('Create') || operation.startsWith('Update')) expect(json.spec).toEqual(input.spec)
      if (operation.startsWith('Delete')) expect(json.status).toEqual({ status: 'DELETED' })
      if (operation === 'ListTagsForResource') expect(json).toEqual({ tags: MERGED_TAGS })
    }
    expect(api.reported).toEqual([])
  })
})

describe('client tokens', () => {
  const create = (spec: object, clientToken: string) => ({ virtualNodeName: 'cart', spec, clientToken })
  const listening = (port: number) => ({ listeners: [{ portMapping: { port, protocol: 'http' } }] })

  it('give a repeated creation its first answer and write once, even after later changes', async () => {
    const { perform, store } = await withMesh()
    const first = await perform('CreateVirtualNode', create(listening(80), 'a'))
    const generation = await store.generation('shop')
    const second = await perform('CreateVirtualNode', create(listening(80), 'a'))
    expect([second.status, second.json]).toEqual([200, first.json])
    expect(await store.generation('shop')).toBe(generation)
    await perform('UpdateVirtualNode', create(listening(90), 'b'))
    expect((await perform('CreateVirtualNode', create(listening(80), 'a'))).json).toEqual(first.json)
  })

  it('do not answer for a resource that is gone: the same request makes a new one, once, and another is refused', async () => {
    const { perform } = await withMesh()
    const first = (await perform('CreateVirtualNode', create(listening(80), 'a'))).json
    await perform('DeleteVirtualNode', { virtualNodeName: 'cart' })
    expect((await perform('CreateVirtualNode', create({}, 'a'))).exception).toBe('ConflictException')
    const second = (await perform('CreateVirtualNode', create(listening(80), 'a'))).json
    expect(second.metadata).toMatchObject({ version: 1, uid: expect.not.stringMatching(first.metadata.uid) })
    expect((await perform('DescribeVirtualNode', { virtualNodeName: 'cart' })).json).toEqual(second)
    expect((await perform('CreateVirtualNode', create(listening(80), 'a'))).json).toEqual(second)
    const update = await perform('UpdateVirtualNode', create(listening(90), 'b'))
    await perform('DeleteVirtualNode', { virtualNodeName: 'cart' })
    expect(update.status).toBe(200)
    expect((await perform('UpdateVirtualNode', create(listening(90), 'b'))).exception).toBe('NotFoundException')
  })

  it('count an update once, and do the same update again under another token', async () => {
    const { perform } = await withMesh()
    await perform('CreateVirtualNode', create({}, 'a'))
    const version = async (token: string) =>
      (await perform('UpdateVirtualNode', create({}, token))).json.metadata.version
    expect([await version('b'), await version('b'), await version('c')]).toEqual([2, 2, 3])
  })

  it('make one write of many that come at the same time', async () => {
    const { perform, store } = await withMesh()
    const before = await store.generation('shop')
    const same = Array.from({ length: 10 }, () => perform('CreateVirtualNode', create(listening(80), 'a')))
    const answers = await Promise.all(same)
    expect(new Set(answers.map(({ status, json }) => `${status} ${json.metadata?.uid}`)).size).toBe(1)
    expect(await store.generation('shop')).toBe(before + 1)
  })

  it('refuse another spec, name, operation or tag as conflict', async () => {
    const { perform } = await withMesh()
    await perform('CreateVirtualNode', create({}, 'a'))
    const others = [
      await perform('CreateVirtualNode', create(listening(80), 'a')),
      await perform('CreateVirtualNode', { ...create({}, 'a'), virtualNodeName: 'basket' }),
      await perform('UpdateVirtualNode', create({}, 'a')),
      await perform('CreateVirtualNode', { ...create({}, 'a'), tags: [{ key: 'k', value: 'v' }] }),
    ]
    for (const answer of others) expect([answer.status, answer.exception]).toEqual([409, 'ConflictException'])
    expect((await perform('ListVirtualNodes')).json.virtualNodes).toHaveLength(1)
  })

  it.each(['', 'a'.repeat(37), 'a b', 7])('must look like a token: %j', async (clientToken) => {
    const { perform } = await withMesh()
    const answer = await perform('CreateVirtualNode', { virtualNodeName: 'cart', spec: {}, clientToken })
    expect([answer.exception, answer.json.problems[0].path]).toEqual(['BadRequestException', 'clientToken'])
  })
})

describe('tags', () => {
  const resourceArn = 'arn:aws:appmesh:us-east-1:000000000000:mesh/shop'
  const tag = (key: string, value = '') => ({ key, value })
  const many = (count: number, from = 0) =>
    Array.from({ length: count }, (_, n) => tag(`k${String(n + from).padStart(2, '0')}`))

  it('are merged, taken away and paged by key, and leave version and time of the resource alone', async () => {
    const { perform } = await withMesh()
    const before = (await perform('DescribeMesh')).json
    expect((await perform('TagResource', { resourceArn, tags: [tag('b', '1'), tag('a')] })).json).toEqual({})
    await perform('TagResource', { resourceArn, tags: [tag('b', '2'), tag('__proto__', 'x')] })
    const first = (await perform('ListTagsForResource', { resourceArn, limit: 2 })).json
    expect(first.tags).toEqual([tag('__proto__', 'x'), tag('a')])
    const second = await perform('ListTagsForResource', { resourceArn, limit: 2, nextToken: first.nextToken })
    expect(second.json).toEqual({ tags: [tag('b', '2')] })
    await perform('UntagResource', { resourceArn, tagKeys: ['a', 'never'] })
    const left = (await perform('ListTagsForResource', { resourceArn })).json.tags
    expect(left).toEqual([tag('__proto__', 'x'), tag('b', '2')])
    expect((await perform('DescribeMesh')).json).toEqual(before)
  })

  it('are fifty at most, and a request for more changes nothing', async () => {
    const { perform } = await withMesh()
    expect((await perform('TagResource', { resourceArn, tags: many(50) })).status).toBe(200)
    const over = await perform('TagResource', { resourceArn, tags: [tag('k00', 'new'), tag('one-too-many')] })
    expect([over.status, over.exception]).toEqual([400, 'TooManyTagsException'])
    expect((await perform('ListTagsForResource', { resourceArn })).json.tags).toEqual(many(50))
    expect((await perform('TagResource', { resourceArn, tags: [tag('k00', 'new')] })).status).toBe(200)
    const created = await perform('CreateVirtualNode', { virtualNodeName: 'n', spec: {}, tags: many(51) })
    expect(created.exception).toBe('BadRequestException')
  })

  it.each([
    ['arn:aws:appmesh:us-east-1:000000000000:mesh/none', 'NotFoundException'],
    [`${resourceArn}/virtualNode/none`, 'NotFoundException'],
    [`${resourceArn}/virtualRouter/none/route/none`, 'NotFoundException'],
    ['arn:aws:appmesh:us-east-1:111111111111:mesh/shop', 'NotFoundException'],
    ['arn:aws:appmesh:eu-west-1:000000000000:mesh/shop', 'NotFoundException'],
    [`${resourceArn}/virtualNode`, 'BadRequestException'],
    [`${resourceArn}/route/none`, 'BadRequestException'],
    [`${resourceArn}/virtualNode/a/route/b`, 'BadRequestException'],
    [`${resourceArn}/virtualRouter/a/gatewayRoute/b`, 'BadRequestException'],
    ['arn:aws:s3:::bucket', 'BadRequestException'],
    ['shop', 'BadRequestException'],
    ['', 'BadRequestException'],
  ])('of %s are answered with %s', async (arn, exception) => {
    const { perform } = await withMesh()
    const input = { resourceArn: arn }
    expect((await perform('ListTagsForResource', input)).exception).toBe(exception)
    expect((await perform('TagResource', { ...input, tags: [] })).exception).toBe(exception)
    expect((await perform('UntagResource', { ...input, tagKeys: [] })).exception).toBe(exception)
  })

  it('of AWS itself are refused', async () => {
    const { perform } = await withMesh()
    const answer = await perform('TagResource', { resourceArn, tags: [tag('aws:stack')] })
    expect([answer.exception, answer.json.message]).toEqual([
      'BadRequestException',
      expect.stringContaining('aws:stack'),
    ])
  })
})

describe('pages', () => {
  it('refuse the token of another list, another mesh, and one that was changed', async () => {
    const { perform } = await withMesh()
    await perform('CreateMesh', { meshName: 'other' })
    for (const meshName of ['shop', 'other']) {
      for (const name of ['a', 'b']) {
        await perform('CreateVirtualNode', { meshName, virtualNodeName: name, spec: {} })
        await perform('CreateVirtualRouter', { meshName, virtualRouterName: name, spec: {} })
      }
    }
    const { nextToken } = (await perform('ListVirtualNodes', { limit: 1 })).json
    expect((await perform('ListVirtualNodes', { limit: 1, nextToken })).json).toMatchObject({
      virtualNodes: [{ virtualNodeName: 'b' }],
    })
    const refused = [
      await perform('ListVirtualRouters', { nextToken }),
      await perform('ListVirtualNodes', { meshName: 'other', nextToken }),
      await perform('ListVirtualNodes', { nextToken: `${nextToken}A` }),
      await perform('ListVirtualNodes', { nextToken: nextToken.slice(0, -2) }),
      await perform('ListVirtualNodes', { nextToken: '' }),
      await perform('ListVirtualNodes', { nextToken: 'x'.repeat(10_000) }),
    ]
    for (const { exception } of refused) expect(exception).toBe('BadRequestException')
  })

  it.each(['0', '101', '-1', '1.5', 'x', ''])('refuse the limit %j', async (limit) => {
    const { perform } = await withMesh()
    expect((await perform('ListVirtualNodes', { limit })).exception).toBe('BadRequestException')
  })
})

describe('errors', () => {
  it('have the names and HTTP codes of the model', async () => {
    const { HTTP_ERRORS, INTERNAL } = await import('../../../runtime/http/errors.ts')
    const table = [...Object.values(HTTP_ERRORS), INTERNAL].map(({ exception, status }) => [exception, status])
    const modelled = Object.entries(MODEL.shapes)
      .filter(([, shape]) => shape.exception)
      .map(([name, shape]) => [name, shape.error!.httpStatusCode])
    expect(modelled).toHaveLength(10)
    expect(table).toEqual(expect.arrayContaining(modelled))
    expect(shapeOf('TooManyTagsException').error?.httpStatusCode).toBe(400)
  })

  it('tell who holds a mesh of another account, and take the own one', async () => {
    const { perform } = await withMesh()
    expect((await perform('DescribeMesh', { meshOwner: '000000000000' })).status).toBe(200)
    expect((await perform('DescribeMesh', { meshOwner: '111111111111' })).exception).toBe('ForbiddenException')
    expect((await perform('DescribeMesh', { meshOwner: 'me' })).exception).toBe('BadRequestException')
  })

  it('name the member when an ARN or a bad name is given as name', async () => {
    const { perform } = await withMesh()
    const arn = 'arn:aws:appmesh:us-east-1:000000000000:mesh/shop/virtualNode/cart'
    for (const operation of ['DescribeVirtualNode', 'DeleteVirtualNode']) {
      const { exception, json } = await perform(operation, { virtualNodeName: arn })
      expect([exception, json.message]).toEqual([
        'BadRequestException',
        expect.stringMatching(/virtualNodeName is .*not an ARN/),
      ])
    }
    const long = await perform('ListRoutes', { virtualRouterName: 'r'.repeat(256) })
    expect([long.exception, long.json.problems]).toEqual([
      'BadRequestException',
      [expect.objectContaining({ path: 'virtualRouterName' })],
    ])
  })

  it('of things in use are in the words of App Mesh, with all who use it', async () => {
    const api = openApi()
    for (const { operation, input } of CALLS.filter(({ operation }) => operation.startsWith('Create'))) {
      await perform(api, operation, input)
    }
    const refusal = async (operation: string, names: object) => {
      const { exception, json } = await perform(api, operation, { meshName: 'judged', ...names })
      expect(exception).toBe('ResourceInUseException')
      return json.message.split('\n')[0]
    }
    expect([
      await refusal('DeleteMesh', {}),
      await refusal('DeleteVirtualNode', { virtualNodeName: 'cart' }),
      await refusal('DeleteVirtualRouter', { virtualRouterName: 'cart' }),
      await refusal('DeleteVirtualService', { virtualServiceName: 'cart.apps.local' }),
      await refusal('DeleteVirtualGateway', { virtualGatewayName: 'front' }),
    ]).toEqual([
      'Mesh judged for account 000000000000 has active VirtualNodes, please delete VirtualNodes before deleting the Mesh',
      'VirtualNode with name cart cannot be deleted because it is a Route target',
      'VirtualRouter with name cart cannot be deleted because it has active Routes',
      'VirtualService cart.apps.local is being referenced in the following: GATEWAY_ROUTE: [cart]',
      'VirtualGateway with name front cannot be deleted because it has active GatewayRoutes',
    ])
    await perform(api, 'DeleteRoute', { meshName: 'judged', virtualRouterName: 'cart', routeName: 'all' })
    expect(await refusal('DeleteVirtualRouter', { virtualRouterName: 'cart' })).toBe(
      'VirtualRouter with name cart cannot be deleted because it is a VirtualService provider',
    )
  })

  it.each([
    ['GET', '/v20190125/tags', undefined, 'resourceArn: resourceArn is missing; add it.'],
    ['GET', '/v1/meshes/shop/diff', undefined, 'from: from is missing; add it.'],
    ['PUT', '/v20190125/meshes', [1], 'body: body is a list; use an object.'],
    ['PUT', '/v20190125/meshes/shop', [], 'body: body is a list; use an object.'],
    ['PUT', '/v20190125/meshes/shop', 'null', 'body: body is null; use an object.'],
    [
      'PUT',
      '/v20190125/tag?resourceArn=arn:aws:appmesh:us-east-1:000000000000:mesh/shop',
      [{}],
      'body: body is a list; use an object.',
    ],
    ['POST', '/v1/meshes/shop/rollback', [1], 'body: body is a list; use an object.'],
  ])('say what is wanted where the whole of an input is wrong: %s %s %j', async (method, path, body, expected) => {
    const { call } = await withMesh()
    const { status, json } = await call(method, path, body)
    expect(status).toBe(400)
    expect(json.problems.map((one: { path: string; message: string }) => `${one.path}: ${one.message}`)).toEqual([
      expected,
    ])
  })

  it('say where a resource is missing', async () => {
    const { call } = await withMesh()
    await call('PUT', '/v20190125/meshes/shop/virtualRouters', { virtualRouterName: 'r', spec: {} })
    const messages = ['/v20190125/meshes/none', '/v20190125/meshes/shop/virtualRouter/r/routes/x'].map(
      async (path) => (await call('GET', path)).json.message,
    )
    const policy = (await call('GET', '/v1/meshes/shop/policies/retry/x')).json.detail
    expect([...(await Promise.all(messages)), policy]).toEqual([
      'Mesh with name none is missing; create it first',
      "Route with name x is missing in VirtualRouter with name r of mesh 'shop'; create it first",
      "Policy with name x is missing among the retry policies of mesh 'shop'; create it first",
    ])
  })

  it('say which resource is missing, in the words of App Mesh', async () => {
    const { perform } = await withMesh()
    await perform('CreateVirtualRouter', { virtualRouterName: 'r', spec: {} })
    const target = { weightedTargets: [{ virtualNode: 'none', weight: 1 }] }
    const route = await perform('CreateRoute', {
      virtualRouterName: 'r',
      routeName: 'all',
      spec: { tcpRoute: { action: target } },
    })
    expect([route.status, route.exception, route.json.message]).toEqual([
      404,
      'NotFoundException',
      'VirtualNode with name none is missing',
    ])
    const backend = { backends: [{ virtualService: { virtualServiceName: 'not.yet' } }] }
    expect((await perform('CreateVirtualNode', { virtualNodeName: 'n', spec: backend })).status).toBe(200)
  })
})

describe('quotas', () => {
  it('stop the creation past the limit, and make room again on deletion', async () => {
    const { perform } = await withMesh({ quotas: { virtualNodesPerMesh: 1, meshes: 1, routesPerVirtualRouter: 0 } })
    const create = (virtualNodeName: string) => perform('CreateVirtualNode', { virtualNodeName, spec: {} })
    expect((await create('a')).status).toBe(200)
    const over = await create('b')
    expect([over.status, over.exception, over.json.message]).toEqual([
      400,
      'LimitExceededException',
      expect.stringContaining('virtualNodesPerMesh'),
    ])
    await perform('DeleteVirtualNode', { virtualNodeName: 'a' })
    expect((await create('b')).status).toBe(200)
    expect((await perform('CreateMesh', { meshName: 'two' })).exception).toBe('LimitExceededException')
    await perform('CreateVirtualRouter', { virtualRouterName: 'r', spec: {} })
    const spec = { tcpRoute: { action: { weightedTargets: [{ virtualNode: 'b', weight: 1 }] } } }
    const route = await perform('CreateRoute', { virtualRouterName: 'r', routeName: 'x', spec })
    expect(route.exception).toBe('LimitExceededException')
  })

  it('bound the backends of a virtual node in creation and update', async () => {
    const { perform } = await withMesh({ quotas: { backendsPerVirtualNode: 1 } })
    const node = (count: number) => ({
      virtualNodeName: 'n',
      spec: {
        backends: Array.from({ length: count }, (_, n) => ({ virtualService: { virtualServiceName: `s${n}` } })),
      },
    })
    expect((await perform('CreateVirtualNode', node(2))).exception).toBe('LimitExceededException')
    expect((await perform('CreateVirtualNode', node(1))).status).toBe(200)
    expect((await perform('UpdateVirtualNode', node(2))).exception).toBe('LimitExceededException')
  })
})

describe('a write with a bad name and a bad spec', () => {
  it('is told of both at once', async () => {
    const { perform } = await withMesh()
    const listener = { portMapping: { port: 99_999, protocol: 'ftp' } }
    const { status, json } = await perform('CreateVirtualNode', {
      virtualNodeName: 'bad name!',
      spec: { listeners: [listener] },
    })
    expect(status).toBe(400)
    expect(json.problems.map(({ path }: { path: string }) => path)).toEqual([
      'virtualNodeName',
      'spec.listeners[0].portMapping.port',
      'spec.listeners[0].portMapping.protocol',
    ])
  })
})

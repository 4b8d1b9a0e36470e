import { Duration, type Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, it } from 'vitest'
import {
  HeaderMatch,
  type IMesh,
  MeshProtocol,
  QueryMatch,
  RetryEvent,
  RouteMatch,
  VirtualNode,
  VirtualRouter,
  VirtualService,
} from '../../lib/index.ts'
import { meshOf, propertiesOf, shop, synthError } from './shop.ts'

/** A virtual service with versions 1 and 2 of an app. */
function catalog(protocol = MeshProtocol.HTTP) {
  const { app, mesh, stack } = shop()
  const port = 8080
  const v1 = new VirtualNode(stack, 'CatalogV1', { mesh, port, protocol })
  const v2 = new VirtualNode(stack, 'CatalogV2', { mesh, port, protocol })
  const service = new VirtualService(stack, 'Catalog', { mesh, protocol, port, defaultTarget: v1 })
  return { app, mesh, stack, v1, v2, router: service.virtualRouter }
}

function spec(stack: Stack, RouteName: string) {
  return propertiesOf(stack, 'Custom::WeftRoute', { RouteName }).Spec
}

describe('a split', () => {
  it('divides what no route takes, and the last one counts', () => {
    const { app, stack, v1, v2, router } = catalog()
    const second = { PortMapping: { Port: 8081, Protocol: 'http' } }
    v2.virtualNodeResource.addPropertyOverride('Spec.Listeners.1', second)
    router.split([
      { target: v1, weight: 95 },
      { target: v2, weight: 5 },
    ])
    router.split([
      { target: v1, weight: 50 },
      { target: v2, weight: 50, port: 8081 },
    ])
    expect(spec(stack, 'default').HttpRoute.Action.WeightedTargets).toEqual([
      { VirtualNode: 'catalog-v1', Weight: 50 },
      { VirtualNode: 'catalog-v2', Weight: 50, Port: 8081 },
    ])
    expect(synthError(app)).toBe('')
  })

  it('is deployed after its targets', () => {
    const { stack, v1, v2, router } = catalog()
    router.split([
      { target: v1, weight: 90 },
      { target: v2, weight: 10 },
    ])
    const [route] = Object.values(Template.fromStack(stack).findResources('Custom::WeftRoute'))
    for (const part of ['CatalogV1', 'CatalogV2', 'CatalogRouter']) {
      expect(route!.DependsOn).toContainEqual(expect.stringContaining(part))
    }
  })

  it.each([
    [[90, 20], 'the weights add up to 110 (catalog-v1: 90, catalog-v2: 20); make them add up to 100'],
    [[50, 49], 'the weights add up to 99'],
    [[], 'the weights add up to 0 (there are none)'],
  ])('refuses weights %j', (weights, message) => {
    const { v1, v2, router } = catalog()
    const nodes = [v1, v2]
    expect(() => router.split(weights.map((weight, index) => ({ target: nodes[index]!, weight })))).toThrow(message)
  })

  it('refuses a weight that only adds up with a negative one', () => {
    const { app, v1, v2, router } = catalog()
    router.split([
      { target: v1, weight: 150 },
      { target: v2, weight: -50 },
    ])
    const message = synthError(app)
    expect(message).toContain('weight is 150; use 100 or less')
    expect(message).toContain('weight is -50; use 0 or more')
  })

  it('refuses a node of another mesh', () => {
    const { app, router } = catalog()
    const target = VirtualNode.fromVirtualNodeName(meshOf(app, 'zoo'), 'lion')
    expect(() => router.split([{ target, weight: 100 }])).toThrow(
      'target lion is in mesh zoo, the route in shop; a route sends to nodes of its own mesh only',
    )
  })
})

describe('a route', () => {
  it('matches all that App Mesh can match', () => {
    const { app, stack, v2, router } = catalog()
    router.route('Beta', {
      match: RouteMatch.prefix('/beta', {
        method: 'GET',
        headers: [
          HeaderMatch.present('x-a'),
          HeaderMatch.exact('x-b', 'b').inverted(),
          HeaderMatch.startsWith('x-c', 'c'),
          HeaderMatch.endsWith('x-d', 'd'),
          HeaderMatch.regex('x-e', 'e+'),
          HeaderMatch.range('x-f', 1, 9),
        ],
        queryParameters: [QueryMatch.exact('tester', '1'), QueryMatch.present('debug')],
      }),
      target: v2,
      priority: 5,
    })
    expect(spec(stack, 'beta')).toEqual({
      Priority: 5,
      HttpRoute: {
        Match: {
          Prefix: '/beta',
          Method: 'GET',
          Headers: [
            { Name: 'x-a' },
            { Name: 'x-b', Match: { Exact: 'b' }, Invert: true },
            { Name: 'x-c', Match: { Prefix: 'c' } },
            { Name: 'x-d', Match: { Suffix: 'd' } },
            { Name: 'x-e', Match: { Regex: 'e+' } },
            { Name: 'x-f', Match: { Range: { Start: 1, End: 9 } } },
          ],
          QueryParameters: [{ Name: 'tester', Match: { Exact: '1' } }, { Name: 'debug' }],
        },
        Action: { WeightedTargets: [{ VirtualNode: 'catalog-v2', Weight: 100 }] },
      },
    })
    expect(synthError(app)).toBe('')
  })

  it('matches a path or a pattern of paths', () => {
    const { stack, v2, router } = catalog()
    router.route('One', { match: RouteMatch.path('/one'), target: v2 })
    router.route('Some', { match: RouteMatch.pathRegex('/items/[0-9]+'), target: v2 })
    expect(spec(stack, 'one').HttpRoute.Match).toEqual({ Path: { Exact: '/one' } })
    expect(spec(stack, 'some').HttpRoute.Match).toEqual({ Path: { Regex: '/items/[0-9]+' } })
  })

  it('speaks the protocol of its router', () => {
    const { stack } = catalog(MeshProtocol.HTTP2)
    expect(Object.keys(spec(stack, 'default'))).toEqual(['Http2Route'])
  })

  it('matches gRPC services and methods', () => {
    const { app, stack, v2, router } = catalog(MeshProtocol.GRPC)
    const metadata = [HeaderMatch.present('x-beta')]
    const match = RouteMatch.grpc({ serviceName: 'shop.Catalog', methodName: 'Get', metadata })
    router.route('Get', { match, target: v2 })
    expect(spec(stack, 'get').GrpcRoute.Match).toEqual({
      ServiceName: 'shop.Catalog',
      MethodName: 'Get',
      Metadata: [{ Name: 'x-beta' }],
    })
    expect(spec(stack, 'default').GrpcRoute.Match).toEqual({})
    expect(synthError(app)).toBe('')
  })

  it.each([
    [MeshProtocol.GRPC, RouteMatch.prefix('/a'), 'use RouteMatch.grpc(...)'],
    [MeshProtocol.HTTP, RouteMatch.grpc(), 'use another RouteMatch than grpc'],
    [MeshProtocol.TCP, RouteMatch.any(), 'TCP has no requests to match'],
  ])('refuses a match that is not of its protocol (%#)', (protocol, match, message) => {
    const { v2, router } = catalog(protocol)
    expect(() => router.route('Wrong', { match, target: v2 })).toThrow(message)
  })

  it('refuses two kinds of targets, and none', () => {
    const { v2, router } = catalog()
    const both = { target: v2, targets: [{ target: v2, weight: 100 }] }
    expect(() => router.route('Both', both)).toThrow('give exactly one of target and targets')
    expect(() => router.route('None', {})).toThrow('give exactly one of target and targets')
  })

  it('refuses what the API refuses, such as a path with a query or a pattern that is none', () => {
    const { app, v2, router } = catalog()
    router.route('Query', { match: RouteMatch.prefix('/a?b=1'), target: v2 })
    router.route('Pattern', { match: RouteMatch.pathRegex('/(?<=a)b'), target: v2 })
    const message = synthError(app)
    expect(message).toContain('route catalog/query: spec.httpRoute.match.prefix: A path ends before "?"')
    expect(message).toContain('route catalog/pattern: spec.httpRoute.match.path.regex:')
  })
})

describe('retries and timeouts', () => {
  it('are those of the router, unless a route has its own', () => {
    const { app, stack, v2, router } = catalog()
    router.retry({ maxRetries: 2, perRetryTimeout: Duration.seconds(1), on: [RetryEvent.SERVER_ERROR] })
    router.timeout({ perRequest: Duration.seconds(5), idle: Duration.minutes(1) })
    router.route('Slow', {
      match: RouteMatch.prefix('/slow'),
      target: v2,
      retry: { maxRetries: 0 },
      timeout: { perRequest: Duration.minutes(1) },
    })
    expect(spec(stack, 'default').HttpRoute).toMatchObject({
      RetryPolicy: { MaxRetries: 2, PerRetryTimeout: { Unit: 'ms', Value: 1000 }, HttpRetryEvents: ['server-error'] },
      Timeout: { PerRequest: { Unit: 'ms', Value: 5000 }, Idle: { Unit: 'ms', Value: 60_000 } },
    })
    expect(spec(stack, 'slow').HttpRoute).toMatchObject({
      RetryPolicy: {
        MaxRetries: 0,
        PerRetryTimeout: { Unit: 'ms', Value: 0 },
        HttpRetryEvents: ['gateway-error', 'stream-error'],
        TcpRetryEvents: ['connection-error'],
      },
      Timeout: { PerRequest: { Unit: 'ms', Value: 60_000 } },
    })
    expect(synthError(app)).toBe('')
  })

  it('know events of gRPC', () => {
    const { app, stack, router } = catalog(MeshProtocol.GRPC)
    router.retry({ maxRetries: 1 })
    expect(spec(stack, 'default').GrpcRoute.RetryPolicy).toMatchObject({
      GrpcRetryEvents: ['unavailable'],
      HttpRetryEvents: ['stream-error'],
      TcpRetryEvents: ['connection-error'],
    })
    expect(synthError(app)).toBe('')
  })

  it('are refused where the protocol has none', () => {
    const { app, router } = catalog(MeshProtocol.TCP)
    expect(() => router.retry({ maxRetries: 1 })).toThrow('TCP has no requests to repeat')
    router.timeout({ perRequest: Duration.seconds(1) })
    expect(synthError(app)).toContain('There is no field "perRequest" here')
  })

  it('are refused beyond the limits of the API', () => {
    const { app, router } = catalog()
    router.retry({ maxRetries: 101, on: [] })
    const message = synthError(app)
    expect(message).toContain('maxRetries is 101; use 100 or less')
    expect(message).toContain('A retry policy names at least one event')
  })
})

describe('a route that nothing can reach', () => {
  it('is refused behind one that takes everything', () => {
    const { app, v2, router } = catalog()
    router.route('All', { target: v2, priority: 1 })
    router.route('Api', { match: RouteMatch.prefix('/api'), target: v2, priority: 2 })
    const message = synthError(app)
    expect(message).toContain("route api can't be reached: all is tried first and takes every request that it matches")
    expect(message).toContain("route default can't be reached: all is tried first")
  })

  it('is not refused where it comes first', () => {
    const { app, v2, router } = catalog()
    router.route('Api', { match: RouteMatch.prefix('/api'), target: v2 })
    router.route('Deep', { match: RouteMatch.prefix('/api/deep'), target: v2 })
    router.route('Beta', { match: RouteMatch.any({ headers: [HeaderMatch.present('beta')] }), target: v2, priority: 0 })
    expect(synthError(app)).toBe('')
  })
})

describe('a router', () => {
  it('refuses a second route of an id, and a default one beside its own', () => {
    const { v1, router } = catalog()
    expect(() => router.route('default', { target: v1 })).toThrow(
      'there is a route default already; split(...) says where it sends',
    )
    router.route('Beta', { target: v1, match: RouteMatch.prefix('/beta') })
    expect(() => router.route('Beta', { target: v1 })).toThrow(
      'there is a route Beta already; give this one another id',
    )
  })

  it('without any route is refused, since nobody would answer', () => {
    const { app, mesh, stack } = shop()
    new VirtualRouter(stack, 'Alone', { mesh })
    expect(synthError(app)).toContain('virtual router alone has no route, so nobody answers; call split(...)')
  })

  it('takes routes without a default one', () => {
    const { app, mesh, stack } = shop()
    const router = routerOf(stack, mesh)
    router.route('Api', { match: RouteMatch.prefix('/api'), target: VirtualNode.fromVirtualNodeName(mesh, 'api') })
    expect(synthError(app)).toBe('')
  })

  it('refuses two routes of one name', () => {
    const { mesh, stack } = shop()
    const router = routerOf(stack, mesh)
    const target = VirtualNode.fromVirtualNodeName(mesh, 'api')
    router.route('Api', { target })
    expect(() => router.route('Other', { target, routeName: 'api' })).toThrow(/route main\/api of mesh shop already/)
  })
})

function routerOf(stack: Stack, mesh: IMesh): VirtualRouter {
  return new VirtualRouter(stack, 'Main', { mesh })
}

describe('a TCP route with server names', () => {
  it('has a policy of its own, deployed after it, and is hidden by no other route', () => {
    const { app, mesh, stack, v1, v2 } = catalog(MeshProtocol.TCP)
    const router = new VirtualRouter(stack, 'Db', { mesh, protocol: MeshProtocol.TCP, port: 5432 })
    router.route('Rest', { target: v1, priority: 1 })
    router.route('Acme', { serverNames: ['acme.example', '*.acme.example'], target: v2 })
    expect(propertiesOf(stack, 'Custom::WeftPolicy', { PolicyKind: 'sni' })).toMatchObject({
      PolicyName: expect.stringMatching(/^[a-z0-9-]*acme-[a-z0-9]+$/),
      TargetRef: { Kind: 'route', Name: `${router.virtualRouterName}/acme` },
      Spec: { Hosts: ['acme.example', '*.acme.example'] },
    })
    const [policy] = Object.values(Template.fromStack(stack).findResources('Custom::WeftPolicy'))
    expect(policy!.DependsOn).toContainEqual(expect.stringContaining('Acme'))
    expect(synthError(app)).toBe('')
  })

  it('is a mistake where requests are routed, and where a name is none', () => {
    const http = catalog()
    expect(() => http.router.route('Acme', { serverNames: ['a.example'], target: http.v2 })).toThrow(
      /serverNames are for TCP; requests are routed by their host/,
    )
    const { app, router, v2 } = catalog(MeshProtocol.TCP)
    router.route('Acme', { serverNames: ['10.0.0.1'], target: v2 })
    expect(synthError(app)).toContain('spec.hosts[0]: A client of TLS could not ask for this name')
  })
})

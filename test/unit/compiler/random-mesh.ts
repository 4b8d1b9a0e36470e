import * as fc from 'fast-check'
import type { CompilerResource } from '../../../runtime/compiler/graph.ts'
import type { ResourceKind, Subject } from '../../../runtime/model/reference.ts'

/** Random meshes whose every spec is valid and whose every reference exists, as the API guarantees. */

export const MESH = 'shop'

const NODES = ['orders-v1', 'orders-v2', 'cart', 'front'] as const
const ROUTERS = ['orders', 'cart'] as const
const SERVICES = ['orders', 'orders.shop.local', 'Cart.other.local', 'nobody'] as const
const GATEWAYS = ['edge'] as const

/** Every virtual node and gateway of a random mesh. */
export const SUBJECTS: readonly Subject[] = [
  ...NODES.map((name): Subject => ({ kind: 'virtual-node', mesh: MESH, name })),
  ...GATEWAYS.map((name): Subject => ({ kind: 'virtual-gateway', mesh: MESH, name })),
]

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const port = fc.constantFrom(80, 443, 5432, 8080, 9090)
const duration = fc.record({ unit: fc.constantFrom('s', 'ms'), value: fc.nat(1000) })
const protocol = fc.constantFrom('http', 'http2', 'grpc', 'tcp')
const certificate = fc.constantFrom(
  { acm: { certificateArn: 'arn' } },
  { sds: { secretName: 'secret' } },
  { file: { certificateChain: '/chain.pem', privateKey: '/key.pem' } },
)
const tls = fc.record({
  mode: fc.constantFrom('STRICT', 'PERMISSIVE', 'DISABLED'),
  certificate,
  validation: optional(
    fc.constantFrom(
      { trust: { sds: { secretName: 'secret' } } },
      { trust: { file: { certificateChain: '/ca.pem' } }, subjectAlternativeNames: { match: { exact: ['a'] } } },
    ),
  ),
})
const clientPolicy = fc.record({
  tls: optional(
    fc.record({
      enforce: optional(fc.boolean()),
      ports: optional(fc.array(port, { maxLength: 2 })),
      validation: fc.constantFrom(
        { trust: { acm: { certificateAuthorityArns: ['arn'] } } },
        { trust: { file: { certificateChain: '/ca.pem' } }, subjectAlternativeNames: { match: { exact: ['a'] } } },
      ),
    }),
  ),
})

const listenersWith = (given: fc.Arbitrary<string>, more: object) =>
  fc.uniqueArray(fc.record({ portMapping: fc.record({ port, protocol: given }), ...more }), {
    maxLength: 3,
    selector: (listener) => (listener as { portMapping: { port: number } }).portMapping.port,
  })

const node = fc.record({
  listeners: optional(listenersWith(protocol, { tls: optional(tls) })),
  backendDefaults: optional(fc.record({ clientPolicy: optional(clientPolicy) })),
  backends: optional(
    fc.array(
      fc.record({
        virtualService: fc.record({
          virtualServiceName: fc.constantFrom(...SERVICES, 'missing'),
          clientPolicy: optional(clientPolicy),
        }),
      }),
      { maxLength: 5 },
    ),
  ),
  serviceDiscovery: optional(
    fc.constantFrom(
      { dns: { hostname: 'a.example.com' } },
      { dns: { hostname: 'a.example.com', responseType: 'ENDPOINTS' } },
      { awsCloudMap: { namespaceName: 'a', serviceName: 'b' } },
    ),
  ),
  logging: optional(fc.constant({ accessLog: { file: { path: '/dev/stdout' } } })),
})

const action = fc.record({
  weightedTargets: fc.array(
    fc.record({ virtualNode: fc.constantFrom(...NODES), weight: fc.nat(100), port: optional(port) }),
    { minLength: 1, maxLength: 4 },
  ),
})
const httpMatch = fc.oneof(
  fc.record({
    prefix: optional(fc.constantFrom('/', '/a', '/a/b/')),
    method: optional(fc.constantFrom('GET', 'POST')),
    port: optional(port),
    headers: optional(
      fc.constant([
        { name: 'X-A', match: { prefix: 'b' } },
        { name: 'X-B', invert: true },
      ]),
    ),
    queryParameters: optional(fc.constant([{ name: 'q', match: { exact: '' } }])),
  }),
  fc.record({ path: fc.constantFrom({ exact: '/a' }, { regex: '/a.*' }) }),
)
const route = fc
  .oneof(
    fc.record({
      httpRoute: fc.record({
        match: httpMatch,
        action,
        timeout: optional(fc.record({ idle: optional(duration), perRequest: optional(duration) })),
        retryPolicy: optional(
          fc.record({
            maxRetries: fc.nat(5),
            perRetryTimeout: duration,
            httpRetryEvents: fc.constant(['server-error', 'gateway-error']),
          }),
        ),
      }),
    }),
    fc.record({ grpcRoute: fc.record({ match: fc.record({ serviceName: optional(fc.constant('a.B')) }), action }) }),
    fc.record({ tcpRoute: fc.record({ match: optional(fc.record({ port: optional(port) })), action }) }),
  )
  .chain((member) => fc.record({ priority: optional(fc.nat(1000)) }).map((priority) => ({ ...member, ...priority })))

const provider = fc.oneof(
  fc.record({ virtualNode: fc.record({ virtualNodeName: fc.constantFrom(...NODES) }) }),
  fc.record({ virtualRouter: fc.record({ virtualRouterName: fc.constantFrom(...ROUTERS) }) }),
)

const gatewayRoute = fc.record({
  httpRoute: fc.record({
    match: fc.record({
      prefix: optional(fc.constantFrom('/', '/a/')),
      port: optional(port),
      hostname: optional(fc.constantFrom({ exact: 'A.example.com' }, { suffix: '*.example.com' }, { suffix: '*' })),
    }),
    action: fc.record({
      target: fc.record({
        virtualService: fc.record({ virtualServiceName: fc.constantFrom(...SERVICES) }),
        port: optional(port),
      }),
    }),
  }),
})

/** Drops members that are undefined: specs are JSON. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

function resources(kind: ResourceKind, names: readonly string[], spec: fc.Arbitrary<unknown>, parent?: string) {
  return fc.tuple(...names.map(() => spec)).map((specs) =>
    specs.map((given, index): CompilerResource => {
      const ref = { kind, mesh: MESH, name: names[index]!, ...(parent === undefined ? {} : { parent }) }
      const vip =
        kind === 'virtual-service'
          ? { vip: `127.64.0.${SERVICES.indexOf(names[index] as (typeof SERVICES)[number]) + 1}` }
          : {}
      return { ref, spec: asJson(given), ...vip }
    }),
  )
}

export const randomMesh: fc.Arbitrary<readonly CompilerResource[]> = fc
  .tuple(
    resources('mesh', [MESH], fc.constantFrom({}, { egressFilter: { type: 'ALLOW_ALL' } })),
    resources('virtual-node', NODES, node),
    resources('virtual-router', ROUTERS, fc.record({ listeners: optional(listenersWith(protocol, {})) })),
    ...ROUTERS.map((router) => resources('route', ['a', 'b', 'c'], route, router)),
    resources('virtual-service', SERVICES.slice(0, 3), fc.record({ provider: optional(provider) })),
    resources('virtual-service', SERVICES.slice(3), fc.constant({})),
    resources(
      'virtual-gateway',
      GATEWAYS,
      fc.record({ listeners: listenersWith(fc.constantFrom('http', 'grpc'), {}) }),
    ),
    resources('gateway-route', ['a', 'b'], gatewayRoute, GATEWAYS[0]),
  )
  .map((groups) => groups.flat())

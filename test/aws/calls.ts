/** One call of every operation of App Mesh, in an order in which all succeed, as inputs that SDKs and the CLI take alike. */

export interface Call {
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
}

export const ACCOUNT = '000000000000'
export const REGION = 'us-east-1'
const MESH_ARN = `arn:aws:appmesh:${REGION}:${ACCOUNT}:mesh/judged`

const tls = {
  mode: 'STRICT',
  certificate: { file: { certificateChain: '/keys/chain.pem', privateKey: '/keys/key.pem' } },
  validation: { trust: { file: { certificateChain: '/keys/ca.pem' } } },
}
const healthCheck = {
  protocol: 'http',
  path: '/ping',
  port: 8080,
  healthyThreshold: 2,
  unhealthyThreshold: 3,
  intervalMillis: 5000,
  timeoutMillis: 2000,
}
const seconds = (value: number) => ({ unit: 's', value })

const NODE_SPEC = {
  listeners: [
    {
      portMapping: { port: 8080, protocol: 'http' },
      healthCheck,
      tls,
      timeout: { http: { idle: seconds(60), perRequest: { unit: 'ms', value: 1500 } } },
      connectionPool: { http: { maxConnections: 100, maxPendingRequests: 10 } },
      outlierDetection: {
        maxServerErrors: 5,
        maxEjectionPercent: 50,
        interval: seconds(10),
        baseEjectionDuration: seconds(30),
      },
    },
  ],
  serviceDiscovery: {
    awsCloudMap: { namespaceName: 'apps.local', serviceName: 'cart', attributes: [{ key: 'stage', value: 'blue' }] },
  },
  backends: [
    {
      virtualService: {
        virtualServiceName: 'later.apps.local',
        clientPolicy: {
          tls: { enforce: true, ports: [443], validation: { trust: { file: { certificateChain: '/ca.pem' } } } },
        },
      },
    },
  ],
  backendDefaults: {
    clientPolicy: { tls: { enforce: false, validation: { trust: { sds: { secretName: 'roots' } } } } },
  },
  logging: { accessLog: { file: { path: '/dev/stdout', format: { json: [{ key: 'at', value: '%START_TIME%' }] } } } },
}

const ROUTE_SPEC = {
  priority: 10,
  httpRoute: {
    match: {
      prefix: '/cart',
      method: 'GET',
      scheme: 'http',
      port: 8080,
      headers: [{ name: 'x-stage', invert: true, match: { range: { start: 1, end: 5 } } }],
      queryParameters: [{ name: 'q', match: { exact: '' } }],
    },
    action: { weightedTargets: [{ virtualNode: 'cart', weight: 100, port: 8080 }] },
    retryPolicy: {
      maxRetries: 2,
      perRetryTimeout: seconds(1),
      httpRetryEvents: ['server-error', 'gateway-error'],
      tcpRetryEvents: ['connection-error'],
    },
    timeout: { perRequest: seconds(5), idle: seconds(10) },
  },
}

const GATEWAY_ROUTE_SPEC = {
  httpRoute: {
    match: { prefix: '/', hostname: { suffix: '.example.com' } },
    action: {
      target: { virtualService: { virtualServiceName: 'cart.apps.local' }, port: 8080 },
      rewrite: { hostname: { defaultTargetHostname: 'DISABLED' }, prefix: { defaultPrefix: 'ENABLED' } },
    },
  },
}

interface Resource {
  readonly type: string
  readonly plural: string
  readonly names: Readonly<Record<string, string>>
  readonly spec: object
  /** For the update. */
  readonly changed: object
}

const mesh = { meshName: 'judged' }
const router = { ...mesh, virtualRouterName: 'cart' }
const gateway = { ...mesh, virtualGatewayName: 'front' }
const listener = (port: number) => ({ portMapping: { port, protocol: 'http' } })

const RESOURCES: readonly Resource[] = [
  {
    type: 'Mesh',
    plural: 'Meshes',
    names: mesh,
    spec: { egressFilter: { type: 'DROP_ALL' } },
    changed: { egressFilter: { type: 'ALLOW_ALL' }, serviceDiscovery: { ipPreference: 'IPv4_ONLY' } },
  },
  {
    type: 'VirtualNode',
    plural: 'VirtualNodes',
    names: { ...mesh, virtualNodeName: 'cart' },
    spec: NODE_SPEC,
    changed: { ...NODE_SPEC, backends: [] },
  },
  {
    type: 'VirtualRouter',
    plural: 'VirtualRouters',
    names: router,
    spec: { listeners: [listener(8080)] },
    changed: { listeners: [listener(8080)] },
  },
  {
    type: 'Route',
    plural: 'Routes',
    names: { ...router, routeName: 'all' },
    spec: ROUTE_SPEC,
    changed: { ...ROUTE_SPEC, priority: 11 },
  },
  {
    type: 'VirtualService',
    plural: 'VirtualServices',
    names: { ...mesh, virtualServiceName: 'cart.apps.local' },
    spec: { provider: { virtualRouter: { virtualRouterName: 'cart' } } },
    changed: { provider: { virtualNode: { virtualNodeName: 'cart' } } },
  },
  {
    type: 'VirtualGateway',
    plural: 'VirtualGateways',
    names: gateway,
    spec: { listeners: [{ ...listener(8080), healthCheck, tls, connectionPool: { http: { maxConnections: 9 } } }] },
    changed: { listeners: [listener(8080)], logging: { accessLog: { file: { path: '/dev/stdout' } } } },
  },
  {
    type: 'GatewayRoute',
    plural: 'GatewayRoutes',
    names: { ...gateway, gatewayRouteName: 'cart' },
    spec: GATEWAY_ROUTE_SPEC,
    changed: { ...GATEWAY_ROUTE_SPEC, priority: 1 },
  },
]

/** What surrounds a resource: the members of its list operation. */
function around({ type, names }: Resource): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(names).filter(([name]) => name !== `${type[0]!.toLowerCase()}${type.slice(1)}Name`),
  )
}

/** ListTags after TagResource after tags at creation: these are there. */
export const MERGED_TAGS = [
  { key: 'kept', value: 'yes' },
  { key: 'stage', value: 'green' },
]

export const CALLS: readonly Call[] = [
  ...RESOURCES.map(({ type, names, spec }) => {
    const tags = type === 'Mesh' ? { tags: [{ key: 'stage', value: 'blue' }] } : {}
    return { operation: `Create${type}`, input: { ...names, spec, ...tags } }
  }),
  ...RESOURCES.map(({ type, names }) => ({ operation: `Describe${type}`, input: names })),
  ...RESOURCES.map(({ type, names, changed }) => ({ operation: `Update${type}`, input: { ...names, spec: changed } })),
  ...RESOURCES.map((resource) => ({ operation: `List${resource.plural}`, input: { ...around(resource), limit: 5 } })),
  {
    operation: 'TagResource',
    input: { resourceArn: MESH_ARN, tags: [...MERGED_TAGS, { key: 'gone', value: '' }] },
  },
  { operation: 'UntagResource', input: { resourceArn: MESH_ARN, tagKeys: ['gone', 'never there'] } },
  { operation: 'ListTagsForResource', input: { resourceArn: MESH_ARN, limit: 50 } },
  ...[...RESOURCES].reverse().map(({ type, names }) => ({ operation: `Delete${type}`, input: names })),
]

/** Calls that fail on the mesh `judged` with one virtual node `cart` in it, a route target; by the exception's name. */
export const FAILING: readonly (Call & { readonly exception: string; readonly message: RegExp })[] = [
  {
    operation: 'DescribeVirtualNode',
    input: { ...mesh, virtualNodeName: 'none' },
    exception: 'NotFoundException',
    message: /VirtualNode with name none is missing/,
  },
  {
    operation: 'CreateMesh',
    input: mesh,
    exception: 'ConflictException',
    message: /Mesh with name judged exists already/,
  },
  {
    operation: 'CreateVirtualService',
    input: {
      ...mesh,
      virtualServiceName: 'none.local',
      spec: { provider: { virtualNode: { virtualNodeName: 'none' } } },
    },
    exception: 'NotFoundException',
    message: /^(?:An error .*: )?VirtualNode with name none is missing$/,
  },
  {
    operation: 'DeleteMesh',
    input: mesh,
    exception: 'ResourceInUseException',
    message:
      /Mesh judged for account 000000000000 has active VirtualNodes, please delete VirtualNodes before deleting the Mesh/,
  },
  {
    operation: 'CreateVirtualRouter',
    input: { ...mesh, virtualRouterName: 'two', spec: { listeners: [listener(8080), listener(8080)] } },
    exception: 'BadRequestException',
    message: /spec\.listeners\[1\]\.portMapping\.port/,
  },
  {
    operation: 'CreateVirtualGateway',
    input: { ...mesh, virtualGatewayName: 'one-too-many', spec: { listeners: [listener(8080)] } },
    exception: 'LimitExceededException',
    message: /virtualGatewaysPerMesh/,
  },
  {
    operation: 'DescribeMesh',
    input: { ...mesh, meshOwner: '111111111111' },
    exception: 'ForbiddenException',
    message: /111111111111/,
  },
  {
    operation: 'TagResource',
    input: { resourceArn: MESH_ARN, tags: Array.from({ length: 51 }, (_, n) => ({ key: `k${n}`, value: '' })) },
    exception: 'TooManyTagsException',
    message: /51 tags/,
  },
  {
    operation: 'ListVirtualNodes',
    input: { ...mesh, nextToken: 'forged' },
    exception: 'BadRequestException',
    message: /nextToken/,
  },
]

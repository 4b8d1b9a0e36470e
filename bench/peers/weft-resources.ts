import type { Certificates } from '../certificates.ts'
import type { LoadProtocol } from './peer.ts'

/** The mesh of the Weft subject, in App Mesh's own words. */

export const MESH = 'bench'
/** Ports as the resources name them; the proxies map them to free ones (WEFT_PORTS). */
export const DESIGNED = {
  gateway: 8080,
  app: 8080,
  /** mTLS only: what the pair uses. */
  inbound: 15_000,
  outbound: 15_001,
  /** The app port for callers outside of the mesh: the node's listener has no TLS of its own. */
  published: 15_010,
  admin: 9901,
} as const

/** One PUT of the management API. */
export interface Put {
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
}

/** The same sink as Envoy's; the default text format. */
const LOGGING = { accessLog: { file: { path: '/dev/null' } } }

/** The same policy as Envoy's: see RETRY in envoy-config.ts. */
const RETRY = {
  maxRetries: 2,
  perRetryTimeout: { value: 2, unit: 's' },
  httpRetryEvents: ['server-error', 'gateway-error', 'stream-error'],
  tcpRetryEvents: ['connection-error'],
}

const OUTLIERS = {
  maxServerErrors: 5,
  interval: { value: 10, unit: 's' },
  baseEjectionDuration: { value: 30, unit: 's' },
  maxEjectionPercent: 50,
}

const base = `/v20190125/meshes/${MESH}`

/** Host name of a virtual service. */
export const hostOf = (name: string): string => `${name}.${MESH}.internal`

/** A virtual node behind a router with one route, and the virtual service in front of both. */
function service(name: string, port: number, protocol: LoadProtocol, discovery: object, logging: object): Put[] {
  const portMapping = { port, protocol }
  const listener = { portMapping, outlierDetection: OUTLIERS }
  const target = { weightedTargets: [{ virtualNode: name, weight: 1 }] }
  const match = protocol === 'grpc' ? {} : { prefix: '/' }
  const requests = { match, action: target, retryPolicy: RETRY }
  const spec = { [ROUTE_OF[protocol]]: protocol === 'tcp' ? { action: target } : requests }
  const provider = { virtualRouter: { virtualRouterName: name } }
  return [
    {
      path: `${base}/virtualNodes`,
      body: { virtualNodeName: name, spec: { listeners: [listener], serviceDiscovery: discovery, ...logging } },
    },
    { path: `${base}/virtualRouters`, body: { virtualRouterName: name, spec: { listeners: [{ portMapping }] } } },
    { path: `${base}/virtualRouter/${name}/routes`, body: { routeName: 'all', spec } },
    { path: `${base}/virtualServices`, body: { virtualServiceName: hostOf(name), spec: { provider } } },
  ]
}

/** The member of a route's union for what is spoken. */
const ROUTE_OF = { http: 'httpRoute', http2: 'http2Route', grpc: 'grpcRoute', tcp: 'tcpRoute' } as const

const mesh: Put = { path: '/v20190125/meshes', body: { meshName: MESH, spec: {} } }

/** What the peers' servers show and ask for, from the same files. */
const verifying = ({ ca, server, client }: Certificates) => ({
  mode: 'STRICT',
  certificate: { file: { certificateChain: server.certificate, privateKey: server.key } },
  validation: {
    trust: { file: { certificateChain: ca } },
    subjectAlternativeNames: { match: { exact: [client.spiffeId] } },
  },
})

/** A gateway in front of nodes without sidecars. `clusters` as in Topology; `secure`: its clients are verified. */
export function hopResources(
  backendPort: number,
  clusters: number,
  protocol: LoadProtocol,
  secure?: Certificates,
): Put[] {
  const portMapping = { port: DESIGNED.gateway, protocol }
  const listener = { portMapping, ...(secure === undefined ? {} : { tls: verifying(secure) }) }
  const gateway: Put = {
    path: `${base}/virtualGateways`,
    body: { virtualGatewayName: 'edge', spec: { listeners: [listener], logging: LOGGING } },
  }
  const services = Array.from({ length: clusters }, (_, index) => {
    const name = `backend-${index}`
    const prefix = clusters === 1 ? '/' : `/c${index}/`
    const action = { target: { virtualService: { virtualServiceName: hostOf(name) } } }
    const route = { gatewayRouteName: name, spec: { [ROUTE_OF[protocol]]: { match: { prefix }, action } } }
    const discovery = { dns: { hostname: '127.0.0.1' } }
    return [
      ...service(name, backendPort, protocol, discovery, {}),
      { path: `${base}/virtualGateway/edge/gatewayRoutes`, body: route },
    ]
  })
  return [mesh, gateway, ...services.flat()]
}

/** Two virtual nodes, each with its sidecar: `client` calls `backend`. */
export function pairResources(protocol: LoadProtocol): Put[] {
  const cloudMap = (serviceName: string) => ({ awsCloudMap: { namespaceName: MESH, serviceName } })
  const backends = [{ virtualService: { virtualServiceName: hostOf('backend') } }]
  const client: Put = {
    path: `${base}/virtualNodes`,
    body: { virtualNodeName: 'client', spec: { backends, logging: LOGGING } },
  }
  return [mesh, ...service('backend', DESIGNED.app, protocol, cloudMap('backend'), { logging: LOGGING }), client]
}

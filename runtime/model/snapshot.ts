import * as v from 'valibot'
import type { Checked } from './problem.ts'

/**
 * The Snapshot: the one contract between the planes (design, section 3). Plain JSON, no secrets, every reference
 * proven by the compiler, every default filled in, routes already in matching order. Vocabulary: proxy terms.
 */

/** The shape number; a proxy rejects a snapshot of another one. */
export const SNAPSHOT_SCHEMA = 1

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(1024))
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const count = v.pipe(v.number(), v.integer(), v.minValue(0))
/** Milliseconds; 0 switches the timeout off. */
const durationMs = v.pipe(v.number(), v.integer(), v.minValue(0))

/** The user's own resource (or `default`) that a value comes from: metrics, logs and errors speak this name. */
const origin = v.strictObject({
  kind: v.picklist([
    'mesh',
    'virtual-node',
    'virtual-router',
    'route',
    'virtual-service',
    'virtual-gateway',
    'gateway-route',
    'policy',
    'default',
  ]),
  /** `parent/name` for routes and gateway routes, `kind/name` for policies, the plain name otherwise. */
  name,
})

/** What the app or the peer speaks. `http2` and `grpc` are HTTP/2 (gRPC adds statuses and metrics). */
const protocol = v.picklist(['http', 'http2', 'grpc', 'tcp'])

const fileCertificate = v.strictObject({ kind: v.literal('file'), chain: name, key: name })
/** `mesh`: the proxy's own workload certificate, issued by the mesh CA. */
const certificate = v.variant('kind', [v.strictObject({ kind: v.literal('mesh') }), fileCertificate])

/** How the certificate of the other side is checked, always against these CAs alone. */
const validation = {
  /** A PEM bundle of CAs; `mesh` is the trust bundle of this mesh. */
  trust: v.variant('kind', [
    v.strictObject({ kind: v.literal('mesh') }),
    v.strictObject({ kind: v.literal('file'), chain: name }),
  ]),
  /** Accepted subject alternative names (DNS or URI, exact); empty accepts any name of the trusted CA. */
  sans: v.array(name),
}
/** What a client from outside of the mesh must show; null: it is not asked for a certificate. Plaintext shows none. */
const clientValidation = v.nullable(v.strictObject(validation))

/** `requestMs` ends the whole exchange, retries included; `idleMs` runs while no byte moves. */
const timeouts = v.strictObject({ requestMs: durationMs, idleMs: durationMs, origin })

// ---- listeners ----------------------------------------------------------------------------------------------------

/** One app port behind the mesh port. Peers name it by SNI. */
const inboundPort = v.strictObject({
  /** The port of the App Mesh listener, where the app listens on loopback. */
  port,
  protocol,
  origin,
  /** `p<port>.<hash of mesh/node>.weft.internal` */
  sni: name,
  /** Name of a cluster of discovery `local`. */
  cluster: name,
  timeouts,
  /** Set for App Mesh's PERMISSIVE and DISABLED: also reachable on a port of its own, not only by mTLS. */
  published: v.nullable(
    v.strictObject({ port, tls: v.picklist(['permissive', 'disabled']), certificate, clientValidation }),
  ),
})

/** All mTLS from peers arrives on one port; the SNI picks the app port. */
const inboundListener = v.strictObject({
  kind: v.literal('inbound'),
  origin,
  port,
  ports: v.array(inboundPort),
  /** Who may call, on the mesh port and on published ones alike; null: everybody whom these let in. */
  authorization: v.nullable(
    v.strictObject({
      /** SPIFFE IDs. Whoever shows none is not among them. */
      allow: v.array(name),
      /** `shadow`: what would be denied is counted and let through. */
      mode: v.picklist(['enforce', 'shadow']),
      origin,
    }),
  ),
})

/** Where the app sends requests by Host header (also as HTTP_PROXY). */
const outboundListener = v.strictObject({
  kind: v.literal('outbound'),
  origin,
  port,
  /** Host names (lower case, no port) to the route table of their virtual service. */
  hosts: v.array(v.strictObject({ names: v.array(name), table: name })),
  /** Hosts that are in no table: `suffixes` such as `.amazonaws.com` are let through, or all, or none. */
  egress: v.strictObject({ kind: v.picklist(['all', 'suffixes']), suffixes: v.array(name), origin }),
})

/** A loopback address of 127.64.0.0/10 that stands for one virtual service. */
const vipListener = v.strictObject({
  kind: v.literal('vip'),
  origin,
  address: name,
  port,
  protocol,
  table: name,
})

/** Clients of TLS that ask for one of these names (as in a match of routes): their bytes go to a TCP route of the table. */
const passthrough = v.strictObject({ serverNames: v.array(name), table: name, port, origin })

const gatewayListener = v.strictObject({
  kind: v.literal('gateway'),
  origin,
  port,
  protocol,
  tls: v.strictObject({
    mode: v.picklist(['strict', 'permissive', 'disabled']),
    certificate,
    /** More of them, for the DNS names that they hold. */
    certificates: v.array(fileCertificate),
    clientValidation,
  }),
  /** Only where TLS is spoken; no name is there twice. */
  passthrough: v.array(passthrough),
  table: name,
  timeouts,
})

const listener = v.variant('kind', [inboundListener, outboundListener, vipListener, gatewayListener])

// ---- routes -------------------------------------------------------------------------------------------------------

const path = v.variant('kind', [
  v.strictObject({ kind: v.literal('prefix'), value: name }),
  v.strictObject({ kind: v.literal('exact'), value: name }),
  /** RE2 syntax, matched against the whole path without query. */
  v.strictObject({ kind: v.literal('regex'), value: name }),
])

const invert = v.boolean()
/** Header names are lower case. A header that is absent matches an inverted `present` and nothing else (as in Envoy). */
const headerMatch = v.variant('kind', [
  v.strictObject({ kind: v.literal('present'), name, invert }),
  v.strictObject({ kind: v.literal('exact'), name, value: v.string(), invert }),
  v.strictObject({ kind: v.literal('prefix'), name, value: v.string(), invert }),
  v.strictObject({ kind: v.literal('suffix'), name, value: v.string(), invert }),
  v.strictObject({ kind: v.literal('regex'), name, value: v.string(), invert }),
  /** Integer in [start, end). */
  v.strictObject({ kind: v.literal('range'), name, start: v.number(), end: v.number(), invert }),
])

const routeMatch = v.strictObject({
  path,
  /** Upper case; null for any. */
  method: v.nullable(name),
  scheme: v.nullable(v.picklist(['http', 'https'])),
  /** The port that the downstream asked for; null for any. */
  port: v.nullable(port),
  /** Only gateway routes have one. `suffix` starts with a dot. Lower case. */
  host: v.nullable(v.strictObject({ kind: v.picklist(['exact', 'suffix']), value: name })),
  headers: v.array(headerMatch),
  /**
   * Of TCP only: the client of TLS asks for one of these names (`*.` stands for one or more labels; lower case); none: any
   * client. They come before the order of routes: an exact name first, then the longest wildcard, then who names none.
   */
  serverNames: v.array(name),
  /** All must be there; `exact: null` asks for presence only. */
  query: v.array(v.strictObject({ name, exact: v.nullable(v.string()) })),
})

/** What a policy may retry. */
export const RETRY_EVENTS = [
  /** No connection, or refused before any byte was processed: safe for every method. */
  'connect-failure',
  'refused-stream',
  /** The stream ended without a complete response head. */
  'reset',
  /** HTTP statuses. */
  '5xx',
  'gateway-error',
  '503',
  '409',
  /** gRPC statuses. */
  'grpc-cancelled',
  'grpc-deadline-exceeded',
  'grpc-internal',
  'grpc-resource-exhausted',
  'grpc-unavailable',
] as const

/** `idempotent`: only methods that RFC 9110 section 9.2.2 calls so; `any` when the user asked for it in a policy. */
const retry = v.strictObject({
  /** Retries after the first attempt. */
  maxRetries: count,
  /** 0: an attempt is bounded by the request timeout only. */
  perTryTimeoutMs: durationMs,
  on: v.array(v.picklist(RETRY_EVENTS)),
  methods: v.picklist(['idempotent', 'any']),
  origin,
})

const forwardAction = v.strictObject({
  kind: v.literal('forward'),
  targets: v.pipe(v.array(v.strictObject({ cluster: name, weight: count })), v.minLength(1)),
  timeouts,
  retry: v.nullable(retry),
})

/** A gateway route: rewrite, then choose a route in the table of the virtual service. */
const delegateAction = v.strictObject({
  kind: v.literal('delegate'),
  table: name,
  /** New Host, or null to keep the downstream's. */
  host: v.nullable(name),
  path: v.nullable(
    v.variant('kind', [
      v.strictObject({ kind: v.literal('prefix'), from: name, to: name }),
      v.strictObject({ kind: v.literal('exact'), value: name }),
    ]),
  ),
  /** The port that routes of the table see; null for its first. */
  port: v.nullable(port),
})

const route = v.strictObject({
  name,
  origin,
  match: routeMatch,
  action: v.variant('kind', [forwardAction, delegateAction]),
})

/** Routes of one virtual service (or one gateway listener), in the order in which they are tried. First match wins. */
const routeTable = v.strictObject({
  name,
  origin,
  /** Ports that the virtual service is declared on; the first is the default. */
  ports: v.array(port),
  routes: v.array(route),
})

// ---- clusters -----------------------------------------------------------------------------------------------------

const discovery = v.variant('kind', [
  /** The instances come in the EndpointSet of this node. */
  v.strictObject({ kind: v.literal('endpoints'), node: name }),
  /**
   * Resolved by the proxy. `all`: every address is an endpoint; `logical`: the first one only (a load balancer's name).
   * An address that the node's EndpointSet knows is dialled as that endpoint.
   */
  v.strictObject({ kind: v.literal('dns'), node: name, hostname: name, response: v.picklist(['logical', 'all']) }),
  /** The app beside this proxy. */
  v.strictObject({ kind: v.literal('local') }),
  /** The address that the downstream asked for (egress). */
  v.strictObject({ kind: v.literal('passthrough') }),
])

/** TLS towards endpoints without a sidecar (App Mesh client policy). */
const clientTls = v.strictObject({ ...validation, certificate: v.nullable(certificate) })

const upstreamTls = v.strictObject({
  /** For endpoints with a sidecar: what to ask for and whom to expect. Null for clusters outside of the mesh. */
  mesh: v.nullable(v.strictObject({ sni: name, spiffeId: name })),
  /** For endpoints without one. `refuse`: such endpoints are not used (listener STRICT, or client policy enforced). */
  plain: v.variant('kind', [
    v.strictObject({ kind: v.literal('plaintext') }),
    v.strictObject({ kind: v.literal('refuse') }),
    v.strictObject({ kind: v.literal('tls'), tls: clientTls }),
  ]),
})

const healthCheck = v.strictObject({
  protocol: v.picklist(['http', 'http2', 'grpc', 'tcp']),
  /** For http and http2. */
  path: v.nullable(name),
  /** Null: the endpoint's own port. */
  port: v.nullable(port),
  intervalMs: durationMs,
  timeoutMs: durationMs,
  healthyThreshold: count,
  unhealthyThreshold: count,
  origin,
})

const outlierDetection = v.strictObject({
  /** Consecutive 5xx answers or connection failures that eject an endpoint. */
  maxServerErrors: count,
  intervalMs: durationMs,
  /** Multiplied by the number of times the endpoint was ejected. */
  baseEjectionMs: durationMs,
  maxEjectionPercent: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
  origin,
})

const cluster = v.strictObject({
  name,
  origin,
  /** The port of the virtual node's listener (for `local`, where the app listens). */
  port,
  protocol,
  discovery,
  tls: upstreamTls,
  connectTimeoutMs: durationMs,
  /** Per proxy, over all endpoints; null: no limit. */
  limits: v.strictObject({
    maxConnections: v.nullable(count),
    maxPendingRequests: v.nullable(count),
    maxRequests: v.nullable(count),
  }),
  healthCheck: v.nullable(healthCheck),
  outlierDetection: v.nullable(outlierDetection),
  /** Retries allowed within ten seconds: this share of the requests, but always `minRetriesPerSecond`. */
  retryBudget: v.strictObject({
    percent: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
    minRetriesPerSecond: count,
  }),
})

// ---- the whole ----------------------------------------------------------------------------------------------------

const accessLog = v.strictObject({
  /** `/dev/stdout`, `/dev/stderr` or a file. */
  path: name,
  format: v.variant('kind', [
    /** Envoy command operators, such as `%START_TIME%`. */
    v.strictObject({ kind: v.literal('text'), template: v.string() }),
    v.strictObject({ kind: v.literal('json'), fields: v.array(v.strictObject({ key: name, value: name })) }),
  ]),
  origin,
})

export const SnapshotSchema = v.strictObject({
  schema: v.literal(SNAPSHOT_SCHEMA),
  /** Digest of the canonical form of everything else. */
  revision: name,
  subject: v.strictObject({ kind: v.picklist(['virtual-node', 'virtual-gateway']), mesh: name, name }),
  trustDomain: name,
  listeners: v.array(listener),
  tables: v.array(routeTable),
  clusters: v.array(cluster),
  accessLogs: v.array(accessLog),
})

type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T

export type Snapshot = DeepReadonly<v.InferOutput<typeof SnapshotSchema>>
export type Origin = DeepReadonly<v.InferOutput<typeof origin>>
export type Protocol = v.InferOutput<typeof protocol>
export type Timeouts = DeepReadonly<v.InferOutput<typeof timeouts>>
export type Listener = DeepReadonly<v.InferOutput<typeof listener>>
export type InboundListener = DeepReadonly<v.InferOutput<typeof inboundListener>>
export type InboundPort = DeepReadonly<v.InferOutput<typeof inboundPort>>
export type OutboundListener = DeepReadonly<v.InferOutput<typeof outboundListener>>
export type VipListener = DeepReadonly<v.InferOutput<typeof vipListener>>
export type GatewayListener = DeepReadonly<v.InferOutput<typeof gatewayListener>>
export type Passthrough = DeepReadonly<v.InferOutput<typeof passthrough>>
export type RouteTable = DeepReadonly<v.InferOutput<typeof routeTable>>
export type Route = DeepReadonly<v.InferOutput<typeof route>>
export type RouteMatch = DeepReadonly<v.InferOutput<typeof routeMatch>>
export type HeaderMatch = DeepReadonly<v.InferOutput<typeof headerMatch>>
export type ForwardAction = DeepReadonly<v.InferOutput<typeof forwardAction>>
export type DelegateAction = DeepReadonly<v.InferOutput<typeof delegateAction>>
export type RetryPolicy = DeepReadonly<v.InferOutput<typeof retry>>
export type Cluster = DeepReadonly<v.InferOutput<typeof cluster>>
export type UpstreamTls = DeepReadonly<v.InferOutput<typeof upstreamTls>>
export type ClientTls = DeepReadonly<v.InferOutput<typeof clientTls>>
export type ClientValidation = DeepReadonly<v.InferOutput<typeof clientValidation>>
export type Certificate = DeepReadonly<v.InferOutput<typeof certificate>>
export type FileCertificate = DeepReadonly<v.InferOutput<typeof fileCertificate>>
export type HealthCheck = DeepReadonly<v.InferOutput<typeof healthCheck>>
export type OutlierDetection = DeepReadonly<v.InferOutput<typeof outlierDetection>>
export type AccessLog = DeepReadonly<v.InferOutput<typeof accessLog>>

/** Decodes an untrusted value: the snapshot, or every reason why this proxy can't take it. */
export function decodeSnapshot(input: unknown): Checked<Snapshot> {
  const result = v.safeParse(SnapshotSchema, input)
  if (result.success) return { ok: true, value: result.output }
  return {
    ok: false,
    problems: result.issues.map((issue) => ({
      path: v.getDotPath(issue) ?? '',
      code: issue.type,
      message: issue.message,
    })),
  }
}

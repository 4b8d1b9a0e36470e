import type {
  Cluster,
  GatewayListener,
  InboundPort,
  Listener,
  OutboundListener,
  RetryPolicy,
  Route,
  RouteMatch,
  RouteTable,
  Snapshot,
} from '../../runtime/model/snapshot.ts'

/** Small snapshots for wire tests: every value has a default that stays out of the way of the test. */

const ORIGIN = { kind: 'default', name: 'default' } as const
export const TIMEOUTS = { requestMs: 15_000, idleMs: 300_000, origin: ORIGIN }

function match(part: Partial<RouteMatch> = {}): RouteMatch {
  return {
    path: { kind: 'prefix', value: '/' },
    method: null,
    scheme: null,
    port: null,
    host: null,
    headers: [],
    serverNames: [],
    query: [],
    ...part,
  }
}

export function retry(part: Partial<RetryPolicy> = {}): RetryPolicy {
  return {
    maxRetries: 2,
    perTryTimeoutMs: 0,
    on: ['connect-failure', 'refused-stream', 'reset', '503'],
    methods: 'idempotent',
    origin: ORIGIN,
    ...part,
  }
}

/** A route to one cluster, or to several by weight. */
export function forwardRoute(
  name: string,
  to: string | Readonly<Record<string, number>>,
  part: {
    match?: Partial<RouteMatch>
    retry?: RetryPolicy | null
    timeouts?: Partial<typeof TIMEOUTS>
  } = {},
): Route {
  const targets =
    typeof to === 'string'
      ? [{ cluster: to, weight: 1 }]
      : Object.entries(to).map(([cluster, weight]) => ({ cluster, weight }))
  return {
    name,
    origin: { kind: 'route', name: `router/${name}` },
    match: match(part.match),
    action: { kind: 'forward', targets, timeouts: { ...TIMEOUTS, ...part.timeouts }, retry: part.retry ?? null },
  }
}

/** A gateway route to a table. */
export function delegateRoute(
  name: string,
  to: string,
  part: {
    match?: Partial<RouteMatch>
    host?: string
    path?: Extract<Route['action'], { kind: 'delegate' }>['path']
  } = {},
): Route {
  return {
    name,
    origin: { kind: 'gateway-route', name: `gate/${name}` },
    match: match(part.match),
    action: { kind: 'delegate', table: to, host: part.host ?? null, path: part.path ?? null, port: null },
  }
}

export function table(name: string, routes: readonly Route[], ports: readonly number[] = [80]): RouteTable {
  return { name, origin: ORIGIN, ports, routes }
}

export function cluster(name: string, part: Partial<Cluster> & { port: number }): Cluster {
  return {
    name,
    origin: { kind: 'virtual-node', name },
    protocol: 'http',
    discovery: { kind: 'dns', node: name, hostname: '127.0.0.1', response: 'all' },
    tls: { mesh: null, plain: { kind: 'plaintext' } },
    connectTimeoutMs: 1_000,
    limits: { maxConnections: null, maxPendingRequests: null, maxRequests: null },
    healthCheck: null,
    outlierDetection: null,
    retryBudget: { percent: 20, minRetriesPerSecond: 10 },
    ...part,
  }
}

export function gateway(port: number, part: Partial<GatewayListener> = {}): GatewayListener {
  return {
    kind: 'gateway',
    origin: { kind: 'virtual-gateway', name: 'gate' },
    port,
    protocol: 'http',
    tls: { mode: 'disabled', certificate: { kind: 'mesh' }, certificates: [], clientValidation: null },
    passthrough: [],
    table: 'gate',
    timeouts: TIMEOUTS,
    ...part,
  }
}

export function outbound(
  port: number,
  hosts: OutboundListener['hosts'],
  egress: Partial<OutboundListener['egress']> = {},
): OutboundListener {
  return {
    kind: 'outbound',
    origin: { kind: 'virtual-node', name: 'caller' },
    port,
    hosts,
    egress: { kind: 'suffixes', suffixes: [], origin: ORIGIN, ...egress },
  }
}

export function inboundPort(part: Partial<InboundPort> & { port: number; cluster: string }): InboundPort {
  return {
    protocol: 'http',
    origin: { kind: 'virtual-node', name: 'callee' },
    sni: 'p8080.callee.weft.internal',
    timeouts: TIMEOUTS,
    published: null,
    ...part,
  }
}

let revisions = 0

export function snapshot(part: {
  listeners: readonly Listener[]
  tables?: readonly RouteTable[]
  clusters: readonly Cluster[]
  accessLogs?: Snapshot['accessLogs']
}): Snapshot {
  revisions++
  return {
    schema: 1,
    revision: `r${revisions}`,
    subject: { kind: 'virtual-gateway', mesh: 'shop', name: 'gate' },
    trustDomain: 'weft.test',
    tables: [],
    accessLogs: [],
    ...part,
  }
}

/** A plaintext gateway that sends everything to one cluster on 127.0.0.1. */
export function oneWay(
  port: number,
  upstream: number,
  part: {
    retry?: RetryPolicy | null
    timeouts?: Partial<typeof TIMEOUTS>
    cluster?: Partial<Cluster>
    accessLogs?: Snapshot['accessLogs']
  } = {},
): Snapshot {
  return snapshot({
    listeners: [gateway(port)],
    tables: [
      table('gate', [delegateRoute('all', 'web')]),
      table('web', [
        forwardRoute('all', 'app', {
          retry: part.retry ?? null,
          ...(part.timeouts === undefined ? {} : { timeouts: part.timeouts }),
        }),
      ]),
    ],
    clusters: [cluster('app', { port: upstream, ...part.cluster })],
    accessLogs: part.accessLogs ?? [],
  })
}

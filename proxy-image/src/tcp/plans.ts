import { ServerNames } from '../../../runtime/model/server-name.ts'
import type { Cluster, GatewayListener, InboundPort, Route, RouteTable } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import type { UpstreamCluster } from '../upstream/cluster.ts'
import type { TcpPlan } from './dialing.ts'

/** Where the connections of one listener go. */
export interface TcpRoutes {
  /** Whether what a client of TLS asks for plays a part: then the first bytes of every connection are looked at. */
  readonly byServerName: boolean
  /** The way of a connection, or why it has none. `serverName` is in lower case; null: none was asked for, or looked at. */
  plan(serverName: string | null): TcpPlan | ProxyError
}

/** Where the connections go whose TLS a gateway does not end. */
export interface PassthroughRoutes extends TcpRoutes {
  /** Whether it is not ended for this name, in lower case. */
  takes(serverName: string): boolean
}

/** Every connection goes one way. */
function onlyPlan(plan: TcpPlan | ProxyError): TcpRoutes {
  return { byServerName: false, plan: () => plan }
}

/** What every plan of one listener needs. */
interface PlanContext {
  /** How metrics call the listener. */
  readonly listener: string
  readonly clusters: ReadonlyMap<string, UpstreamCluster>
  readonly metrics: Metrics
}

/** To a virtual service: of a connection the port is known, and the server name where a route asks for one. */
export function tcpServiceRoutes(table: RouteTable, port: number, context: PlanContext): TcpRoutes {
  const asked = table.ports.includes(port) ? port : (table.ports[0] ?? port)
  const routes = table.routes.filter(({ match }) => match.port === null || match.port === asked)
  const named = routes.filter(({ match }) => match.serverNames.length > 0)
  const others = routes.filter(({ match }) => match.serverNames.length === 0)
  const rest = planOf(
    tcpRoute(others, (name) => context.clusters.get(name)!.spec),
    table,
    context,
    asked,
  )
  if (named.length === 0) return onlyPlan(rest)
  const entries = named.flatMap((route) => {
    const plan = planOf(route, table, context, asked)
    return route.match.serverNames.map((name) => [name, plan] as const)
  })
  const names = new ServerNames(entries, 'labels')
  return {
    byServerName: true,
    plan: (serverName) => (serverName === null ? undefined : names.find(serverName)) ?? rest,
  }
}

function planOf(
  route: Route | undefined,
  table: RouteTable,
  { clusters, listener, metrics }: PlanContext,
  port: number,
): TcpPlan | ProxyError {
  if (route?.action.kind !== 'forward') {
    const message = `no route of ${table.name} takes connections to port ${port}`
    return new ProxyError('no_route', 'mesh', { message })
  }
  const { action, origin } = route
  const targets = action.targets.map(({ cluster, weight }) => ({
    cluster: clusters.get(cluster)!,
    weight,
    metrics: new TcpMetrics(metrics, { listener, route: origin.name, cluster }),
  }))
  return {
    route: origin.name,
    targets,
    totalWeight: targets.reduce((sum, { weight }) => sum + weight, 0),
    idleMs: action.timeouts.idleMs,
  }
}

/** From clients of a gateway, whose TLS it does not end, to the virtual services of the names that they ask for. */
export function tcpPassthroughRoutes(
  passthrough: GatewayListener['passthrough'],
  tables: readonly RouteTable[],
  context: PlanContext,
): PassthroughRoutes {
  const entries = passthrough.flatMap(({ serverNames, table, port }) => {
    const routes = tcpServiceRoutes(tables.find(({ name }) => name === table)!, port, context)
    return serverNames.map((name) => [name, routes] as const)
  })
  const names = new ServerNames(entries, 'labels')
  const nowhere = new ProxyError('no_route', 'mesh', { message: 'no name of this gateway is passed through any more' })
  return {
    byServerName: true,
    takes: (serverName) => names.find(serverName) !== undefined,
    plan: (serverName) => (serverName === null ? undefined : names.find(serverName)?.plan(serverName)) ?? nowhere,
  }
}

/** The first of these routes that leads to TCP; a router may have others, for requests, under the same port. */
function tcpRoute(routes: readonly Route[], clusterOf: (name: string) => Cluster): Route | undefined {
  const leadsToTcp = ({ action }: Route) =>
    action.kind === 'forward' && action.targets.some(({ cluster }) => clusterOf(cluster).protocol === 'tcp')
  return routes.find(leadsToTcp) ?? routes[0]
}

/** From peers to the app beside this sidecar. */
export function tcpInboundRoutes(port: InboundPort, { clusters, listener, metrics }: PlanContext): TcpRoutes {
  const cluster = clusters.get(port.cluster)!
  const target = {
    cluster,
    weight: 1,
    metrics: new TcpMetrics(metrics, { listener, route: '', cluster: port.cluster }),
  }
  return onlyPlan({ route: port.origin.name, targets: [target], totalWeight: 1, idleMs: port.timeouts.idleMs })
}

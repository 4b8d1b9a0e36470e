import type { Cluster, InboundPort, Route, RouteTable } from '../../../runtime/model/snapshot.ts'
import { ProxyError } from '../errors.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import type { UpstreamCluster } from '../upstream/cluster.ts'
import type { TcpPlan } from './dialing.ts'

/** What every plan of one listener needs. */
interface PlanContext {
  /** How metrics call the listener. */
  readonly listener: string
  readonly clusters: ReadonlyMap<string, UpstreamCluster>
  readonly metrics: Metrics
}

/** From the app to the virtual service behind a loopback VIP: of a connection only the port is known. */
export function tcpVipPlan(table: RouteTable, port: number, context: PlanContext): TcpPlan | ProxyError {
  const { clusters, listener, metrics } = context
  const asked = table.ports.includes(port) ? port : (table.ports[0] ?? port)
  const route = tcpRoute(table, asked, (name) => clusters.get(name)!.spec)
  if (route?.action.kind !== 'forward') {
    const message = `no route of ${table.name} takes connections to port ${asked}`
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

/** The first route of a port that leads to TCP; a router may have others, for requests, under the same port. */
function tcpRoute(table: RouteTable, port: number, clusterOf: (name: string) => Cluster): Route | undefined {
  const routes = table.routes.filter(({ match }) => match.port === null || match.port === port)
  const leadsToTcp = ({ action }: Route) =>
    action.kind === 'forward' && action.targets.some(({ cluster }) => clusterOf(cluster).protocol === 'tcp')
  return routes.find(leadsToTcp) ?? routes[0]
}

/** From peers to the app beside this sidecar. */
export function tcpInboundPlan(port: InboundPort, { clusters, listener, metrics }: PlanContext): TcpPlan {
  const cluster = clusters.get(port.cluster)!
  const target = {
    cluster,
    weight: 1,
    metrics: new TcpMetrics(metrics, { listener, route: '', cluster: port.cluster }),
  }
  return { route: port.origin.name, targets: [target], totalWeight: 1, idleMs: port.timeouts.idleMs }
}

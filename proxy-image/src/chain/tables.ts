import { compileRoutes, type RouteMatcher } from '../../../runtime/model/match.ts'
import type { Route, RouteTable } from '../../../runtime/model/snapshot.ts'
import type { ForwardPlan } from '../attempts/forward.ts'
import { ProxyError } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { RequestMetrics } from '../telemetry/request-metrics.ts'
import type { UpstreamCluster } from '../upstream/cluster.ts'
import type { Choice } from './chain.ts'

/** A route table ready for requests: the matcher, and the plan behind each of its forward routes. */
export class CompiledTable {
  readonly table: RouteTable
  private readonly matcher: RouteMatcher
  private readonly choices = new Map<Route, Choice>()

  constructor(table: RouteTable, listener: string, clusters: ReadonlyMap<string, UpstreamCluster>, metrics: Metrics) {
    this.table = table
    this.matcher = compileRoutes(table.routes)
    for (const route of table.routes) {
      if (route.action.kind !== 'forward') continue
      this.choices.set(route, { plan: planOf(route, route.action, listener, clusters, metrics), endpoint: null })
    }
  }

  /** The route that a request meets first. */
  match(exchange: Exchange): Route | undefined {
    return this.matcher.match(exchange)
  }

  /** The way of a request by this table, which belongs to a virtual service. */
  choose(exchange: Exchange): Choice | ProxyError {
    const route = this.match(exchange)
    const choice = route === undefined ? undefined : this.choices.get(route)
    return choice ?? noRoute(exchange, this.table.name)
  }
}

/** Says what was asked for and where it was looked up. */
export function noRoute(exchange: Exchange, table: string): ProxyError {
  const message = `no route of ${table} matches ${exchange.method} ${exchange.path}`
  return new ProxyError('no_route', 'mesh', { message })
}

function planOf(
  route: Route,
  action: Extract<Route['action'], { kind: 'forward' }>,
  listener: string,
  clusters: ReadonlyMap<string, UpstreamCluster>,
  metrics: Metrics,
): ForwardPlan {
  const name = route.origin.name
  const targets = action.targets.map(({ cluster, weight }) => ({
    cluster: clusters.get(cluster)!,
    weight,
    metrics: new RequestMetrics(metrics, { listener, route: name, cluster }),
  }))
  return {
    route: name,
    targets,
    totalWeight: targets.reduce((sum, target) => sum + target.weight, 0),
    timeouts: action.timeouts,
    retry: action.retry,
  }
}

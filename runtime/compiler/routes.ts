import type { SpecOf } from '../model/resource/spec.ts'
import type { ForwardAction, Origin, Protocol, RetryPolicy, Route, RouteTable, Timeouts } from '../model/snapshot.ts'
import { GRPC_RETRY, HTTP_RETRY, REQUEST_TIMEOUTS, TCP_TIMEOUTS } from './defaults.ts'
import { type Graph, routesOf, specOf } from './graph.ts'
import { ANY, byMatchingOrder, grpcMatch, httpMatch, NO_PRIORITY } from './matches.ts'
import { type RoutePlace, routeRetry, routeTimeouts, serverNamesOf } from './policies.ts'
import { retryOf } from './retries.ts'

/** One port that a virtual service is declared on, by its router or its node. */
export interface DeclaredPort {
  readonly port: number
  readonly protocol: Protocol
}

/** A virtual node's port that some route sends to. */
export interface Target {
  /** Name of its cluster. */
  readonly cluster: string
  readonly node: string
  readonly port: number
  readonly protocol: Protocol
}

/** The route table of a virtual service and what it sends to. */
export interface ServiceTable {
  readonly table: RouteTable
  readonly targets: readonly Target[]
  readonly ports: readonly DeclaredPort[]
}

/**
 * The table of a virtual service: the routes of its router in matching order, one catch-all for a node, none without
 * provider. `variant` sets the clusters of this table apart from those of the same nodes elsewhere.
 */
export function serviceTable(graph: Graph, service: string, variant: string): ServiceTable {
  const provider = specOf(graph, 'virtual-service', service)?.provider
  const origin: Origin = { kind: 'virtual-service', name: service }
  if (provider?.virtualRouter !== undefined) {
    return routerTable(graph, provider.virtualRouter.virtualRouterName, variant, { name: service, origin })
  }
  if (provider?.virtualNode !== undefined) {
    return nodeTable(graph, provider.virtualNode.virtualNodeName, variant, { name: service, origin })
  }
  return { table: { name: service, origin, ports: [], routes: [] }, targets: [], ports: [] }
}

type TableHead = Pick<RouteTable, 'name' | 'origin'>

function routerTable(graph: Graph, router: string, variant: string, head: TableHead): ServiceTable {
  const ports = (specOf(graph, 'virtual-router', router)?.listeners ?? []).map(({ portMapping }) => portMapping)
  const compiled = routesOf(graph, router)
    .map(({ name, spec }) =>
      compileRoute(graph, { router, name, service: head.name, variant, fallback: ports[0]?.port }, spec),
    )
    .sort(byMatchingOrder)
  const routes = compiled.map(({ name, match, origin, action }): Route => ({ name, origin, match, action }))
  return {
    table: { ...head, ports: ports.map(({ port }) => port), routes },
    targets: compiled.flatMap(({ targets }) => targets),
    ports,
  }
}

/** A virtual node as provider: everything goes to its first listener; its listener's timeouts stand in for a route's. */
function nodeTable(graph: Graph, node: string, variant: string, head: TableHead): ServiceTable {
  const listeners = specOf(graph, 'virtual-node', node)?.listeners ?? []
  const ports = listeners.map(({ portMapping }) => portMapping)
  const compiled = (listeners.length === 0 ? [undefined] : listeners).map((listener, index) => {
    const protocol = listener?.portMapping.protocol ?? 'http'
    const target = targetOf(graph, { node, port: listener?.portMapping.port, protocol, variant })
    const given = listener?.timeout?.[protocol]
    const place = { route: undefined, service: head.name }
    const route: Route = {
      name: index === 0 ? node : `${node}:${target.port}`,
      origin: { kind: 'virtual-node', name: node },
      // The first listener also takes requests for ports that nobody declared.
      match: index === 0 ? ANY : { ...ANY, port: target.port },
      action: {
        kind: 'forward',
        targets: [{ cluster: target.cluster, weight: 1 }],
        timeouts: routeTimeouts(graph, place, given, { kind: 'virtual-node', name: node }, defaultTimeouts(protocol)),
        retry: retryAt(graph, place, protocol, undefined),
      },
    }
    return { route, target }
  })
  return {
    // Those with a port are more specific than the first listener's catch-all.
    table: {
      ...head,
      ports: ports.map(({ port }) => port),
      routes: [...compiled.slice(1), ...compiled.slice(0, 1)].map(({ route }) => route),
    },
    targets: compiled.map(({ target }) => target),
    ports,
  }
}

interface RouteContext {
  readonly router: string
  readonly name: string
  /** The virtual service whose table it is in; undefined where the route is looked at by itself. */
  readonly service: string | undefined
  readonly variant: string
  /** The router's first port, for targets that have no listener. */
  readonly fallback: number | undefined
}

/** One route as every table that holds it has it; its targets in the order in which they were given. */
export function compileRoute(graph: Graph, context: RouteContext, spec: SpecOf<'route'>) {
  const { name, router, service, variant, fallback } = context
  const origin: Origin = { kind: 'route', name: `${router}/${name}` }
  const { protocol, match: given, route, retryPolicy } = routeParts(spec, origin)
  const serverNames = protocol === 'tcp' ? serverNamesOf(graph, origin.name) : null
  const match = serverNames === null ? given : { ...given, serverNames: serverNames.names }
  const place = { route: origin.name, service }
  const targets = route.action.weightedTargets.map(({ virtualNode, port, weight }) => ({
    weight,
    target: targetOf(graph, {
      node: virtualNode,
      port,
      preferred: match.port ?? undefined,
      protocol,
      variant,
      fallback,
    }),
  }))
  const action: ForwardAction = {
    kind: 'forward',
    targets: targets.map(({ target, weight }) => ({ cluster: target.cluster, weight })),
    timeouts: routeTimeouts(graph, place, route.timeout, origin, defaultTimeouts(protocol)),
    retry: retryAt(graph, place, protocol, retryPolicy),
  }
  return {
    name,
    origin,
    match,
    action,
    priority: spec.priority ?? NO_PRIORITY,
    targets: targets.map(({ target }) => target),
  }
}

/** The one member of a route's union in common terms. */
function routeParts({ httpRoute, http2Route, grpcRoute, tcpRoute }: SpecOf<'route'>, origin: Origin) {
  if (grpcRoute !== undefined) {
    const retryPolicy = retryOf(grpcRoute.retryPolicy, origin)
    return { protocol: 'grpc', match: grpcMatch(grpcRoute.match), route: grpcRoute, retryPolicy } as const
  }
  if (tcpRoute !== undefined) {
    const match = { ...ANY, port: tcpRoute.match?.port ?? null }
    return { protocol: 'tcp', match, route: tcpRoute, retryPolicy: undefined } as const
  }
  const http = (httpRoute ?? http2Route)!
  return {
    protocol: httpRoute === undefined ? 'http2' : 'http',
    match: { ...httpMatch(http.match), scheme: http.match.scheme ?? null },
    route: http,
    retryPolicy: retryOf(http.retryPolicy, origin),
  } as const
}

function defaultTimeouts(protocol: Protocol): Timeouts {
  return protocol === 'tcp' ? TCP_TIMEOUTS : REQUEST_TIMEOUTS
}

/** A TCP connection that broke can't be told again. */
function retryAt(
  graph: Graph,
  place: RoutePlace,
  protocol: Protocol,
  given: RetryPolicy | undefined,
): ForwardAction['retry'] {
  if (protocol === 'tcp') return null
  return routeRetry(graph, place, given, protocol === 'grpc' ? GRPC_RETRY : HTTP_RETRY)
}

/** Where App Mesh sends when nobody names a port at all. */
const LAST_RESORT_PORT = 80

/**
 * The port of a node that a route means: the one it names; else the one that the route matches, if the node listens
 * there; else the node's first listener.
 */
function targetOf(
  graph: Graph,
  want: {
    readonly node: string
    readonly port: number | undefined
    readonly protocol: Protocol
    readonly variant: string
    readonly preferred?: number | undefined
    readonly fallback?: number | undefined
  },
): Target {
  const listeners = specOf(graph, 'virtual-node', want.node)?.listeners ?? []
  const listensOn = (port: number) => listeners.find(({ portMapping }) => portMapping.port === port)?.portMapping
  const preferred = want.preferred === undefined ? undefined : listensOn(want.preferred)?.port
  const port = want.port ?? preferred ?? listeners[0]?.portMapping.port ?? want.fallback ?? LAST_RESORT_PORT
  return {
    cluster: `${want.node}:${port}${want.variant}`,
    node: want.node,
    port,
    protocol: listensOn(port)?.protocol ?? want.protocol,
  }
}

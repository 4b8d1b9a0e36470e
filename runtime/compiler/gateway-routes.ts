import type { HttpGatewayRoute } from '../model/resource/gateway-route.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { DelegateAction, Route, RouteMatch, RouteTable } from '../model/snapshot.ts'
import { type Graph, gatewayRoutesOf } from './graph.ts'
import { byMatchingOrder, grpcMatch, httpMatch, NO_PRIORITY } from './matches.ts'

/** The table of one listener of a gateway: the gateway routes that are for its port, each handing on to a virtual service. */
export function gatewayTable(graph: Graph, gateway: string, port: number): RouteTable {
  const compiled = gatewayRoutesOf(graph, gateway)
    .map(({ name, spec }) => ({ name, priority: spec.priority ?? NO_PRIORITY, ...matchAndAction(spec) }))
    .filter(({ match }) => match.port === null || match.port === port)
    .sort(byMatchingOrder)
  return {
    name: `gateway:${port}`,
    origin: { kind: 'virtual-gateway', name: gateway },
    ports: [port],
    routes: compiled.map(
      ({ name, match, action }): Route => ({
        name,
        origin: { kind: 'gateway-route', name: `${gateway}/${name}` },
        match,
        action,
      }),
    ),
  }
}

/** The name of the virtual service that a gateway route hands on to. */
export function targetService(spec: SpecOf<'gateway-route'>): string {
  return route(spec).action.target.virtualService.virtualServiceName
}

function matchAndAction(spec: SpecOf<'gateway-route'>): { match: RouteMatch; action: DelegateAction } {
  const { match, action } = route(spec)
  const http = spec.httpRoute ?? spec.http2Route
  const table = targetService(spec)
  return {
    match: {
      ...(http === undefined ? grpcMatch(spec.grpcRoute!.match) : httpMatch(http.match)),
      host: hostMatch(match.hostname),
    },
    action: {
      kind: 'delegate',
      table,
      host: action.rewrite?.hostname?.defaultTargetHostname === 'DISABLED' ? null : table,
      path: http === undefined ? null : pathRewrite(http),
      port: action.target.port ?? null,
    },
  }
}

function route(spec: SpecOf<'gateway-route'>) {
  return (spec.httpRoute ?? spec.http2Route ?? spec.grpcRoute)!
}

/** `*.example.com`, `.example.com` and `example.com` as suffixes all mean the names below example.com; `*` means any. */
function hostMatch(hostname: HttpGatewayRoute['match']['hostname']): RouteMatch['host'] {
  if (hostname?.exact !== undefined) return { kind: 'exact', value: hostname.exact.toLowerCase() }
  const suffix = hostname?.suffix?.toLowerCase().replace(/^\*?\.?/, '')
  return suffix === undefined || suffix === '' ? null : { kind: 'suffix', value: `.${suffix}` }
}

/** App Mesh user guide, Gateway routes: a matched prefix becomes `/` unless the user says otherwise. */
function pathRewrite({ match, action }: HttpGatewayRoute): DelegateAction['path'] {
  const { path, prefix } = action.rewrite ?? {}
  if (match.path !== undefined) return path?.exact === undefined ? null : { kind: 'exact', value: path.exact }
  if (prefix?.defaultPrefix === 'DISABLED') return null
  const from = match.prefix ?? '/'
  const to = prefix?.value ?? '/'
  return from === to ? null : { kind: 'prefix', from, to }
}

import { spiffeId } from '../model/identity.ts'
import type { Policy, PolicyKind } from '../model/policy.ts'
import type { Subject } from '../model/reference.ts'
import { type Duration, durationMs } from '../model/resource/duration.ts'
import type { RequestTimeout } from '../model/resource/timeout.ts'
import type { InboundListener, Origin, RetryPolicy, Timeouts } from '../model/snapshot.ts'
import { type Graph, policyFor } from './graph.ts'
import { timeoutsOf } from './timeouts.ts'

/** What the policies of a mesh come down to for one node or route. */

/** Where a route stands: policies of the route itself go before its own fields, those of what is around it after them. */
export interface RoutePlace {
  /** `router/route`; undefined for what a node as provider gets in the place of routes. */
  readonly route: string | undefined
  /** The virtual service whose table holds it; undefined where it is looked at by itself. */
  readonly service: string | undefined
}

type TargetRef = Policy['targetRef']

function policyOrigin(kind: PolicyKind, name: string): Origin {
  return { kind: 'policy', name: `${kind}/${name}` }
}

const MESH: TargetRef = { kind: 'mesh', name: '' }

function own({ route }: RoutePlace): readonly TargetRef[] {
  return route === undefined ? [] : [{ kind: 'route', name: route }]
}

function around({ service }: RoutePlace): readonly TargetRef[] {
  return service === undefined ? [MESH] : [{ kind: 'virtual-service', name: service }, MESH]
}

/** Who may call a node; null: everybody. */
export function authorizationOf(
  graph: Graph,
  { mesh, name }: Subject,
  trustDomain: string,
): InboundListener['authorization'] {
  const found = policyFor(graph, 'authorization', [{ kind: 'virtual-node', name }, MESH])
  if (found === undefined) return null
  const { mode = 'enforce', spec } = found.policy
  const allow = spec.allow.map(({ virtualNode, virtualGateway }) =>
    virtualNode === undefined
      ? spiffeId(trustDomain, { kind: 'virtual-gateway', mesh, name: virtualGateway! })
      : spiffeId(trustDomain, { kind: 'virtual-node', mesh, name: virtualNode }),
  )
  return { allow: [...new Set(allow)].sort(), mode, origin: policyOrigin('authorization', found.name) }
}

/** The server names that a TCP route is for, and the policy that says so; none: it is for every connection. */
export function serverNamesOf(
  graph: Graph,
  route: string,
): { readonly names: string[]; readonly origin: Origin } | null {
  const found = policyFor(graph, 'sni', [{ kind: 'route', name: route }])
  if (found === undefined) return null
  const names = found.policy.spec.hosts.map((host) => host.toLowerCase())
  return { names, origin: policyOrigin('sni', found.name) }
}

/** The policy of TLS that a gateway does not end. */
export function passthroughPolicy(graph: Graph, gateway: string) {
  const found = policyFor(graph, 'tls-passthrough', [{ kind: 'virtual-gateway', name: gateway }])
  return found && { origin: policyOrigin('tls-passthrough', found.name), routes: found.policy.spec.routes }
}

/** The policy of the certificates that a gateway has beside those of its listeners. */
export function certificatesPolicy(graph: Graph, gateway: string) {
  const found = policyFor(graph, 'certificates', [{ kind: 'virtual-gateway', name: gateway }])
  return found && { origin: policyOrigin('certificates', found.name), certificates: found.policy.spec.certificates }
}

/** The timeouts of a route: of its own policy, its own fields, a policy around it, or the defaults. */
export function routeTimeouts(
  graph: Graph,
  place: RoutePlace,
  given: RequestTimeout | undefined,
  origin: Origin,
  defaults: Timeouts,
): Timeouts {
  const byPolicy = (targets: readonly TargetRef[]): Timeouts | undefined => {
    const found = policyFor(graph, 'timeout', targets)
    if (found === undefined) return undefined
    const { idle, request } = found.policy.spec
    // A TCP connection has no request to time out.
    const perRequest = defaults.requestMs === 0 ? undefined : request
    return timeoutsOf({ idle, perRequest }, policyOrigin('timeout', found.name), defaults)
  }
  const ofRoute = byPolicy(own(place))
  if (ofRoute !== undefined) return ofRoute
  if (given?.idle !== undefined || given?.perRequest !== undefined) return timeoutsOf(given, origin, defaults)
  return byPolicy(around(place)) ?? defaults
}

/** How a route retries: by its own policy, its own field, a policy around it, or by default. */
export function routeRetry(
  graph: Graph,
  place: RoutePlace,
  given: RetryPolicy | undefined,
  defaults: RetryPolicy,
): RetryPolicy {
  const byPolicy = (targets: readonly TargetRef[]): RetryPolicy | undefined => {
    const found = policyFor(graph, 'retry', targets)
    if (found === undefined) return undefined
    const { maxRetries, perTryTimeout, on, methods } = found.policy.spec
    return {
      maxRetries,
      perTryTimeoutMs: perTryTimeout === undefined ? 0 : durationMs(perTryTimeout satisfies Duration),
      on: on === undefined ? defaults.on : [...new Set(on)],
      methods: methods ?? defaults.methods,
      origin: policyOrigin('retry', found.name),
    }
  }
  return byPolicy(own(place)) ?? given ?? byPolicy(around(place)) ?? defaults
}

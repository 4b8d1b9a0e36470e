import type { ResourceRef } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { DelegateAction, ForwardAction, RouteMatch } from '../model/snapshot.ts'
import { REQUEST_TIMEOUTS } from './defaults.ts'
import {
  asGiven,
  byDefault,
  byField,
  byOrigin,
  complete,
  type Effective,
  type EffectiveObject,
  items,
  milliseconds,
} from './effective-values.ts'
import { gatewayTable } from './gateway-routes.ts'
import { type Graph, specOf } from './graph.ts'
import { vipListeners } from './listeners.ts'
import { NO_PRIORITY } from './matches.ts'
import { gatewayMember, targetsOf } from './named-ports.ts'
import { serverNamesOf } from './policies.ts'
import { compileRoute, serviceTable, type Target } from './routes.ts'

/** Effective views of what routes requests. Whatever the user left open is asked of the compiler itself, so that both agree. */

type Child = ResourceRef & { readonly parent: string }

export function effectiveRoute(graph: Graph, ref: Child, spec: SpecOf<'route'>): Effective {
  const ports = specOf(graph, 'virtual-router', ref.parent)?.listeners ?? []
  const context = {
    router: ref.parent,
    name: ref.name,
    service: serviceOf(graph, ref.parent),
    variant: '',
    fallback: ports[0]?.portMapping.port,
  }
  const { match, origin, action, targets } = compileRoute(graph, context, spec)
  const { member } = targetsOf(spec)
  const given = spec[member]!
  const byPolicy = {
    timeout: action.timeouts.origin.kind === 'policy',
    retryPolicy: action.retry?.origin.kind === 'policy',
  }
  const policyPath =
    'retryPolicy' in given && given.retryPolicy !== undefined ? `spec.${member}.retryPolicy` : undefined
  const rest = {
    priority: byDefault(NO_PRIORITY, 'priority'),
    [member]: {
      match: member === 'tcpRoute' ? tcpMatch(graph, match, origin.name) : openMatch(match, member === 'grpcRoute'),
      action: { weightedTargets: targets.map((target) => ({ port: targetPort(graph, ref, target) })) },
      timeout: openTimeout(action.timeouts, member === 'tcpRoute'),
      retryPolicy: retry(
        action.retry,
        policyPath === undefined || byPolicy.retryPolicy ? undefined : { ref, path: policyPath },
      ),
    },
  }
  // What a policy of this route takes the place of says nothing any more.
  const overruled = Object.entries(byPolicy).flatMap(([name, is]) => (is ? [[name, undefined]] : []))
  const counting = { ...spec, [member]: { ...given, ...Object.fromEntries(overruled) } }
  return complete(asGiven(counting, ref, 'spec'), rest)
}

/** Of a connection the port is known, and the server name where a policy asks for it. */
function tcpMatch(graph: Graph, match: RouteMatch, route: string): EffectiveObject {
  const policy = serverNamesOf(graph, route)
  return {
    port: byDefault(match.port, 'match'),
    serverNames: policy === null ? NOTHING : byOrigin(policy.names, policy.origin),
  }
}

/** The virtual service that a router provides; of several none, since their policies may differ. */
function serviceOf(graph: Graph, router: string): string | undefined {
  const provided = [...graph.resources.values()].filter(
    ({ ref, spec }) =>
      ref.kind === 'virtual-service' &&
      (spec as SpecOf<'virtual-service'>).provider?.virtualRouter?.virtualRouterName === router,
  )
  return provided.length === 1 ? provided[0]!.ref.name : undefined
}

export function effectiveGatewayRoute(graph: Graph, ref: Child, spec: SpecOf<'gateway-route'>): Effective {
  const { member, route } = gatewayMember(spec)
  // Any port does for a gateway route that is for all of them.
  const table = gatewayTable(graph, ref.parent, route.match.port ?? 1)
  const { match, action: compiled } = table.routes.find(({ name }) => name === ref.name)!
  const action = compiled as DelegateAction
  const isGrpc = member === 'grpcRoute'
  const rewritten = action.path?.kind === 'prefix' ? action.path.to : match.path.value
  const given = asGiven(spec, ref, 'spec')
  const rewrite = {
    hostname: { defaultTargetHostname: byDefault(action.host === null ? 'DISABLED' : 'ENABLED', 'rewrite') },
    ...(isGrpc ? {} : { prefix: openPrefix(ref, spec, rewritten) }),
  }
  const rest = {
    priority: byDefault(NO_PRIORITY, 'priority'),
    [member]: {
      // Gateway routes have no scheme, and take a gRPC service as a whole.
      match: {
        hostname: byDefault(null, 'match'),
        ...openMatch(match, isGrpc),
        scheme: undefined,
        methodName: undefined,
      },
      action: { target: { port: byDefault(null, 'target-port') }, rewrite },
    },
  }
  return complete(given, rest)
}

/** What a matched prefix becomes; nothing where the whole path is matched, or the user wants it left alone. */
function openPrefix(ref: ResourceRef, spec: SpecOf<'gateway-route'>, becomes: string): EffectiveObject | undefined {
  const member = spec.httpRoute === undefined ? 'http2Route' : 'httpRoute'
  const { match, action } = spec[member]!
  const asked = action.rewrite?.prefix?.defaultPrefix
  if (match.path !== undefined || asked === 'DISABLED') return undefined
  if (asked === undefined) return { value: byDefault(becomes, 'rewrite') }
  return { value: byField(becomes, ref, `spec.${member}.action.rewrite.prefix.defaultPrefix`) }
}

export function effectiveService(graph: Graph, ref: ResourceRef, spec: SpecOf<'virtual-service'>): Effective {
  const { table, ports } = serviceTable(graph, ref.name, '')
  const { virtualRouter, virtualNode } = spec.provider ?? {}
  const provider: ResourceRef | undefined = virtualRouter
    ? { kind: 'virtual-router', mesh: ref.mesh, name: virtualRouter.virtualRouterName }
    : virtualNode && { kind: 'virtual-node', mesh: ref.mesh, name: virtualNode.virtualNodeName }
  const vip = graph.resources.get(`virtual-service/${ref.name}`)?.vip
  const listeners = vip === undefined ? [] : vipListeners(ref.name, vip, ports, new Set()).listeners
  const declared = (port: number, member: 'port' | 'protocol', value: string | number) => {
    const index = ports.findIndex((one) => one.port === port)
    if (provider === undefined || index === -1) return byDefault(value, 'service-port')
    return byField(value, provider, `spec.listeners[${index}].portMapping.${member}`)
  }
  const rest = {
    provider: byDefault(null, 'provider'),
    ...(vip === undefined ? {} : { address: byDefault(vip, 'service-address') }),
    listeners: items(
      listeners.map(({ port, protocol }) => ({
        portMapping: { port: declared(port, 'port', port), protocol: declared(port, 'protocol', protocol) },
      })),
      'service-port',
    ),
    // A router has routes of its own; a node as provider has what the compiler makes in their place.
    ...(virtualNode === undefined ? {} : { routes: table.routes.map((route) => nodeRoute(graph, provider!, route)) }),
  }
  return complete(asGiven(spec, ref, 'spec'), rest)
}

function nodeRoute(
  graph: Graph,
  node: ResourceRef,
  { match, action }: { readonly match: RouteMatch; readonly action: { readonly kind: string } },
): EffectiveObject {
  const { timeouts, retry: policy, targets } = action as ForwardAction
  const listeners = specOf(graph, 'virtual-node', node.name)?.listeners ?? []
  const index = listeners.findIndex(({ portMapping }) => targets[0]?.cluster === `${node.name}:${portMapping.port}`)
  const protocol = listeners[index]?.portMapping.protocol ?? 'http'
  const given = listeners[index]?.timeout?.[protocol]
  const timeout = openTimeout(timeouts, protocol === 'tcp')
  const path = `spec.listeners[${index}].timeout`
  return {
    match: { port: byDefault(match.port, 'match') },
    timeout: given === undefined ? timeout : complete(asGiven(given, node, `${path}.${protocol}`), timeout),
    retryPolicy: retry(policy, undefined),
  }
}

/** What a match leaves open takes everything: null for any. */
function openMatch(match: RouteMatch, isGrpc: boolean): EffectiveObject {
  const port = byDefault(match.port, 'match')
  if (isGrpc) {
    return { serviceName: byDefault(null, 'match'), methodName: byDefault(null, 'match'), metadata: NOTHING, port }
  }
  return {
    ...(match.path.kind === 'prefix' ? { prefix: byDefault(match.path.value, 'match') } : {}),
    method: byDefault(match.method, 'match'),
    scheme: byDefault(match.scheme, 'match'),
    headers: NOTHING,
    queryParameters: NOTHING,
    port,
  }
}

const NOTHING = byDefault([], 'match')

/** The timeouts where the user set none. A TCP connection has no request to time out. */
export function openTimeout(timeouts: ForwardAction['timeouts'], isTcp: boolean): EffectiveObject {
  // What a user gave only one value of has the other by default.
  const origin = timeouts.origin.kind === 'policy' ? timeouts.origin : REQUEST_TIMEOUTS.origin
  const idle = byOrigin(milliseconds(timeouts.idleMs), origin)
  return isTcp ? { idle } : { perRequest: byOrigin(milliseconds(timeouts.requestMs), origin), idle }
}

/**
 * A retry policy in full. `retryOn` and `methods` are what the events come down to; App Mesh has no words for its own
 * hidden default.
 */
function retry(
  policy: ForwardAction['retry'],
  given: { readonly ref: ResourceRef; readonly path: string } | undefined,
): EffectiveObject | undefined {
  if (policy === null) return undefined
  const value = (one: string | number | readonly string[] | ReturnType<typeof milliseconds>) =>
    given === undefined ? byOrigin(one, policy.origin) : byField(one, given.ref, given.path)
  return {
    maxRetries: value(policy.maxRetries),
    perRetryTimeout: value(milliseconds(policy.perTryTimeoutMs)),
    retryOn: value(policy.on),
    methods: value(policy.methods),
  }
}

/** The port that a target without one comes down to: that of a listener of the node, else of the router. */
function targetPort(graph: Graph, route: Child, { node, port }: Target) {
  const { mesh } = route
  const owners: ResourceRef[] = [
    { kind: 'virtual-node', mesh, name: node },
    { kind: 'virtual-router', mesh, name: route.parent },
  ]
  for (const owner of owners) {
    const kind = owner.kind as 'virtual-node' | 'virtual-router'
    const listeners = specOf(graph, kind, owner.name)?.listeners ?? []
    const index = listeners.findIndex(({ portMapping }) => portMapping.port === port)
    if (index !== -1) return byField(port, owner, `spec.listeners[${index}].portMapping.port`)
  }
  return byDefault(port, 'target-port')
}

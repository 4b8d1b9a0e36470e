import type { Policy } from '../model/policy.ts'
import type { Problem } from '../model/problem.ts'
import { type ResourceKind, type ResourceRef, refKey } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import { targetService } from './gateway-routes.ts'
import { type CompilerResource, type Graph, specOf } from './graph.ts'

/** Ports that routes and gateway routes name, checked from both sides: when a route is written, and when listeners are. */

/** What App Mesh calls the kinds in its messages. */
const KIND_NAMES: Readonly<Record<ResourceKind, string>> = {
  mesh: 'Mesh',
  'virtual-node': 'VirtualNode',
  'virtual-router': 'VirtualRouter',
  route: 'Route',
  'virtual-service': 'VirtualService',
  'virtual-gateway': 'VirtualGateway',
  'gateway-route': 'GatewayRoute',
  policy: 'Policy',
}

/** A resource in the words of App Mesh. */
export function describe({ kind, name }: ResourceRef): string {
  return `${KIND_NAMES[kind]} with name ${name}`
}

/**
 * App Mesh user guide, Routes: with several listeners the route says which one it is for; a port it names must be there.
 * That is a rule of writing the route. A router may get a second listener before its routes name one, which is the order
 * of every deployment that changes both; until then a route that matches no port is for all of them.
 */
export function routePorts(graph: Graph, ref: ResourceRef, spec: SpecOf<'route'>): readonly Problem[] {
  const { member, weightedTargets, matchPort } = targetsOf(spec)
  const router = specOf(graph, 'virtual-router', ref.parent!)
  const routerPorts = portsOf(router)
  const path = `spec.${member}.match.port`
  const problems: Problem[] = []
  if (matchPort === undefined && routerPorts.length > 1) {
    const message = `VirtualRouter ${ref.parent} has several listeners, so the route must match a port: ${listOf(routerPorts)}.`
    problems.push({ path, code: 'missing-port', message })
  } else if (matchPort !== undefined) {
    problems.push(...notListening(path, matchPort, routerPorts, `VirtualRouter ${ref.parent}`))
  }
  weightedTargets.forEach(({ virtualNode, port }, index) => {
    if (port === undefined) return
    const ports = portsOf(specOf(graph, 'virtual-node', virtualNode))
    const at = `spec.${member}.action.weightedTargets[${index}].port`
    problems.push(...notListening(at, port, ports, `VirtualNode ${virtualNode}`))
  })
  return problems
}

export function gatewayRoutePorts(graph: Graph, ref: ResourceRef, spec: SpecOf<'gateway-route'>): readonly Problem[] {
  const { member, route } = gatewayMember(spec)
  const gatewayPorts = portsOf(specOf(graph, 'virtual-gateway', ref.parent!))
  const service = targetService(spec)
  const { port } = route.action.target
  const matchPort = route.match.port
  return [
    ...(matchPort === undefined
      ? []
      : notListening(`spec.${member}.match.port`, matchPort, gatewayPorts, `VirtualGateway ${ref.parent}`)),
    ...(port === undefined
      ? []
      : notListening(
          `spec.${member}.action.target.port`,
          port,
          declaredPorts(graph, graph.resources.get(`virtual-service/${service}`)!),
          `VirtualService ${service}`,
        )),
  ]
}

/** What a put may take ports away from, where it does so, and what to do instead. */
const PORT_OWNERS: Readonly<Partial<Record<ResourceKind, { readonly path: string; readonly advice: string }>>> = {
  'virtual-node': { path: 'spec.listeners', advice: 'keep that listener beside the new one' },
  'virtual-router': { path: 'spec.listeners', advice: 'keep that listener beside the new one' },
  'virtual-gateway': { path: 'spec.listeners', advice: 'keep that listener beside the new one' },
  'virtual-service': { path: 'spec.provider', advice: 'let the new provider listen there too' },
}

/**
 * What keeps listeners from being changed, or a virtual service from being provided by another: code
 * `port-in-use-by-route` for each route, gateway route or policy that names a port which would be gone. Otherwise the route
 * would send where nobody listens. More listeners are never refused: see {@link routePorts}.
 */
export function lostPorts(graph: Graph, { ref, spec }: CompilerResource): readonly Problem[] {
  const present = graph.resources.get(refKey(ref))
  const owner = PORT_OWNERS[ref.kind]
  if (present === undefined || owner === undefined) return []
  const before = declaredPorts(graph, present)
  const after = declaredPorts(graph, { ref, spec })
  // What does not change is no reason to refuse anything else.
  if (before.length === after.length && before.every((port) => after.includes(port))) return []
  return [...graph.resources.values()].flatMap((user) => {
    const lost = new Set(namedPorts(graph, user, ref).filter((port) => !after.includes(port)))
    return [...lost].map((port) => ({
      path: owner.path,
      code: 'port-in-use-by-route',
      message:
        `${describe(user.ref)} names port ${port} of ${describe(ref)}, which would not listen there any more; ` +
        `${owner.advice} until the route is changed or removed, or first let the route name no port.`,
    }))
  })
}

/** The ports that a node, router or gateway listens on, or the provider of a virtual service. */
function declaredPorts(graph: Graph, { ref, spec }: CompilerResource): readonly number[] {
  if (ref.kind !== 'virtual-service') return portsOf(spec as Listening)
  const { virtualNode, virtualRouter } = (spec as SpecOf<'virtual-service'>).provider ?? {}
  if (virtualNode !== undefined) return portsOf(specOf(graph, 'virtual-node', virtualNode.virtualNodeName))
  return virtualRouter === undefined ? [] : portsOf(specOf(graph, 'virtual-router', virtualRouter.virtualRouterName))
}

/** The ports of a node, router, gateway or virtual service that a route, a gateway route or a policy names. */
function namedPorts(graph: Graph, { ref, spec }: CompilerResource, owner: ResourceRef): readonly number[] {
  const isInside = ref.parent === owner.name
  const ports: (number | undefined)[] = []
  if (ref.kind === 'route') {
    const { weightedTargets, matchPort } = targetsOf(spec as SpecOf<'route'>)
    if (owner.kind === 'virtual-router' && isInside) ports.push(matchPort)
    if (owner.kind === 'virtual-node') {
      ports.push(...weightedTargets.flatMap(({ virtualNode, port }) => (virtualNode === owner.name ? [port] : [])))
    }
  } else if (ref.kind === 'gateway-route') {
    const { route } = gatewayMember(spec as SpecOf<'gateway-route'>)
    if (owner.kind === 'virtual-gateway' && isInside) ports.push(route.match.port)
    if (provides(graph, owner, targetService(spec as SpecOf<'gateway-route'>))) ports.push(route.action.target.port)
  } else if (ref.kind === 'policy') {
    const policy = spec as Policy
    if (policy.kind !== 'tls-passthrough') return []
    ports.push(
      ...policy.spec.routes.flatMap(({ virtualService, port }) =>
        provides(graph, owner, virtualService) ? [port] : [],
      ),
    )
  }
  return ports.filter((port) => port !== undefined)
}

/** Whether this is the virtual service, or the node or router that is its provider. */
function provides(graph: Graph, { kind, name }: ResourceRef, service: string): boolean {
  if (kind === 'virtual-service') return name === service
  const provider = specOf(graph, 'virtual-service', service)?.provider
  return (
    (kind === 'virtual-router' && provider?.virtualRouter?.virtualRouterName === name) ||
    (kind === 'virtual-node' && provider?.virtualNode?.virtualNodeName === name)
  )
}

interface Listening {
  readonly listeners?: readonly { readonly portMapping: { readonly port: number } }[] | undefined
}

function portsOf(spec: Listening | undefined): readonly number[] {
  return (spec?.listeners ?? []).map(({ portMapping }) => portMapping.port)
}

/** A resource that declares no port at all takes any. */
function notListening(path: string, port: number, ports: readonly number[], owner: string): readonly Problem[] {
  if (ports.length === 0 || ports.includes(port)) return []
  const message = `${owner} has no listener on port ${port}; use one of ${listOf(ports)}, or add the listener first.`
  return [{ path, code: 'port-not-listening', message }]
}

function listOf(ports: readonly number[]): string {
  return ports.join(', ')
}

export function targetsOf(spec: SpecOf<'route'>) {
  const member = (['httpRoute', 'http2Route', 'grpcRoute', 'tcpRoute'] as const).find(
    (name) => spec[name] !== undefined,
  )!
  const route = spec[member]!
  return { member, weightedTargets: route.action.weightedTargets, matchPort: route.match?.port }
}

export function gatewayMember(spec: SpecOf<'gateway-route'>) {
  const member = (['httpRoute', 'http2Route', 'grpcRoute'] as const).find((name) => spec[name] !== undefined)!
  return { member, route: spec[member]! }
}

import type { Problem } from '../model/problem.ts'
import { type ResourceKind, type ResourceRef, refKey } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import { targetService } from './gateway-routes.ts'
import { type CompilerResource, type Graph, parentOf, specOf } from './graph.ts'
import { serviceTable } from './routes.ts'

/** What App Mesh calls the kinds in its messages. */
const KIND_NAMES: Readonly<Record<ResourceKind, string>> = {
  mesh: 'Mesh',
  'virtual-node': 'VirtualNode',
  'virtual-router': 'VirtualRouter',
  route: 'Route',
  'virtual-service': 'VirtualService',
  'virtual-gateway': 'VirtualGateway',
  'gateway-route': 'GatewayRoute',
}

/** A name in a spec that must be that of an existing resource, and where it stands. */
interface Reference {
  readonly path: string
  readonly ref: ResourceRef
}

/**
 * What keeps a resource, valid in itself, from being written into this mesh: code `missing-reference` for anything it
 * names that does not exist (backends excepted, which may come later), `port-not-listening` and `missing-port` for ports.
 */
export function validatePut(graph: Graph, resource: CompilerResource): readonly Problem[] {
  const missing = [...parentReferences(resource.ref), ...references(resource)]
    .filter(({ ref }) => !graph.resources.has(refKey(ref)))
    .map(({ path, ref }) => ({ path, code: 'missing-reference', message: `${describe(ref)} is missing` }))
  // Ports of something that is not there cannot be looked at.
  if (missing.length > 0) return missing
  if (resource.ref.kind === 'route') return routePorts(graph, resource.ref, resource.spec as SpecOf<'route'>)
  if (resource.ref.kind === 'gateway-route') {
    return gatewayRoutePorts(graph, resource.ref, resource.spec as SpecOf<'gateway-route'>)
  }
  return []
}

/** What keeps a resource from being removed: code `in-use`, one problem for each resource that needs it. */
export function validateRemove(graph: Graph, ref: ResourceRef): readonly Problem[] {
  const users = [...graph.resources.values()].filter(
    (resource) => !isSame(resource.ref, ref) && (isInside(resource.ref, ref) || refersTo(resource, ref)),
  )
  return users.map((user) => ({
    path: '',
    code: 'in-use',
    message: `${describe(ref)} is in use by ${describe(user.ref)}; remove or change that first`,
  }))
}

function isSame(a: ResourceRef, b: ResourceRef): boolean {
  return a.kind === b.kind && a.name === b.name && a.parent === b.parent
}

function isInside(ref: ResourceRef, container: ResourceRef): boolean {
  if (container.kind === 'mesh') return true
  const parent = parentOf(ref)
  return parent !== undefined && isSame(parent, container)
}

function refersTo(resource: CompilerResource, ref: ResourceRef): boolean {
  return references(resource).some((reference) => isSame(reference.ref, ref))
}

function describe({ kind, name }: ResourceRef): string {
  return `${KIND_NAMES[kind]} with name ${name}`
}

/** The mesh, and the router or gateway that contains the resource. */
function parentReferences(ref: ResourceRef): readonly Reference[] {
  if (ref.kind === 'mesh') return []
  const mesh = { path: 'mesh', ref: { kind: 'mesh', mesh: ref.mesh, name: ref.mesh } } as const
  const parent = parentOf(ref)
  return parent === undefined ? [mesh] : [mesh, { path: 'parent', ref: parent }]
}

/** Everything that a spec names and that must exist. */
function references({ ref, spec }: CompilerResource): readonly Reference[] {
  const to = (kind: ResourceKind, name: string, path: string) => ({ path, ref: { kind, mesh: ref.mesh, name } })
  if (ref.kind === 'route') {
    const { member, weightedTargets } = targetsOf(spec as SpecOf<'route'>)
    return weightedTargets.map(({ virtualNode }, index) =>
      to('virtual-node', virtualNode, `spec.${member}.action.weightedTargets[${index}].virtualNode`),
    )
  }
  if (ref.kind === 'virtual-service') {
    const { virtualNode, virtualRouter } = (spec as SpecOf<'virtual-service'>).provider ?? {}
    const path = 'spec.provider'
    if (virtualNode !== undefined) {
      return [to('virtual-node', virtualNode.virtualNodeName, `${path}.virtualNode.virtualNodeName`)]
    }
    if (virtualRouter === undefined) return []
    return [to('virtual-router', virtualRouter.virtualRouterName, `${path}.virtualRouter.virtualRouterName`)]
  }
  if (ref.kind === 'gateway-route') {
    const { member } = gatewayMember(spec as SpecOf<'gateway-route'>)
    const path = `spec.${member}.action.target.virtualService.virtualServiceName`
    return [to('virtual-service', targetService(spec as SpecOf<'gateway-route'>), path)]
  }
  return []
}

/** App Mesh user guide, Routes: with several listeners the route says which one it is for; a port it names must be there. */
function routePorts(graph: Graph, ref: ResourceRef, spec: SpecOf<'route'>): readonly Problem[] {
  const { member, weightedTargets, matchPort } = targetsOf(spec)
  const router = specOf(graph, 'virtual-router', ref.parent!)
  const routerPorts = (router?.listeners ?? []).map(({ portMapping }) => portMapping.port)
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
    const ports = (specOf(graph, 'virtual-node', virtualNode)?.listeners ?? []).map(
      ({ portMapping }) => portMapping.port,
    )
    const at = `spec.${member}.action.weightedTargets[${index}].port`
    problems.push(...notListening(at, port, ports, `VirtualNode ${virtualNode}`))
  })
  return problems
}

function gatewayRoutePorts(graph: Graph, ref: ResourceRef, spec: SpecOf<'gateway-route'>): readonly Problem[] {
  const { member, route } = gatewayMember(spec)
  const gatewayPorts = (specOf(graph, 'virtual-gateway', ref.parent!)?.listeners ?? []).map(
    ({ portMapping }) => portMapping.port,
  )
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
          serviceTable(graph, service, '').table.ports,
          `VirtualService ${service}`,
        )),
  ]
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

function targetsOf(spec: SpecOf<'route'>) {
  const member = (['httpRoute', 'http2Route', 'grpcRoute', 'tcpRoute'] as const).find(
    (name) => spec[name] !== undefined,
  )!
  const route = spec[member]!
  return { member, weightedTargets: route.action.weightedTargets, matchPort: route.match?.port }
}

function gatewayMember(spec: SpecOf<'gateway-route'>) {
  const member = (['httpRoute', 'http2Route', 'grpcRoute'] as const).find((name) => spec[name] !== undefined)!
  return { member, route: spec[member]! }
}

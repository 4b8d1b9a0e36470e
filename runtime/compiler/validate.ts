import type { Policy } from '../model/policy.ts'
import type { Problem } from '../model/problem.ts'
import { type ResourceKind, type ResourceRef, refKey } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import { targetService } from './gateway-routes.ts'
import { tcpPorts } from './gateway-tls.ts'
import { type CompilerResource, type Graph, parentOf, policyFor, policyKey } from './graph.ts'
import { describe, gatewayMember, gatewayRoutePorts, lostPorts, routePorts, targetsOf } from './named-ports.ts'

/** A name in a spec that must be that of an existing resource, and where it stands. */
interface Reference {
  readonly path: string
  readonly ref: ResourceRef
}

/**
 * What keeps a resource, valid in itself, from being written into this mesh: code `missing-reference` for anything it
 * names that does not exist (backends excepted, which may come later), `port-not-listening` and `missing-port` for ports
 * of routes, `port-in-use-by-route` for listeners and providers, `one-policy` for a second policy of its kind on one target, `not-tcp` for
 * server names of what does not speak TCP.
 */
export function validatePut(graph: Graph, resource: CompilerResource): readonly Problem[] {
  const missing = [...parentReferences(resource.ref), ...references(resource)]
    .filter(({ ref }) => !graph.resources.has(refKey(ref)))
    .map(({ path, ref }) => ({ path, code: 'missing-reference', message: `${describe(ref)} is missing` }))
  // Ports of something that is not there cannot be looked at.
  if (missing.length > 0) return missing
  if (resource.ref.kind === 'route') {
    const spec = resource.spec as SpecOf<'route'>
    return [...routePorts(graph, resource.ref, spec), ...lostServerNames(graph, resource.ref, spec)]
  }
  if (resource.ref.kind === 'gateway-route') {
    return gatewayRoutePorts(graph, resource.ref, resource.spec as SpecOf<'gateway-route'>)
  }
  if (resource.ref.kind === 'policy') {
    const policy = resource.spec as Policy
    return [...rivalPolicy(graph, resource.ref, policy), ...unfitTarget(graph, policy)]
  }
  return lostPorts(graph, resource)
}

/** What a resource is asked only when it is written: others may change around it, and it keeps a meaning. */
const RULES_OF_WRITING = new Set(['missing-port', 'port-not-listening', 'not-tcp'])

/**
 * What keeps a resource from standing in a mesh as it stands there: {@link validatePut} but for the ports and protocols that
 * it names. None in any state that writes under these rules led to, so that each of them can be restored.
 */
export function validateStanding(graph: Graph, resource: CompilerResource): readonly Problem[] {
  return validatePut(graph, resource).filter(({ code }) => !RULES_OF_WRITING.has(code))
}

/** Of two policies for one target nobody could say which counts. */
function rivalPolicy(graph: Graph, ref: ResourceRef, policy: Policy): readonly Problem[] {
  const rival = graph.policies.get(policyKey(policy))
  if (rival === undefined || rival.ref.name === ref.name) return []
  const target = `${policy.targetRef.kind} ${policy.targetRef.name}`
  const message = `${target} has ${policy.kind} policy ${rival.ref.name} already; change that one, or delete it first.`
  return [{ path: 'targetRef', code: 'one-policy', message }]
}

/** Server names are for connections that carry what nobody looks into; requests are routed by their host. */
function unfitTarget(graph: Graph, policy: Policy): readonly Problem[] {
  if (policy.kind === 'tls-passthrough') {
    return policy.spec.routes.flatMap(({ virtualService, port }, index) => {
      const ports = tcpPorts(graph, virtualService)
      const fits = port === undefined ? ports.length > 0 : ports.includes(port)
      if (fits) return []
      const known = ports.length === 0 ? 'none of its ports does' : `these ports do: ${ports.join(', ')}`
      const where = port === undefined ? '' : ` on port ${port}`
      const message = `VirtualService ${virtualService} speaks no TCP${where}; ${known}.`
      return [
        { path: `spec.routes[${index}].${port === undefined ? 'virtualService' : 'port'}`, code: 'not-tcp', message },
      ]
    })
  }
  if (policy.kind !== 'sni') return []
  const { name } = policy.targetRef
  const route = graph.resources.get(`route/${name}`)!.spec as SpecOf<'route'>
  if (route.tcpRoute !== undefined) return []
  const message = `Route ${name} is for requests, which are routed by their host; attach sni to a TCP route.`
  return [{ path: 'targetRef', code: 'not-tcp', message }]
}

/** A route that came to be for requests could not obey its policy any more. */
function lostServerNames(graph: Graph, ref: ResourceRef, { tcpRoute }: SpecOf<'route'>): readonly Problem[] {
  const found =
    tcpRoute === undefined ? policyFor(graph, 'sni', [{ kind: 'route', name: `${ref.parent}/${ref.name}` }]) : undefined
  if (found === undefined) return []
  const message = `Policy sni/${found.name} of this route is for TCP only; delete it first (of a stack, by a deployment before this one), or keep tcpRoute.`
  return [{ path: 'spec', code: 'not-tcp', message }]
}

/** What keeps a resource from being removed: code `in-use`, one problem for each resource that needs it. */
export function validateRemove(graph: Graph, ref: ResourceRef): readonly Problem[] {
  return resourceUsers(graph, ref).map((user) => ({
    path: '',
    code: 'in-use',
    message: `${describe(ref)} is in use by ${describe(user)}; remove or change that first`,
  }))
}

/** Every resource that lives in this one or must have it. */
export function resourceUsers(graph: Graph, ref: ResourceRef): readonly ResourceRef[] {
  return [...graph.resources.values()]
    .filter((resource) => !isSame(resource.ref, ref) && (isInside(resource.ref, ref) || refersTo(resource, ref)))
    .map((resource) => resource.ref)
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
  if (ref.kind === 'policy') {
    const policy = spec as Policy
    const target = targetOf(ref.mesh, policy.targetRef)
    if (policy.kind !== 'tls-passthrough') return [target]
    const services = policy.spec.routes.map(({ virtualService }, index) =>
      to('virtual-service', virtualService, `spec.routes[${index}].virtualService`),
    )
    return [target, ...services]
  }
  return []
}

/** A policy's target; a route is named together with its router. */
function targetOf(mesh: string, { kind, name }: Policy['targetRef']): Reference {
  const slash = name.indexOf('/')
  const ref: ResourceRef =
    kind === 'route' && slash !== -1
      ? { kind, mesh, parent: name.slice(0, slash), name: name.slice(slash + 1) }
      : { kind, mesh, name }
  return { path: 'targetRef', ref }
}

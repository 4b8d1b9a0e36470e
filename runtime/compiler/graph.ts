import { type ResourceKind, type ResourceRef, refKey, type Subject } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'

/** What the compiler needs to know of a resource. Its spec went through `validateSpec`. */
export interface CompilerResource {
  readonly ref: ResourceRef
  readonly spec: unknown
  /** Virtual services only: the loopback address that stands for it. */
  readonly vip?: string
}

/** The resources of one mesh, indexed. Immutable; built once per generation and shared by all subjects. */
export interface Graph {
  /** By {@link refKey}. */
  readonly resources: ReadonlyMap<string, CompilerResource>
  /** Routes by router and gateway routes by gateway: {@link refKey} of the parent. */
  readonly children: ReadonlyMap<string, readonly CompilerResource[]>
}

/** Indexes the resources of one mesh, the mesh itself among them. Their order does not matter. */
export function buildGraph(resources: readonly CompilerResource[]): Graph {
  const children = new Map<string, CompilerResource[]>()
  for (const resource of resources) {
    const parent = parentOf(resource.ref)
    if (parent === undefined) continue
    const siblings = children.get(refKey(parent))
    if (siblings === undefined) children.set(refKey(parent), [resource])
    else siblings.push(resource)
  }
  return { resources: new Map(resources.map((resource) => [refKey(resource.ref), resource])), children }
}

/** The router of a route, the gateway of a gateway route; undefined for all others. */
export function parentOf(ref: ResourceRef): ResourceRef | undefined {
  if (ref.parent === undefined) return undefined
  return { kind: ref.kind === 'route' ? 'virtual-router' : 'virtual-gateway', mesh: ref.mesh, name: ref.parent }
}

type TopKind = Exclude<ResourceKind, 'route' | 'gateway-route'>

/** The spec of a resource that has no parent, or undefined when there is no such resource. */
export function specOf<K extends TopKind>(graph: Graph, kind: K, name: string): SpecOf<K> | undefined {
  return graph.resources.get(`${kind}/${name}`)?.spec as SpecOf<K> | undefined
}

/** The mesh's own spec; a mesh that is not there has the spec of one without settings. */
export function meshSpec(graph: Graph, subject: Subject): SpecOf<'mesh'> {
  return specOf(graph, 'mesh', subject.mesh) ?? {}
}

/** The routes of a router, in no order that means anything. */
export function routesOf(graph: Graph, router: string) {
  return (graph.children.get(`virtual-router/${router}`) ?? []).map(({ ref, spec }) => ({
    name: ref.name,
    spec: spec as SpecOf<'route'>,
  }))
}

/** The gateway routes of a gateway, in no order that means anything. */
export function gatewayRoutesOf(graph: Graph, gateway: string) {
  return (graph.children.get(`virtual-gateway/${gateway}`) ?? []).map(({ ref, spec }) => ({
    name: ref.name,
    spec: spec as SpecOf<'gateway-route'>,
  }))
}

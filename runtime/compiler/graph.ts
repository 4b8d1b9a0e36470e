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
export interface Graph<R extends CompilerResource = CompilerResource> {
  /** By {@link refKey}. */
  readonly resources: ReadonlyMap<string, R>
  /** Routes by router and gateway routes by gateway: {@link refKey} of the parent. */
  readonly children: ReadonlyMap<string, readonly R[]>
}

/** Indexes the resources of one mesh, the mesh itself among them. Their order does not matter. */
export function buildGraph<R extends CompilerResource>(resources: readonly R[]): Graph<R> {
  const children = new Map<string, R[]>()
  for (const resource of resources) {
    const parent = parentOf(resource.ref)
    if (parent === undefined) continue
    const siblings = children.get(refKey(parent))
    if (siblings === undefined) children.set(refKey(parent), [resource])
    else siblings.push(resource)
  }
  return { resources: new Map(resources.map((resource) => [refKey(resource.ref), resource])), children }
}

/** What a commit does to one resource. */
export type GraphChange<R extends CompilerResource> =
  | { readonly kind: 'put'; readonly resource: R }
  | { readonly kind: 'remove'; readonly ref: ResourceRef }

/** The graph after these changes; the one before stays as it is. Costs two map copies, however large the specs are. */
export function changeGraph<R extends CompilerResource>(graph: Graph<R>, changes: readonly GraphChange<R>[]): Graph<R> {
  const resources = new Map(graph.resources)
  const children = new Map(graph.children)
  for (const change of changes) {
    const ref = change.kind === 'put' ? change.resource.ref : change.ref
    if (change.kind === 'put') resources.set(refKey(ref), change.resource)
    else resources.delete(refKey(ref))
    const parent = parentOf(ref)
    if (parent === undefined) continue
    const others = (children.get(refKey(parent)) ?? []).filter((sibling) => sibling.ref.name !== ref.name)
    const siblings = change.kind === 'put' ? [...others, change.resource] : others
    if (siblings.length === 0) children.delete(refKey(parent))
    else children.set(refKey(parent), siblings)
  }
  return { resources, children }
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

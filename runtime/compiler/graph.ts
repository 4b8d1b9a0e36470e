import type { Policy, PolicyKind, PolicyOf } from '../model/policy.ts'
import { type AppMeshKind, type ResourceRef, refKey, type Subject } from '../model/reference.ts'
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
  /** By {@link policyKey}. There is one policy of a kind for a target at most. */
  readonly policies: ReadonlyMap<string, R>
}

/** Indexes the resources of one mesh, the mesh itself among them. Their order does not matter. */
export function buildGraph<R extends CompilerResource>(resources: readonly R[]): Graph<R> {
  const children = new Map<string, R[]>()
  const policies = new Map<string, R>()
  for (const resource of resources) {
    if (resource.ref.kind === 'policy') policies.set(policyKey(resource.spec as Policy), resource)
    const parent = parentOf(resource.ref)
    if (parent === undefined) continue
    const siblings = children.get(refKey(parent))
    if (siblings === undefined) children.set(refKey(parent), [resource])
    else siblings.push(resource)
  }
  return { resources: new Map(resources.map((resource) => [refKey(resource.ref), resource])), children, policies }
}

/** What a commit does to one resource. */
export type GraphChange<R extends CompilerResource> =
  | { readonly kind: 'put'; readonly resource: R }
  | { readonly kind: 'remove'; readonly ref: ResourceRef }

/**
 * The graph after these changes, each to a resource of its own; the one before stays as it is. Costs three map copies,
 * however large the specs are.
 */
export function changeGraph<R extends CompilerResource>(graph: Graph<R>, changes: readonly GraphChange<R>[]): Graph<R> {
  const resources = new Map(graph.resources)
  const children = new Map(graph.children)
  const policies = new Map(graph.policies)
  // All places of policies are given up first: in one commit the place of one may pass to another, in any order.
  for (const change of changes) {
    const before = resources.get(refKey(refOf(change)))
    if (before?.ref.kind === 'policy') policies.delete(policyKey(before.spec as Policy))
  }
  for (const change of changes) {
    const ref = refOf(change)
    if (change.kind === 'put' && ref.kind === 'policy') {
      policies.set(policyKey(change.resource.spec as Policy), change.resource)
    }
    if (change.kind === 'put') resources.set(refKey(ref), change.resource)
    else resources.delete(refKey(ref))
    const parent = parentOf(ref)
    if (parent === undefined) continue
    const others = (children.get(refKey(parent)) ?? []).filter((sibling) => sibling.ref.name !== ref.name)
    const siblings = change.kind === 'put' ? [...others, change.resource] : others
    if (siblings.length === 0) children.delete(refKey(parent))
    else children.set(refKey(parent), siblings)
  }
  return { resources, children, policies }
}

function refOf(change: GraphChange<CompilerResource>): ResourceRef {
  return change.kind === 'put' ? change.resource.ref : change.ref
}

/** The router of a route, the gateway of a gateway route; undefined for all others. */
export function parentOf({ kind, mesh, parent }: ResourceRef): ResourceRef | undefined {
  if (parent === undefined || kind === 'policy') return undefined
  return { kind: kind === 'route' ? 'virtual-router' : 'virtual-gateway', mesh, name: parent }
}

/** What a policy is for: its kind and the {@link refKey} of its target. There is one mesh in a graph. */
export function policyKey({ kind, targetRef }: Pick<Policy, 'kind' | 'targetRef'>): string {
  return targetRef.kind === 'mesh' ? `${kind} mesh` : `${kind} ${targetRef.kind}/${targetRef.name}`
}

/** The policy of a kind for the first of these targets that has one: give the most specific first. */
export function policyFor<K extends PolicyKind>(
  graph: Graph,
  kind: K,
  targets: readonly Policy['targetRef'][],
): { readonly name: string; readonly policy: PolicyOf<K> } | undefined {
  // Most meshes have none, and this is asked for each route.
  if (graph.policies.size === 0) return undefined
  for (const targetRef of targets) {
    const found = graph.policies.get(policyKey({ kind, targetRef }))
    if (found !== undefined) return { name: found.ref.name, policy: found.spec as PolicyOf<K> }
  }
  return undefined
}

type TopKind = Exclude<AppMeshKind, 'route' | 'gateway-route'>

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

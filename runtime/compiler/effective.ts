import type { Problem } from '../model/problem.ts'
import { type ResourceRef, refKey, type Subject } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import { effectiveGateway, effectiveMesh, effectiveNode, effectiveRouter } from './effective-nodes.ts'
import { effectiveGatewayRoute, effectiveRoute, effectiveService } from './effective-routes.ts'
import { asGiven, type Effective } from './effective-values.ts'
import { type Graph, meshSpec } from './graph.ts'
import { notAppliedOfGateway, notAppliedOfNode } from './not-applied.ts'

/** A resource as the mesh runs it. */
export interface EffectiveResource {
  readonly spec: Effective
  /** What the user set but no proxy obeys in full; paths into the spec. */
  readonly warnings: readonly Problem[]
}

/**
 * Every value of a resource with its origin: what the user set, and what the compiler fills in where nothing was set.
 * Undefined when there is no such resource.
 */
export function effective(graph: Graph, ref: ResourceRef): EffectiveResource | undefined {
  const spec = graph.resources.get(refKey(ref))?.spec
  if (spec === undefined) return undefined
  return { spec: viewOf(graph, ref, spec), warnings: warningsOf(graph, ref, spec) }
}

function viewOf(graph: Graph, ref: ResourceRef, spec: unknown): Effective {
  const child = { ...ref, parent: ref.parent ?? '' }
  switch (ref.kind) {
    case 'mesh':
      return effectiveMesh(ref, spec as SpecOf<'mesh'>)
    case 'virtual-node':
      return effectiveNode(graph, { ...ref, kind: ref.kind }, spec as SpecOf<'virtual-node'>)
    case 'virtual-router':
      return effectiveRouter(ref, spec as SpecOf<'virtual-router'>)
    case 'route':
      return effectiveRoute(graph, child, spec as SpecOf<'route'>)
    case 'virtual-service':
      return effectiveService(graph, ref, spec as SpecOf<'virtual-service'>)
    case 'virtual-gateway':
      return effectiveGateway(graph, { ...ref, kind: ref.kind }, spec as SpecOf<'virtual-gateway'>)
    case 'gateway-route':
      return effectiveGatewayRoute(graph, child, spec as SpecOf<'gateway-route'>)
    case 'policy':
      return asGiven(spec, ref, 'spec')
  }
}

function warningsOf(graph: Graph, ref: ResourceRef, spec: unknown): readonly Problem[] {
  if (ref.kind === 'virtual-node')
    return notAppliedOfNode(spec as SpecOf<'virtual-node'>, meshSpec(graph, ref as Subject))
  return ref.kind === 'virtual-gateway' ? notAppliedOfGateway(graph, ref.name, spec as SpecOf<'virtual-gateway'>) : []
}

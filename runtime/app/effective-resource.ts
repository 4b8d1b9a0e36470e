import { type EffectiveResource, effective } from '../compiler/effective.ts'
import type { Graph } from '../compiler/graph.ts'
import { type ResourceRef, refKey } from '../model/reference.ts'
import { containersOf, missing } from './describe-resource.ts'

export interface EffectiveView extends EffectiveResource {
  readonly ref: ResourceRef
  /** Of the mesh that was looked at: values of one resource come from others, too. */
  readonly generation: number
}

/** A resource as the mesh runs it now. @throws MeshError `not-found`, naming the mesh or parent when it is that which is missing. */
export function effectiveResource(deps: {
  readonly states: { current(mesh: string): Promise<{ readonly generation: number; readonly graph: Graph }> }
}): (ref: ResourceRef) => Promise<EffectiveView> {
  return async (ref) => {
    const { generation, graph } = await deps.states.current(ref.mesh)
    const found = effective(graph, ref)
    if (found !== undefined) return { ref, generation, ...found }
    throw missing(containersOf(ref).find((container) => !graph.resources.has(refKey(container))) ?? ref)
  }
}

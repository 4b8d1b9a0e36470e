import { buildGraph } from '../compiler/graph.ts'
import { validatePut, validateRemove } from '../compiler/validate.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { ResourceKind, ResourceRef } from '../model/reference.ts'
import { validateRef, validateSpec } from '../model/resource/validate.ts'
import type { StoredResource } from '../ports.ts'
import type { MeshState } from './write.ts'

/** Everything that is wrong with a spec alone; paths begin with `spec`. */
export function checkSpec(kind: ResourceKind, spec: unknown): readonly Problem[] {
  const checked = validateSpec(kind, spec)
  return checked.ok ? [] : checked.problems
}

/** @throws MeshError `invalid` with everything that is wrong with names and spec, before anything else is looked at. */
export function checkResource(ref: ResourceRef, spec: unknown): void {
  refuse(ref, [...validateRef(ref), ...checkSpec(ref.kind, spec)])
}

/** @throws MeshError `invalid` with everything in which the resource does not fit the others of its mesh. */
export function refuseUnlessSound(state: MeshState, resource: StoredResource): void {
  refuse(resource.ref, validatePut(buildGraph(state.resources), resource))
}

/** Who still refers to a resource. */
export function removalProblems(state: MeshState, ref: ResourceRef): readonly Problem[] {
  return validateRemove(buildGraph(state.resources), ref)
}

function refuse(ref: ResourceRef, problems: readonly Problem[]): void {
  if (problems.length === 0) return
  throw new MeshError('invalid', `${ref.kind} '${ref.name}' is not valid; nothing was changed`, { problems })
}

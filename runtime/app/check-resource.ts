import { validatePut } from '../compiler/validate.ts'
import { MeshError, type Problem } from '../model/problem.ts'
import type { ResourceKind, ResourceRef } from '../model/reference.ts'
import { validateRef, validateSpec } from '../model/resource/validate.ts'
import type { StoredResource } from '../ports.ts'
import type { MeshState } from './mesh-states.ts'

/** Everything that is wrong with a spec alone; paths begin with `spec`. */
export function checkSpec(kind: ResourceKind, spec: unknown): readonly Problem[] {
  const checked = validateSpec(kind, spec)
  return checked.ok ? [] : checked.problems
}

/** @throws MeshError `invalid` with everything that is wrong with names and spec, before anything else is looked at. */
export function checkResource(ref: ResourceRef, spec: unknown): void {
  refuse(ref, [...validateRef(ref), ...checkSpec(ref.kind, spec)])
}

/**
 * @throws MeshError `not-found`, in App Mesh's words, when the resource names one that is not there; `invalid` with
 * everything else in which it does not fit the others of its mesh.
 */
export function refuseUnlessSound({ graph }: MeshState, resource: StoredResource): void {
  const problems = validatePut(graph, resource)
  const missing = problems.find(({ code }) => code === 'missing-reference')
  if (missing !== undefined) throw new MeshError('not-found', missing.message, { problems })
  refuse(resource.ref, problems)
}

function refuse(ref: ResourceRef, problems: readonly Problem[]): void {
  if (problems.length === 0) return
  throw new MeshError('invalid', `${ref.kind} '${ref.name}' is not valid; nothing was changed`, { problems })
}

import { describe } from '../compiler/named-ports.ts'
import { MeshError } from '../model/problem.ts'
import type { ResourceRef, Subject } from '../model/reference.ts'
import type { ResourceStore, StoredResource } from '../ports.ts'

/** Reads one resource. @throws MeshError `not-found`, naming the mesh or parent when it is that which is missing. */
export function describeResource(deps: {
  readonly store: ResourceStore
}): (ref: ResourceRef) => Promise<StoredResource> {
  return async (ref) => {
    const found = await deps.store.get(ref)
    if (found !== undefined) return found
    await requireContainers(deps.store, ref)
    throw missing(ref)
  }
}

/** @throws MeshError `not-found` when the mesh or the router or gateway around a resource is not there. */
export async function requireContainers(
  store: ResourceStore,
  ref: Pick<ResourceRef, 'kind' | 'mesh' | 'parent'>,
): Promise<void> {
  for (const container of containersOf(ref)) {
    if ((await store.get(container)) === undefined) throw missing(container)
  }
}

/** @throws MeshError `not-found` when there is no such node or gateway. */
export async function requireSubject(store: ResourceStore, subject: Subject): Promise<void> {
  await describeResource({ store })(subject)
}

/** The resources around one, outermost first. */
export function containersOf({ kind, mesh, parent }: Pick<ResourceRef, 'kind' | 'mesh' | 'parent'>): ResourceRef[] {
  if (kind === 'mesh') return []
  const around: ResourceRef[] = [{ kind: 'mesh', mesh, name: mesh }]
  // The kind of a policy is a place, but no resource.
  if (parent !== undefined && kind !== 'policy') {
    around.push({ kind: kind === 'route' ? 'virtual-router' : 'virtual-gateway', mesh, name: parent })
  }
  return around
}

/** The error that a resource is not there: what is missing in App Mesh's words, and where it was looked for. */
export function missing(ref: ResourceRef): MeshError {
  return new MeshError('not-found', `${describe(ref)} is missing${placeOf(ref)}; create it first`)
}

function placeOf(ref: ResourceRef): string {
  if (ref.kind === 'policy') return ` among the ${ref.parent} policies of mesh '${ref.mesh}'`
  const around = containersOf(ref).at(-1)
  if (around === undefined) return ''
  return around.kind === 'mesh' ? ` in mesh '${ref.mesh}'` : ` in ${describe(around)} of mesh '${ref.mesh}'`
}

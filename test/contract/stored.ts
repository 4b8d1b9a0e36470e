import type { ResourceRef } from '../../runtime/model/reference.ts'
import type { Change, StoredResource } from '../../runtime/ports.ts'

/** A resource as a use case would write it. */
export function resource(ref: ResourceRef, more: Partial<StoredResource> = {}): StoredResource {
  return { ref, spec: {}, tags: {}, uid: `uid-${ref.name}`, version: 1, createdAtMs: 1, updatedAtMs: 1, ...more }
}

export function node(mesh: string, name: string, more: Partial<StoredResource> = {}): StoredResource {
  return resource({ kind: 'virtual-node', mesh, name }, more)
}

export function put(...resources: StoredResource[]): Change[] {
  return resources.map((value) => ({ kind: 'put', resource: value }))
}

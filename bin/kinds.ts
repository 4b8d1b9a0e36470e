import type { Policy } from '../runtime/model/policy.ts'
import { RESOURCE_KINDS, type ResourceKind, type ResourceRef } from '../runtime/model/reference.ts'

/** The kind that a person wrote: `VirtualNode`, `virtual-node`, `virtualnodes`... Undefined when there is none such. */
export function kindOf(written: string): ResourceKind | undefined {
  const plain = withoutDashes(written.toLowerCase())
  return RESOURCE_KINDS.find((kind) => {
    const name = withoutDashes(kind)
    return plain === name || plain === `${name}s` || plain === `${name}es` || plain === name.replace(/y$/, 'ies')
  })
}

/** How App Mesh and resource files spell a kind: `VirtualNode`. */
export function typeName(kind: ResourceKind): string {
  return kind.replace(/(?:^|-)(.)/g, (_, letter: string) => letter.toUpperCase())
}

const PARENT_MEMBERS = { route: 'virtualRouter', 'gateway-route': 'virtualGateway', policy: 'policy' } as const

/**
 * The member of a resource file that names the containing router or gateway, of a policy its kind; undefined for kinds
 * without one.
 */
export function parentMember(kind: ResourceKind): (typeof PARENT_MEMBERS)[keyof typeof PARENT_MEMBERS] | undefined {
  return (PARENT_MEMBERS as Partial<Record<ResourceKind, 'virtualRouter' | 'virtualGateway' | 'policy'>>)[kind]
}

/** How a reference is printed: `virtual-node/catalog-v1`, `route/catalog-router/split`. */
export function label(ref: ResourceRef): string {
  return [ref.kind, ref.parent, ref.name].filter((part) => part !== undefined).join('/')
}

/** The body member that holds the name, and the first part of list members: `virtualNodeName`. */
export function nameMember(kind: ResourceKind): string {
  if (kind === 'policy') return 'name'
  return `${wireName(kind)}Name`
}

/** The member of a list answer that holds the items. */
export function listMember(kind: ResourceKind): string {
  if (kind === 'policy') return 'policies'
  return kind === 'mesh' ? 'meshes' : `${wireName(kind)}s`
}

/** Path of a collection in the App Mesh API (2019-01-25), whose singular parents are its own; of policies in Weft's. */
export function collectionPath(kind: ResourceKind, mesh: string, parent?: string): string {
  const meshes = '/v20190125/meshes'
  if (kind === 'mesh') return meshes
  if (kind === 'policy') return `/v1/meshes/${encodeURIComponent(mesh)}/policies/${encodeURIComponent(parent ?? '')}`
  const within = parentMember(kind)
  const container = within === undefined ? '' : `/${within}/${encodeURIComponent(parent ?? '')}`
  return `${meshes}/${encodeURIComponent(mesh)}${container}/${listMember(kind)}`
}

/** Path of one resource in the App Mesh API. */
export function itemPath(ref: ResourceRef): string {
  return `${collectionPath(ref.kind, ref.mesh, ref.parent)}/${encodeURIComponent(ref.name)}`
}

/** A policy as the API takes it: its kind stands in the path. */
export function withoutKind({ kind: _, ...content }: Policy): object {
  return content
}

function wireName(kind: ResourceKind): string {
  return kind.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

function withoutDashes(text: string): string {
  return text.replaceAll('-', '')
}

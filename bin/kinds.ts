import { PARENT_KIND, RESOURCE_KINDS, type ResourceKind, type ResourceRef } from '../runtime/model/reference.ts'

/** The kind that a person wrote: `VirtualNode`, `virtual-node`, `virtualnodes`... Undefined when there is none such. */
export function kindOf(written: string): ResourceKind | undefined {
  const plain = withoutDashes(written.toLowerCase())
  return RESOURCE_KINDS.find((kind) => {
    const name = withoutDashes(kind)
    return plain === name || plain === `${name}s` || plain === `${name}es`
  })
}

/** How App Mesh and resource files spell a kind: `VirtualNode`. */
export function typeName(kind: ResourceKind): string {
  return kind.replace(/(?:^|-)(.)/g, (_, letter: string) => letter.toUpperCase())
}

/** The member of a resource file that names the containing router or gateway; undefined for kinds without one. */
export function parentMember(kind: ResourceKind): 'virtualRouter' | 'virtualGateway' | undefined {
  if (PARENT_KIND[kind] === undefined) return undefined
  return kind === 'route' ? 'virtualRouter' : 'virtualGateway'
}

/** How a reference is printed: `virtual-node/catalog-v1`, `route/catalog-router/split`. */
export function label(ref: ResourceRef): string {
  return [ref.kind, ref.parent, ref.name].filter((part) => part !== undefined).join('/')
}

/** The body member that holds the name, and the first part of list members: `virtualNodeName`. */
export function nameMember(kind: ResourceKind): string {
  return `${wireName(kind)}Name`
}

/** The member of a list answer that holds the items. */
export function listMember(kind: ResourceKind): string {
  return kind === 'mesh' ? 'meshes' : `${wireName(kind)}s`
}

/** Path of a collection in the App Mesh API (2019-01-25); the singular parents are App Mesh's own. */
export function collectionPath(kind: ResourceKind, mesh: string, parent?: string): string {
  const meshes = '/v20190125/meshes'
  if (kind === 'mesh') return meshes
  const within = parentMember(kind)
  const container = within === undefined ? '' : `/${within}/${encodeURIComponent(parent ?? '')}`
  return `${meshes}/${encodeURIComponent(mesh)}${container}/${listMember(kind)}`
}

/** Path of one resource in the App Mesh API. */
export function itemPath(ref: ResourceRef): string {
  return `${collectionPath(ref.kind, ref.mesh, ref.parent)}/${encodeURIComponent(ref.name)}`
}

function wireName(kind: ResourceKind): string {
  return kind.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

function withoutDashes(text: string): string {
  return text.replaceAll('-', '')
}

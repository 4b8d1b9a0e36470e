/** The seven App Mesh resource kinds, in the order in which they depend on one another. */
export const APP_MESH_KINDS = [
  'mesh',
  'virtual-node',
  'virtual-router',
  'route',
  'virtual-service',
  'virtual-gateway',
  'gateway-route',
] as const

export type AppMeshKind = (typeof APP_MESH_KINDS)[number]

/** All that a mesh consists of: App Mesh's kinds, and the policies attached to them. In order of dependence. */
export const RESOURCE_KINDS = [...APP_MESH_KINDS, 'policy'] as const

export type ResourceKind = (typeof RESOURCE_KINDS)[number]

/**
 * What contains resources of a kind below the mesh: routes live in a router, gateway routes in a gateway, policies among
 * those of their subject (`authorization`, `retry` ...), which is no resource of its own.
 */
export const PARENT_KIND: Readonly<Partial<Record<ResourceKind, AppMeshKind | 'policy-kind'>>> = {
  route: 'virtual-router',
  'gateway-route': 'virtual-gateway',
  policy: 'policy-kind',
}

/** Names one resource. For kind `mesh`, `name` equals `mesh`. `parent` is set for exactly the kinds of PARENT_KIND. */
export interface ResourceRef {
  readonly kind: ResourceKind
  readonly mesh: string
  readonly name: string
  readonly parent?: string
}

/** One string for a reference, unique inside a mesh and usable as a map key: `route/router-name/route-name`. */
export function refKey(ref: ResourceRef): string {
  return ref.parent === undefined ? `${ref.kind}/${ref.name}` : `${ref.kind}/${ref.parent}/${ref.name}`
}

/** Whom a snapshot is for: the virtual node or virtual gateway whose sidecar asks. */
export interface Subject {
  readonly kind: 'virtual-node' | 'virtual-gateway'
  readonly mesh: string
  readonly name: string
}

import type { AppMeshKind } from '../model/reference.ts'

export type Verb = 'create' | 'describe' | 'update' | 'delete' | 'list'

/** How App Mesh spells one resource kind on the wire. */
interface WireKind {
  readonly kind: AppMeshKind
  /** The word in operation names, such as `CreateVirtualNode`; `plural` in `ListVirtualNodes`. */
  readonly type: string
  readonly plural: string
  /** Path of the collection; the singular `virtualRouter/` and `virtualGateway/` of the children are App Mesh's own. */
  readonly collection: string
  /** Body member and path parameter that hold the name. */
  readonly nameMember: string
  /** The same of the containing router or gateway. */
  readonly parentMember?: string
  /** Body member of the list answer. */
  readonly listMember: string
  /** ARN segment before the name. */
  readonly arnSegment: string
}

const MESH = '/v20190125/meshes'

/** The seven kinds as the App Mesh model (2019-01-25) spells them. */
export const WIRE_KINDS: readonly WireKind[] = [
  {
    kind: 'mesh',
    type: 'Mesh',
    plural: 'Meshes',
    collection: MESH,
    nameMember: 'meshName',
    listMember: 'meshes',
    arnSegment: 'mesh',
  },
  {
    kind: 'virtual-node',
    type: 'VirtualNode',
    plural: 'VirtualNodes',
    collection: `${MESH}/{meshName}/virtualNodes`,
    nameMember: 'virtualNodeName',
    listMember: 'virtualNodes',
    arnSegment: 'virtualNode',
  },
  {
    kind: 'virtual-router',
    type: 'VirtualRouter',
    plural: 'VirtualRouters',
    collection: `${MESH}/{meshName}/virtualRouters`,
    nameMember: 'virtualRouterName',
    listMember: 'virtualRouters',
    arnSegment: 'virtualRouter',
  },
  {
    kind: 'route',
    type: 'Route',
    plural: 'Routes',
    collection: `${MESH}/{meshName}/virtualRouter/{virtualRouterName}/routes`,
    nameMember: 'routeName',
    parentMember: 'virtualRouterName',
    listMember: 'routes',
    arnSegment: 'route',
  },
  {
    kind: 'virtual-service',
    type: 'VirtualService',
    plural: 'VirtualServices',
    collection: `${MESH}/{meshName}/virtualServices`,
    nameMember: 'virtualServiceName',
    listMember: 'virtualServices',
    arnSegment: 'virtualService',
  },
  {
    kind: 'virtual-gateway',
    type: 'VirtualGateway',
    plural: 'VirtualGateways',
    collection: `${MESH}/{meshName}/virtualGateways`,
    nameMember: 'virtualGatewayName',
    listMember: 'virtualGateways',
    arnSegment: 'virtualGateway',
  },
  {
    kind: 'gateway-route',
    type: 'GatewayRoute',
    plural: 'GatewayRoutes',
    collection: `${MESH}/{meshName}/virtualGateway/{virtualGatewayName}/gatewayRoutes`,
    nameMember: 'gatewayRouteName',
    parentMember: 'virtualGatewayName',
    listMember: 'gatewayRoutes',
    arnSegment: 'gatewayRoute',
  },
]

/** One operation of the App Mesh API. */
export interface Operation {
  readonly name: string
  readonly method: 'GET' | 'PUT' | 'DELETE'
  /** Path template with `{parameters}`. */
  readonly path: string
  readonly verb: Verb
  readonly wire: WireKind
}

/** The one table: it drives routes, validation and the OpenAPI description. */
export const OPERATIONS: readonly Operation[] = WIRE_KINDS.flatMap((wire): Operation[] => {
  const item = `${wire.collection}/{${wire.nameMember}}`
  return [
    { name: `Create${wire.type}`, method: 'PUT', path: wire.collection, verb: 'create', wire },
    { name: `Describe${wire.type}`, method: 'GET', path: item, verb: 'describe', wire },
    { name: `Update${wire.type}`, method: 'PUT', path: item, verb: 'update', wire },
    { name: `Delete${wire.type}`, method: 'DELETE', path: item, verb: 'delete', wire },
    { name: `List${wire.plural}`, method: 'GET', path: wire.collection, verb: 'list', wire },
  ]
})

/** An operation on the tags of a resource, which it names by ARN in the query string. */
export interface TagOperation {
  readonly name: 'ListTagsForResource' | 'TagResource' | 'UntagResource'
  readonly method: 'GET' | 'PUT'
  readonly path: string
}

/** The other three of the 38 operations. */
export const TAG_OPERATIONS: readonly TagOperation[] = [
  { name: 'ListTagsForResource', method: 'GET', path: '/v20190125/tags' },
  { name: 'TagResource', method: 'PUT', path: '/v20190125/tag' },
  { name: 'UntagResource', method: 'PUT', path: '/v20190125/untag' },
]

/** The wire names of one kind. */
export function wireOf(kind: AppMeshKind): WireKind {
  return WIRE_KINDS.find((wire) => wire.kind === kind)!
}

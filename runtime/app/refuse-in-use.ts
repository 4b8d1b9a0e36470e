import { describe } from '../compiler/named-ports.ts'
import { resourceUsers, validateRemove } from '../compiler/validate.ts'
import { MeshError } from '../model/problem.ts'
import type { ResourceKind, ResourceRef } from '../model/reference.ts'
import type { MeshState } from './mesh-states.ts'

/** What App Mesh calls several of a kind. */
const PLURALS: Readonly<Record<ResourceKind, string>> = {
  mesh: 'Meshes',
  'virtual-node': 'VirtualNodes',
  'virtual-router': 'VirtualRouters',
  route: 'Routes',
  'virtual-service': 'VirtualServices',
  'virtual-gateway': 'VirtualGateways',
  'gateway-route': 'GatewayRoutes',
  policy: 'Policies',
}

/** Users that one answer names. */
const MAX_NAMED = 20

/**
 * @throws MeshError `in-use` when others refer to the resource or live in it. The message is App Mesh's own where that is
 * known; the problems name the first users.
 */
export function refuseInUse({ graph }: MeshState, ref: ResourceRef, accountId: string): void {
  const [first, ...others] = resourceUsers(graph, ref)
  if (first === undefined) return
  const problems = validateRemove(graph, ref).slice(0, MAX_NAMED)
  throw new MeshError('in-use', messageOf(ref, [first, ...others], accountId), { problems })
}

function messageOf(ref: ResourceRef, users: readonly [ResourceRef, ...ResourceRef[]], accountId: string): string {
  const [{ kind }] = users
  const plural = PLURALS[kind]
  if (ref.kind === 'mesh') {
    return `Mesh ${ref.name} for account ${accountId} has active ${plural}, please delete ${plural} before deleting the Mesh`
  }
  if (kind === 'policy') return `${describe(ref)} cannot be deleted because it has active Policies`
  if (ref.kind === 'virtual-service') {
    return `VirtualService ${ref.name} is being referenced in the following: GATEWAY_ROUTE: [${users.map(({ name }) => name).join(', ')}]`
  }
  if (kind === 'virtual-service') return `${describe(ref)} cannot be deleted because it is a VirtualService provider`
  if (ref.kind === 'virtual-node') return `${describe(ref)} cannot be deleted because it is a Route target`
  return `${describe(ref)} cannot be deleted because it has active ${plural}`
}

import { MeshError } from '../model/problem.ts'
import type { ResourceKind, ResourceRef } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { ResourceStore, StoredResource } from '../ports.ts'
import type { MeshState } from './mesh-states.ts'

/** How many there may be of what. */
export interface Quotas {
  readonly meshes: number
  readonly virtualServicesPerMesh: number
  readonly virtualNodesPerMesh: number
  readonly virtualRoutersPerMesh: number
  readonly virtualGatewaysPerMesh: number
  readonly routesPerVirtualRouter: number
  readonly gatewayRoutesPerVirtualGateway: number
  readonly backendsPerVirtualNode: number
  readonly policiesPerMesh: number
}

/**
 * Ten times App Mesh's own (Service Quotas, service code `appmesh`: 15, 200, 200, 200, 3, 50, 10 and 50 in this order).
 * Its quota of 10 weighted targets a route is a bound of the API itself and stays. Policies it had none.
 */
const DEFAULT_QUOTAS: Quotas = {
  meshes: 150,
  virtualServicesPerMesh: 2000,
  virtualNodesPerMesh: 2000,
  virtualRoutersPerMesh: 2000,
  virtualGatewaysPerMesh: 30,
  routesPerVirtualRouter: 500,
  gatewayRoutesPerVirtualGateway: 100,
  backendsPerVirtualNode: 500,
  policiesPerMesh: 2000,
}

/** The default limits with some changed. @throws MeshError `invalid` for a name or number that is none. */
export function quotasOf(changed: Readonly<Record<string, number>>): Quotas {
  for (const [name, limit] of Object.entries(changed)) {
    if (Object.hasOwn(DEFAULT_QUOTAS, name) && Number.isSafeInteger(limit) && limit >= 0) continue
    throw new MeshError(
      'invalid',
      `there is no quota ${name}=${limit}; give a number to one of ${Object.keys(DEFAULT_QUOTAS).join(', ')}`,
    )
  }
  return { ...DEFAULT_QUOTAS, ...changed }
}

const QUOTA_OF_KIND: Readonly<Record<ResourceKind, keyof Quotas>> = {
  mesh: 'meshes',
  'virtual-service': 'virtualServicesPerMesh',
  'virtual-node': 'virtualNodesPerMesh',
  'virtual-router': 'virtualRoutersPerMesh',
  'virtual-gateway': 'virtualGatewaysPerMesh',
  route: 'routesPerVirtualRouter',
  'gateway-route': 'gatewayRoutesPerVirtualGateway',
  policy: 'policiesPerMesh',
}

/** Pages of a count; the store gives no larger ones. */
const PAGE = 1000

/**
 * Refuses one more resource where there are as many as may be. Meshes are counted over all of the store, each of which has
 * a head of its own, so that several made in the same moment may go past the limit by their number.
 * @throws MeshError `limit-exceeded`.
 */
export async function refuseBeyondQuota(
  { store, quotas }: { readonly store: ResourceStore; readonly quotas: Quotas },
  state: MeshState,
  ref: ResourceRef,
): Promise<void> {
  const quota = QUOTA_OF_KIND[ref.kind]
  const count = ref.kind === 'mesh' ? await countMeshes(store) : countSiblings(state, ref)
  if (count >= quotas[quota]) throw exceeded(quota, quotas[quota])
}

/** @throws MeshError `limit-exceeded` for a virtual node with too many backends. */
export function refuseBeyondBackends(quotas: Quotas, { ref, spec }: Pick<StoredResource, 'ref' | 'spec'>): void {
  if (ref.kind !== 'virtual-node') return
  const count = (spec as SpecOf<'virtual-node'>).backends?.length ?? 0
  if (count > quotas.backendsPerVirtualNode) throw exceeded('backendsPerVirtualNode', quotas.backendsPerVirtualNode)
}

function countSiblings({ graph }: MeshState, { kind, parent }: ResourceRef): number {
  if (parent !== undefined && kind !== 'policy') {
    return graph.children.get(`${kind === 'route' ? 'virtual-router' : 'virtual-gateway'}/${parent}`)?.length ?? 0
  }
  let count = 0
  for (const { ref } of graph.resources.values()) if (ref.kind === kind) count++
  return count
}

async function countMeshes(store: ResourceStore): Promise<number> {
  let count = 0
  let after: string | undefined
  do {
    const page = await store.list({ kind: 'mesh', mesh: '', limit: PAGE, ...(after === undefined ? {} : { after }) })
    count += page.items.length
    after = page.next
  } while (after !== undefined)
  return count
}

function exceeded(quota: keyof Quotas, limit: number): MeshError {
  return new MeshError(
    'limit-exceeded',
    `the limit ${quota} of this control plane is ${limit}, and it is reached; nothing was changed. Remove what is not needed, or raise the limit (--quota ${quota}=${limit * 2})`,
  )
}

import type * as v from 'valibot'
import { PolicySchema } from '../policy.ts'
import type { ResourceKind } from '../reference.ts'
import { GatewayRouteSpecSchema } from './gateway-route.ts'
import { MeshSpecSchema } from './mesh.ts'
import { RouteSpecSchema } from './route.ts'
import { VirtualGatewaySpecSchema } from './virtual-gateway.ts'
import { VirtualNodeSpecSchema } from './virtual-node.ts'
import { VirtualRouterSpecSchema } from './virtual-router.ts'
import { VirtualServiceSpecSchema } from './virtual-service.ts'

/** The schema of each kind's spec; the API's description is derived from it. */
export const SPEC_SCHEMAS = {
  mesh: MeshSpecSchema,
  'virtual-node': VirtualNodeSpecSchema,
  'virtual-router': VirtualRouterSpecSchema,
  route: RouteSpecSchema,
  'virtual-service': VirtualServiceSpecSchema,
  'virtual-gateway': VirtualGatewaySpecSchema,
  'gateway-route': GatewayRouteSpecSchema,
  policy: PolicySchema,
} as const satisfies Record<ResourceKind, v.GenericSchema>

/** The spec of a kind, exactly as App Mesh has it; of a policy, all of it. */
export type SpecOf<K extends ResourceKind> = v.InferOutput<(typeof SPEC_SCHEMAS)[K]>

export { AppMeshMigration, type AppMeshMigrationProps, MigrationPhase } from './app-mesh-migration.ts'
export { CertificateAuthority, type CertificateAuthorityBinding } from './certificate-authority.ts'
export type { EcsServiceOptions } from './ecs-service-options.ts'
export { GatewayLoadBalancer, type GatewayLoadBalancerOptions } from './gateway-load-balancer.ts'
export {
  GatewayRoute,
  type GatewayRouteOptions,
  type GatewayRouteProps,
  HostnameMatch,
  PathRewrite,
} from './gateway-route.ts'
export { type IMesh, Mesh, type MeshAttributes } from './mesh.ts'
export { type EgressHostOptions, MeshEgress, type MeshEgressProps } from './mesh-egress.ts'
export {
  type GatewayCertificate,
  type GatewayListener,
  type GatewayOptions,
  GatewayTls,
  MeshGateway,
  type MeshGatewayProps,
  type TlsPassthroughOptions,
} from './mesh-gateway.ts'
export { InjectionSelector, MeshInjector, type MeshInjectorProps } from './mesh-injector.ts'
export type { MeshProps, MeshQuotas } from './mesh-props.ts'
export { type IMeshService, MeshService, type MeshServiceAttributes } from './mesh-service.ts'
export type { MeshServiceProps } from './mesh-service-props.ts'
export { MeshTask, type MeshTaskProps } from './mesh-task.ts'
export { MeshPolicy, type MeshPolicyProps, type PolicyOptions, PolicyTarget } from './policy.ts'
export { MeshProtocol } from './protocol.ts'
export { RetryEvent, type RetryOptions } from './retry.ts'
export { Route, type RouteOptions, type RouteProps, type TimeoutOptions, type WeightedTarget } from './route.ts'
export { type GrpcConditions, HeaderMatch, QueryMatch, type RouteConditions, RouteMatch } from './route-match.ts'
export type { SidecarOptions } from './sidecar-options.ts'
export { Tracing, type TracingOptions } from './tracing.ts'
export {
  type IMeshCaller,
  type IVirtualNode,
  type MeshCaller,
  type NodeHealthCheck,
  VirtualNode,
  type VirtualNodeProps,
} from './virtual-node.ts'
export { VirtualRouter, type VirtualRouterProps } from './virtual-router.ts'
export {
  type IVirtualService,
  VirtualService,
  type VirtualServiceAttributes,
  type VirtualServiceProps,
} from './virtual-service.ts'

import type { IConnectable } from 'aws-cdk-lib/aws-ec2'
import type * as ecs from 'aws-cdk-lib/aws-ecs'
import type { EcsServiceOptions } from './ecs-service-options.ts'
import type { IMesh } from './mesh.ts'
import type { MeshProtocol } from './protocol.ts'
import type { SidecarOptions } from './sidecar-options.ts'
import type { NodeHealthCheck } from './virtual-node.ts'
import type { IVirtualService } from './virtual-service.ts'

/** The app of a mesh service, how others call it, whom it calls, and the ECS service that runs it. */
export interface MeshServiceProps extends EcsServiceOptions {
  /** The mesh that it joins; in the same account and region. */
  readonly mesh: IMesh
  /**
   * Where the app listens.
   * @default - nowhere: it only calls, as workers of queues do. It has no virtual service and no Cloud Map service then.
   */
  readonly port?: number
  /**
   * The app: one of `taskDefinition`, `image` and `service`. Its network mode must be AWS_VPC, and its task role no other
   * service's: the role is who the task is.
   * @default - made of `image`, or that of `service`
   */
  readonly taskDefinition?: ecs.TaskDefinition
  /**
   * The app's image, for a Fargate task definition of the construct's own.
   * @default - `taskDefinition` or `service` has the app
   */
  readonly image?: ecs.ContainerImage
  /**
   * The app's ECS service, where there is one already; of `EcsServiceOptions` nothing applies then.
   * @default - a new one
   */
  readonly service?: ecs.BaseService
  /**
   * CPU units of the task that is made for `image`.
   * @default 256
   */
  readonly cpu?: number
  /**
   * MiB of the task that is made for `image`; the sidecar takes up to 256 of them.
   * @default 1024
   */
  readonly memoryLimitMiB?: number
  /**
   * Architecture of the task that is made for `image`.
   * @default - Linux on X86_64
   */
  readonly runtimePlatform?: ecs.RuntimePlatform
  /**
   * Environment of the app in the task that is made for `image`.
   * @default - none
   */
  readonly environment?: { [name: string]: string }
  /**
   * Name of the virtual node, the Cloud Map service and the first label of the virtual service's host name.
   * @default - the construct's id in kebab case
   */
  readonly serviceName?: string
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /**
   * Port of the virtual service, where others call this one.
   * @default - 80; with TCP the app's port
   */
  readonly virtualServicePort?: number
  /**
   * Virtual services that the app calls.
   * @default - none; see `addBackend`
   */
  readonly backends?: IVirtualService[]
  /**
   * The same by name (`catalog`), for those that the app defines later or in another file.
   * @default - none
   */
  readonly backendNames?: string[]
  /**
   * Whether the app calls virtual services through `HTTP_PROXY` or the sidecar's outbound port 15001 only, and not at their
   * own addresses: a virtual service may then have the port of the app.
   * @default false
   */
  readonly usesOutboundProxy?: boolean
  /** @default - ECS's own checks, and that peers stop calling an instance that fails */
  readonly healthCheck?: NodeHealthCheck
  /**
   * Whether the sidecar writes a line for each request to its log.
   * @default false
   */
  readonly accessLogs?: boolean
  /**
   * Who may read the sidecar's metrics on port 9902, such as a Prometheus.
   * @default - nobody
   */
  readonly scrapeFrom?: IConnectable[]
  /** @default - see {@link SidecarOptions} */
  readonly sidecar?: SidecarOptions
}

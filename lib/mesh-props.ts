import type { Duration, RemovalPolicy } from 'aws-cdk-lib'
import type { IVpc, IVpcEndpoint } from 'aws-cdk-lib/aws-ec2'
import type { RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { IPrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { Tracing } from './tracing.ts'

/** How many resources there may be of what; App Mesh's own quotas, ten times. */
export interface MeshQuotas {
  /** @default 2000 */
  readonly virtualServicesPerMesh?: number
  /** @default 2000 */
  readonly virtualNodesPerMesh?: number
  /** @default 2000 */
  readonly virtualRoutersPerMesh?: number
  /** @default 30 */
  readonly virtualGatewaysPerMesh?: number
  /** @default 500 */
  readonly routesPerVirtualRouter?: number
  /** @default 100 */
  readonly gatewayRoutesPerVirtualGateway?: number
  /** @default 500 */
  readonly backendsPerVirtualNode?: number
  /** @default 2000 */
  readonly policiesPerMesh?: number
}

/** What a mesh may be made with. */
export interface MeshProps {
  /** Where the mesh's tasks run. Virtual services' names are known in it. */
  readonly vpc: IVpc
  /**
   * Letters, digits, hyphens and underscores, 63 at most. It can't change later.
   * @default - made of the construct's path
   */
  readonly meshName?: string
  /**
   * First part of the workloads' SPIFFE IDs, `spiffe://<trust domain>/<mesh>/<virtual node>`. It can't change later.
   * @default - the zone's name
   */
  readonly trustDomain?: string
  /**
   * Who signs the workloads' certificates.
   * @default CertificateAuthority.acmPca()
   */
  readonly certificateAuthority?: CertificateAuthority
  /**
   * Cloud Map namespace of the virtual nodes' instances, private to the VPC.
   * @default - a new one, `nodes.<zone>`
   */
  readonly namespace?: IPrivateDnsNamespace
  /**
   * Name of the private hosted zone for virtual services: `orders` is found at `orders.<zone>`. It can't change later: Route 53
   * would make another zone, and keep the old one, which has records, for the VPC.
   * @default `<mesh>.internal`
   */
  readonly zoneName?: string
  /**
   * Whether tasks may call hosts that are no virtual services through their sidecars (App Mesh: egress filter ALLOW_ALL).
   * @default false
   */
  readonly allowEgress?: boolean
  /**
   * Puts the APIs behind a VPC endpoint, for subnets that have no way to Function URLs, which are public (and ask for IAM
   * credentials).
   * @default false
   */
  readonly privateApi?: boolean
  /**
   * VPC endpoint for `execute-api`, for `privateApi` only. Its security groups let members of the mesh in on 443; of one that
   * was imported without them, see to that yourself.
   * @default - a new one, in the private subnets of the VPC
   */
  readonly privateApiEndpoint?: IVpcEndpoint
  /**
   * Tells proxies over a WebSocket to sync at once when something changed, so that a change is seen in seconds. Its
   * endpoint is public (and asks for IAM credentials).
   * @default true, but false with `privateApi`
   */
  readonly push?: boolean
  /**
   * How often a proxy syncs that hears of no change; 5 seconds to 5 minutes. One that listens for pushes waits twice as long.
   * Costs grow as it shrinks.
   * @default Duration.seconds(30)
   */
  readonly syncInterval?: Duration
  /**
   * Where the proxies of all services and gateways report traces: `Tracing.xray()` for X-Ray.
   * @default - nothing is traced, unless a service says so
   */
  readonly tracing?: Tracing
  /** @default - ten times App Mesh's own */
  readonly quotas?: MeshQuotas
  /**
   * What becomes of the table and the logs when the mesh leaves the stack. By default they stay, but for those of a first
   * deployment that fails. RETAIN keeps those, too, and protects the table from deletion.
   * @default RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
   */
  readonly removalPolicy?: RemovalPolicy
  /**
   * Whether to watch the control plane with CloudWatch alarms.
   * @default true
   */
  readonly alarms?: boolean
  /**
   * Hears of the alarms.
   * @default - nobody does; look at them in CloudWatch
   */
  readonly alarmTopic?: ITopic
  /** @default RetentionDays.ONE_MONTH */
  readonly logRetention?: RetentionDays
}

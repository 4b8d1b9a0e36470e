import type { SubnetSelection } from 'aws-cdk-lib/aws-ec2'
import type { CapacityProviderStrategy, ICluster } from 'aws-cdk-lib/aws-ecs'

/** The ECS service around a task definition, in ECS's own words. */
export interface EcsServiceOptions {
  /** @default - one for all services of the mesh in this stack */
  readonly cluster?: ICluster
  /**
   * How many tasks run. Each deployment sets it anew, also where something else chose another number.
   * @default - 2; what auto scaling chose, once `service.autoScaleTaskCount` is called
   */
  readonly desiredCount?: number
  /**
   * In percent of `desiredCount`, while a deployment runs.
   * @default 100
   */
  readonly minHealthyPercent?: number
  /** @default 200 */
  readonly maxHealthyPercent?: number
  /** @default false */
  readonly assignPublicIp?: boolean
  /** @default - the private subnets, with `assignPublicIp` the public ones */
  readonly vpcSubnets?: SubnetSelection
  /** @default - FARGATE; the cluster's own for EC2 */
  readonly capacityProviderStrategies?: CapacityProviderStrategy[]
  /**
   * Whether `aws ecs execute-command` works.
   * @default false
   */
  readonly enableExecuteCommand?: boolean
}

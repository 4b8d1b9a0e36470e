import { Annotations, Duration, Lazy, Stack, Token } from 'aws-cdk-lib'
import type { ISecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { DnsRecordType } from 'aws-cdk-lib/aws-servicediscovery'
import type { Construct } from 'constructs'
import type { EcsServiceOptions } from '../ecs-service-options.ts'
import { type IMesh, Mesh } from '../mesh.ts'
import { isOfThisApp } from './claims.ts'
import { knownVpcId } from './vpc.ts'

export interface EcsServiceProps extends EcsServiceOptions {
  readonly mesh: IMesh
  readonly taskDefinition: ecs.TaskDefinition
  readonly securityGroup: ISecurityGroup
}

const DESIRED_COUNT = 2
/** AwsVpcConfiguration, Amazon ECS API Reference. */
const MAX_SECURITY_GROUPS = 5

/** An ECS service whose tasks are members of the mesh. Deployments that fail go back by themselves. */
export function ecsService(scope: Construct, props: EcsServiceProps): ecs.BaseService {
  const { mesh, taskDefinition, securityGroup, cluster = clusterOf(scope, mesh) } = props
  if (props.assignPublicIp === true && !taskDefinition.isFargateCompatible) {
    throw new Error(
      `${scope.node.path}: ECS gives tasks on EC2 no public addresses; leave out assignPublicIp, and give their subnets a NAT gateway`,
    )
  }
  warnOfNoWayOut(scope, props)
  const shared = {
    cluster,
    ...(props.desiredCount === undefined ? {} : { desiredCount: props.desiredCount }),
    minHealthyPercent: props.minHealthyPercent ?? 100,
    maxHealthyPercent: props.maxHealthyPercent ?? 200,
    assignPublicIp: props.assignPublicIp ?? false,
    securityGroups: [securityGroup],
    circuitBreaker: { rollback: true },
    enableExecuteCommand: props.enableExecuteCommand ?? false,
    propagateTags: ecs.PropagatedTagSource.SERVICE,
    ...(props.vpcSubnets === undefined ? {} : { vpcSubnets: props.vpcSubnets }),
    ...(props.capacityProviderStrategies === undefined
      ? {}
      : { capacityProviderStrategies: props.capacityProviderStrategies }),
  }
  const service = taskDefinition.isFargateCompatible
    ? new ecs.FargateService(scope, 'Service', {
        ...shared,
        taskDefinition: taskDefinition as ecs.FargateTaskDefinition,
      })
    : new ecs.Ec2Service(scope, 'Service', { ...shared, taskDefinition: taskDefinition as ecs.Ec2TaskDefinition })
  // With its capacity providers, which CDK adds late: ECS wants them there before a service, and takes none away from one.
  if (props.cluster === undefined) service.node.addDependency(cluster)
  if (props.desiredCount === undefined) letScalingCount(service)
  makeMembers(service, mesh)
  return service
}

/** Each deployment would take back what auto scaling chose; without a count ECS leaves it as it is. */
function letScalingCount(service: ecs.BaseService): void {
  const isScaled = () => service.node.tryFindChild('TaskCount') !== undefined
  const resource = service.node.findChild('Service') as ecs.CfnService
  resource.desiredCount = Lazy.number({ produce: () => (isScaled() ? undefined : DESIRED_COUNT) })
}

/** Function URLs are public: a sidecar without a way there would wait for its first configuration, and the deployment fail. */
function warnOfNoWayOut(scope: Construct, { mesh, vpcSubnets, assignPublicIp }: EcsServiceProps): void {
  if (!(mesh instanceof Mesh) || mesh.privateApiArn !== undefined || assignPublicIp === true) return
  const { isolatedSubnets, publicSubnets } = mesh.vpc
  const without = new Set([...isolatedSubnets, ...publicSubnets].map(({ subnetId }) => subnetId))
  const { subnetIds } = mesh.vpc.selectSubnets(vpcSubnets)
  if (subnetIds.some((id) => !without.has(id))) return
  Annotations.of(scope).addWarningV2(
    'weft-mesh:no-way-out',
    `the subnets of its tasks have no way out of the VPC, but sidecars reach mesh ${mesh.meshName} by public Function URLs; give ` +
      'them a NAT gateway, set assignPublicIp with public subnets, or make the mesh with privateApi: true',
  )
}

/** Makes the tasks of a service that is there already members of the mesh. */
export function joinMesh(service: ecs.BaseService, mesh: IMesh, securityGroup: ISecurityGroup): void {
  service.connections.addSecurityGroup(securityGroup)
  makeMembers(service, mesh)
}

/**
 * Security groups, names and addresses are those of one VPC; CloudFormation would say so in the middle of the deployment.
 * @throws Error when the service is certainly in another VPC than the mesh.
 */
export function checkVpc({ node, cluster: { vpc } }: ecs.BaseService, mesh: IMesh): void {
  const areKnown = knownVpcId(vpc) !== undefined && knownVpcId(mesh.vpc) !== undefined
  const areBothHere = isOfThisApp(vpc) && isOfThisApp(mesh.vpc)
  if (!(areKnown || areBothHere) || vpc.vpcId === mesh.vpc.vpcId) return
  throw new Error(
    `${node.path}: its cluster is in the VPC ${vpc.node.path}, mesh ${mesh.meshName} in ${mesh.vpc.node.path}; give it a ` +
      'cluster in the VPC of the mesh, or a mesh in its own VPC',
  )
}

/**
 * Gives tasks the members' security group. Not by way of `service.connections`: what is let in or out there is meant for
 * this service, and would be for every member then.
 */
function makeMembers(service: ecs.BaseService, mesh: IMesh): void {
  checkVpc(service, mesh)
  const all = () => {
    const groups = [mesh.memberSecurityGroup, ...service.connections.securityGroups]
    return [...new Set(groups.map(({ securityGroupId }) => securityGroupId))]
  }
  service.node.addValidation({
    validate: () =>
      all().length <= MAX_SECURITY_GROUPS
        ? []
        : [
            `the tasks have ${all().length} security groups, two of the mesh among them, and ECS takes ${MAX_SECURITY_GROUPS}; ` +
              'have fewer of your own',
          ],
  })
  const resource = service.node.findChild('Service') as ecs.CfnService
  resource.addPropertyOverride('NetworkConfiguration.AwsvpcConfiguration.SecurityGroups', Lazy.list({ produce: all }))
}

/**
 * Lets the control plane find the tasks: one Cloud Map service with A records for each virtual node.
 * @throws Error when the service registers its tasks elsewhere already.
 */
export function registerInCloudMap(service: ecs.BaseService, mesh: IMesh, name: string): void {
  if (service.cloudMapService !== undefined) {
    throw new Error(
      `${service.node.path} has a Cloud Map service already; leave out its cloudMapOptions, as the mesh registers its tasks ` +
        `as ${name} in ${mesh.namespace.namespaceName}`,
    )
  }
  service.enableCloudMap({
    cloudMapNamespace: mesh.namespace,
    name,
    dnsRecordType: DnsRecordType.A,
    dnsTtl: Duration.seconds(10),
  })
}

/** One cluster for all services of a mesh in a stack: a cluster by itself costs nothing. */
function clusterOf(scope: Construct, mesh: IMesh): ecs.ICluster {
  const stack = Stack.of(scope)
  const id = `WeftCluster-${Token.isUnresolved(mesh.meshName) ? mesh.node.addr : mesh.meshName}`
  const cluster =
    stack.node.tryFindChild(id) ??
    // Also Spot: without the provider a service that asks for it can't be made.
    new ecs.Cluster(stack, id, { vpc: mesh.vpc, enableFargateCapacityProviders: true })
  return cluster as ecs.ICluster
}

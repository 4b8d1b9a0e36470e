import { randomUUID } from 'node:crypto'
import { Duration, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2'
import { PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { type IMesh, Mesh, type MeshProps, MeshService } from '../../lib/index.ts'
import { lookedAtApp, meshStack } from '../construct/mesh-stack.ts'
import { IMAGE } from '../construct/shop.ts'
import type { CloudFormationStack } from './cloudformation.ts'
import { DATA_PLANE, PUSH } from './emulated-mesh.ts'
import type { Resource } from './intrinsics.ts'

/** Of a test file's own: several may stand on one endpoint. */
export const ZONE = `shop-${randomUUID().slice(0, 8)}.internal`

export type Resources = Readonly<Record<string, Resource>>

/** The template of a mesh `shop`, whose proxies poll so rarely that only the push explains what they hear soon. */
export function meshResources(props: Omit<Partial<MeshProps>, 'vpc'> = {}): Resources {
  // CloudFormation's own rules take seconds to load; test/construct asks them.
  process.env.CDK_VALIDATION = 'false'
  return meshStack({ zoneName: ZONE, syncInterval: Duration.minutes(5), ...props })
    .template()
    .toJSON().Resources
}

/** A template of another app, with services in the deployed mesh. */
export function serviceResources(deployed: CloudFormationStack, fill: (services: Services) => void): Resources {
  const stack = new Stack(lookedAtApp(), 'Services')
  const mesh = importedMesh(stack, deployed)
  fill({ mesh, stack, service: (id) => new MeshService(stack, id, { mesh, image: IMAGE, port: 8080 }) })
  return Template.fromStack(stack).toJSON().Resources
}

export interface Services {
  readonly mesh: IMesh
  readonly stack: Stack
  service(id: string): MeshService
}

/** By what the stack of the mesh put out. */
function importedMesh(stack: Stack, { resources }: CloudFormationStack): IMesh {
  const made = [...resources.entries()]
  const [, namespace] = made.find(([, { type }]) => type === 'AWS::ServiceDiscovery::PrivateDnsNamespace')!
  const [, provider] = made.find(([id, { type }]) => type === 'AWS::Lambda::Function' && id.includes('Resources'))!
  return Mesh.fromMeshAttributes(stack, 'Mesh', {
    meshName: 'shop',
    zoneName: ZONE,
    vpc: Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['us-east-1a'],
      privateSubnetIds: ['subnet-0123456789abcdef2'],
    }),
    namespace: PrivateDnsNamespace.fromPrivateDnsNamespaceAttributes(stack, 'Namespace', {
      namespaceName: `nodes.${ZONE}`,
      namespaceId: namespace.ref,
      namespaceArn: namespace.attributes.Arn!,
    }),
    memberSecurityGroup: SecurityGroup.fromSecurityGroupId(stack, 'Members', 'sg-0123456789abcdef0'),
    dataPlaneUrl: `${DATA_PLANE}/`,
    pushUrl: `wss://${PUSH}`,
    apiUrl: 'https://api.lambda-url.us-east-1.on.aws/',
    serviceToken: provider.attributes.Arn!,
    dataPlaneFunctionArn: provider.attributes.Arn!,
  })
}

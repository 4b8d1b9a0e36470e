import { type App, CfnResource, Resource, Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { type ISecurityGroup, type IVpc, SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam'
import { type IPrivateDnsNamespace, PrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'
import { type Construct, Dependable } from 'constructs'
import type { IMesh } from '../../lib/index.ts'
import { lookedAtApp } from './mesh-stack.ts'

/** What application teams see of a mesh, without the control plane, whose synthesis takes a second. */
class ShopMesh extends Resource implements IMesh {
  public readonly meshName: string
  public readonly meshArn: string
  public readonly vpc: IVpc
  public readonly namespace: IPrivateDnsNamespace
  public readonly zoneName: string
  public readonly dataPlaneUrl = 'https://data.lambda-url.eu-west-1.on.aws/'
  public readonly apiUrl = 'https://api.lambda-url.eu-west-1.on.aws/'
  public readonly pushUrl = 'wss://push.execute-api.eu-west-1.amazonaws.com/live'
  public readonly serviceToken: string
  public readonly memberSecurityGroup: ISecurityGroup

  public constructor(scope: Construct, id: string, meshName: string) {
    super(scope, id)
    this.meshName = meshName
    this.zoneName = `${meshName}.internal`
    this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a', 'eu-west-1b'],
      publicSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      privateSubnetIds: ['subnet-0123456789abcdef2', 'subnet-0123456789abcdef3'],
    })
    this.namespace = PrivateDnsNamespace.fromPrivateDnsNamespaceAttributes(this, 'Namespace', {
      namespaceName: `nodes.${this.zoneName}`,
      namespaceId: 'ns-0123456789abcdef',
      namespaceArn: 'arn:aws:servicediscovery:eu-west-1:111111111111:namespace/ns-0123456789abcdef',
    })
    this.memberSecurityGroup = new SecurityGroup(this, 'Members', { vpc: this.vpc })
    this.serviceToken = `arn:aws:lambda:eu-west-1:111111111111:function:${meshName}`
    const properties = { ServiceToken: this.serviceToken }
    const resource = new CfnResource(this, 'Resource', { type: 'Custom::WeftMesh', properties })
    this.meshArn = resource.ref
    Dependable.implement(this, { dependencyRoots: [resource] })
  }

  public grantDataPlane(grantee: IGrantable): Grant {
    const resourceArns = ['arn:aws:lambda:eu-west-1:111111111111:function:data-plane']
    return Grant.addToPrincipal({ grantee, actions: ['lambda:InvokeFunctionUrl'], resourceArns })
  }

  public grantRead(grantee: IGrantable): Grant {
    return Grant.drop(grantee, 'not asked for here')
  }

  public grantManage(grantee: IGrantable): Grant {
    return Grant.drop(grantee, 'not asked for here')
  }
}

/** Images that need no Docker. */
export const IMAGE = ecs.ContainerImage.fromRegistry('example/app')

/** A mesh in a stack of its own, as teams have it. */
export function meshOf(app: App, meshName: string): IMesh {
  return new ShopMesh(new Stack(app, `Mesh-${meshName}`), 'Mesh', meshName)
}

/** An app with a mesh, and a stack for services. Nothing is bundled for it. */
export function shop() {
  // CloudFormation's own rules take seconds to load; mesh-service-judges.test.ts asks them once.
  process.env.CDK_VALIDATION = 'false'
  const app = lookedAtApp()
  return { app, mesh: meshOf(app, 'shop'), stack: new Stack(app, 'Services') }
}

/** A Fargate task definition with an app on this port. */
export function task(stack: Stack, id: string, port = 8080): ecs.FargateTaskDefinition {
  const definition = new ecs.FargateTaskDefinition(stack, id, { memoryLimitMiB: 1024, family: id })
  definition.addContainer('app', { image: IMAGE, portMappings: [{ containerPort: port }] })
  return definition
}

/** A template's part: it has no types, and tests look at every member anyway. */
// biome-ignore lint/suspicious/noExplicitAny: see above.
type Part = any

/** The properties of the only resource of a type, or of the one whose properties have these values. */
export function propertiesOf(stack: Stack, type: string, wanted: object = {}): Part {
  const found = Object.values(Template.fromStack(stack).findResources(type, { Properties: wanted }))
  if (found.length !== 1) throw new Error(`${found.length} resources of type ${type} with ${JSON.stringify(wanted)}`)
  return found[0]!.Properties
}

/** The containers of the only task definition, or of that of a family, by name. */
export function containersOf(stack: Stack, wanted: object = {}): Record<string, Part> {
  const { ContainerDefinitions } = propertiesOf(stack, 'AWS::ECS::TaskDefinition', wanted)
  return Object.fromEntries(ContainerDefinitions.map((container: { Name: string }) => [container.Name, container]))
}

/** What synth says when it fails; empty when it does not. */
export function synthError(app: App): string {
  try {
    app.synth()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

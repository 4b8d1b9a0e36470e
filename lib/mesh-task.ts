import { Resource } from 'aws-cdk-lib'
import type { CfnVirtualNode } from 'aws-cdk-lib/aws-appmesh'
import { Connections, type IConnectable, type ISecurityGroup, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import type * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IGrantable, IPrincipal } from 'aws-cdk-lib/aws-iam'
import type { Construct } from 'constructs'
import { INBOUND_PORT } from '../runtime/model/proxy-ports.ts'
import type { IMesh } from './mesh.ts'
import { checkMesh, nameOf } from './private/naming.ts'
import { portClashes } from './private/port-clashes.ts'
import { RoleBinding } from './private/role-binding.ts'
import { addSidecar } from './private/sidecar.ts'
import type { MeshProtocol } from './protocol.ts'
import type { SidecarOptions } from './sidecar-options.ts'
import { type IVirtualNode, type MeshCaller, VirtualNode } from './virtual-node.ts'
import type { IVirtualService } from './virtual-service.ts'

/** The app of a task without an ECS service, and whom it calls. */
export interface MeshTaskProps {
  /** The mesh that it joins; in the same account and region. */
  readonly mesh: IMesh
  /** The app. Its network mode must be AWS_VPC, and its task role nobody else's: the role is who the task is. */
  readonly taskDefinition: ecs.TaskDefinition
  /**
   * Name of the virtual node.
   * @default - the construct's id in kebab case
   */
  readonly virtualNodeName?: string
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
   * Where the app listens, if it is called. A route, or a `VirtualService` with this as its `defaultTarget`, then sends to it.
   * @default - nowhere: it only calls
   */
  readonly port?: number
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /**
   * Whether the app calls virtual services through `HTTP_PROXY` or the sidecar's outbound port 15001 only, and not at their
   * own addresses: a virtual service may then have the port of the app.
   * @default false
   */
  readonly usesOutboundProxy?: boolean
  /**
   * Whether the sidecar writes a line for each request to its log.
   * @default false
   */
  readonly accessLogs?: boolean
  /** @default - see {@link SidecarOptions} */
  readonly sidecar?: SidecarOptions
}

/**
 * A task in the mesh that belongs to no ECS service: one that a schedule, a state machine or `aws ecs run-task` starts. Start
 * `taskDefinition` with the `securityGroups` of this; what may stop it is up to the app, whose end ends the sidecar.
 */
export class MeshTask extends Resource implements IVirtualNode, IConnectable, IGrantable {
  public readonly mesh: IMesh
  /** The app and its sidecar; start this one. */
  public readonly taskDefinition: ecs.TaskDefinition
  /** The container `weft`. */
  public readonly sidecar: ecs.ContainerDefinition
  /** Whom the task is in the mesh. */
  public readonly virtualNode: VirtualNode
  /** The mesh port; nobody is let in on it unless the app listens. */
  public readonly connections: Connections
  /** The task role. */
  public readonly grantPrincipal: IPrincipal
  /** What the task must be started with: that of the mesh's members, and its own. */
  public readonly securityGroups: ISecurityGroup[]

  public constructor(scope: Construct, id: string, props: MeshTaskProps) {
    super(scope, id)
    const { mesh, taskDefinition, port, protocol, backends, backendNames, accessLogs } = props
    checkMesh(this, mesh)
    this.mesh = mesh
    this.taskDefinition = taskDefinition
    this.grantPrincipal = taskDefinition.taskRole.grantPrincipal
    const virtualNodeName = nameOf(this, 'virtualNodeName', props.virtualNodeName)
    this.virtualNode = new VirtualNode(this, 'VirtualNode', {
      mesh,
      virtualNodeName,
      registersItself: true,
      ...(port === undefined ? {} : { port }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(backends === undefined ? {} : { backends }),
      ...(backendNames === undefined ? {} : { backendNames }),
      ...(accessLogs === undefined ? {} : { accessLogs }),
    })
    const binding = new RoleBinding(this, 'RoleBinding', {
      mesh,
      taskRole: taskDefinition.taskRole,
      virtualNodeName,
      after: this.virtualNode.virtualNodeResource,
    })
    this.sidecar = addSidecar(taskDefinition, { ...props.sidecar, mesh, virtualNodeName, selfRegisters: true })
    // Who starts it waits for the task definition, and so for what the mesh must know before. Not for the roles below it, for
    // which the binding waits itself.
    taskDefinition.node.defaultChild?.node.addDependency(binding)
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc: mesh.vpc,
      description: `Tasks of ${virtualNodeName} in the mesh`,
      allowAllOutbound: true,
    })
    if (port !== undefined) {
      group.addIngressRule(mesh.memberSecurityGroup, Port.tcp(INBOUND_PORT), 'mTLS from members of the mesh')
    }
    this.securityGroups = [mesh.memberSecurityGroup, group]
    this.connections = new Connections({ securityGroups: [group], defaultPort: Port.tcp(INBOUND_PORT) })
    if (props.usesOutboundProxy === true) return
    this.node.addValidation({ validate: () => portClashes(this.virtualNode, taskDefinition) })
  }

  public get virtualNodeName(): string {
    return this.virtualNode.virtualNodeName
  }

  public get virtualNodeResource(): CfnVirtualNode {
    return this.virtualNode.virtualNodeResource
  }

  public get meshCaller(): MeshCaller {
    return this.virtualNode.meshCaller
  }

  /** Lets the app call a virtual service of the mesh. */
  public addBackend(service: IVirtualService): void {
    this.virtualNode.addBackend(service)
  }
}

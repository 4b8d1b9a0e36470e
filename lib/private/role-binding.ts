import { Annotations, CfnResource, Token } from 'aws-cdk-lib'
import type { IRole } from 'aws-cdk-lib/aws-iam'
import { Construct, Dependable } from 'constructs'
import type { IMesh } from '../mesh.ts'
import { claim, claimant, controlPlaneKey, isOfThisApp } from './claims.ts'
import { SERVICE_TIMEOUT_S } from './weft-resource.ts'

export interface RoleBindingProps {
  readonly mesh: IMesh
  /** Role of the task; the identity that its proxy proves on every call. */
  readonly taskRole: IRole
  /** Exactly one of `virtualNodeName` and `virtualGatewayName`. */
  readonly virtualNodeName?: string
  readonly virtualGatewayName?: string
  /** What must exist first: the virtual node or gateway; undefined when it is no part of this app. */
  readonly after: CfnResource | undefined
}

/**
 * Says whose role a task role is: who proves it gets the certificate and the routes of this node or gateway, and of no
 * other. Also lets the role call the control plane.
 * @throws Error when the role belongs to another one of this control plane already, since both could then take each other's name.
 */
export class RoleBinding extends Construct {
  public readonly resource: CfnResource

  public constructor(scope: Construct, id: string, props: RoleBindingProps) {
    super(scope, id)
    const { mesh, taskRole, virtualNodeName, virtualGatewayName } = props
    const owner =
      virtualNodeName === undefined ? `virtual gateway ${virtualGatewayName}` : `virtual node ${virtualNodeName}`
    const role = `task-role/${controlPlaneKey(mesh)}/${keyOf(taskRole)}`
    const own = `${owner} of mesh ${mesh.meshName}`
    const earlier = claim(this, role, own)
    if (earlier === own) {
      // Another ECS service of the node: what is bound once is bound.
      this.resource = (claimant(this, role) as RoleBinding).resource
      Dependable.implement(this, { dependencyRoots: [this.resource] })
      return
    }
    if (earlier !== undefined) {
      throw new Error(
        `${scope.node.path}: ${owner} has the same task role as ${earlier} (${taskRole.node.path}), but the role tells the ` +
          'mesh who a task is; give each a task definition with a role of its own',
      )
    }
    this.resource = new CfnResource(this, 'Resource', {
      type: 'Custom::WeftRoleBinding',
      properties: {
        ServiceToken: mesh.serviceToken,
        ServiceTimeout: SERVICE_TIMEOUT_S,
        MeshName: mesh.meshName,
        ...(virtualNodeName === undefined ? {} : { VirtualNodeName: virtualNodeName }),
        ...(virtualGatewayName === undefined ? {} : { VirtualGatewayName: virtualGatewayName }),
        RoleArn: taskRole.roleArn,
      },
    })
    if (props.after !== undefined) this.resource.addResourceDependency(props.after)
    if (isOfThisApp(mesh)) this.resource.node.addDependency(mesh)
    const grant = mesh.grantDataPlane(taskRole)
    grant.applyBefore(this.resource)
    if (grant.success) return
    Annotations.of(scope).addWarningV2(
      'weft-mesh:no-data-plane',
      `the task role of ${owner} gets no right to call the control plane: mesh ${mesh.meshName} was imported without ` +
        'dataPlaneFunctionArn or privateApiArn; add it, or give the role lambda:InvokeFunctionUrl on the data plane yourself',
    )
  }
}

/** An imported role is the same one wherever and however it is imported. */
function keyOf(role: IRole): string {
  if (isOfThisApp(role) || Token.isUnresolved(role.roleName)) return role.node.path
  return `${role.env.account}/${role.roleName}`
}

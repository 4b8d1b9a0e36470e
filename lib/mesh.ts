import type { IResource } from 'aws-cdk-lib'
import type { ISecurityGroup, IVpc } from 'aws-cdk-lib/aws-ec2'
import type { Grant, IGrantable } from 'aws-cdk-lib/aws-iam'
import type { IPrivateDnsNamespace } from 'aws-cdk-lib/aws-servicediscovery'

/** A mesh with its control plane: one of this app (`Mesh`), or one of elsewhere (`Mesh.fromMeshAttributes`). */
export interface IMesh extends IResource {
  /** Name of the mesh, as in ARNs and SPIFFE IDs. */
  readonly meshName: string
  /** `arn:aws:appmesh:region:account:mesh/name`: no App Mesh resource, but spelled like one. */
  readonly meshArn: string
  /** Where the mesh's tasks run. */
  readonly vpc: IVpc
  /** Cloud Map namespace: one service with A records for each virtual node. */
  readonly namespace: IPrivateDnsNamespace
  /** The private hosted zone of virtual services' names, such as `shop.internal`. */
  readonly zoneName: string
  /** Where sidecars sync: `WEFT_CONTROL_PLANE_URL`. */
  readonly dataPlaneUrl: string
  /** The management API (App Mesh's and Weft's own). */
  readonly apiUrl: string
  /** Where sidecars listen for "sync now" (`wss://...`): `WEFT_PUSH_URL`. Undefined when push is turned off. */
  readonly pushUrl?: string
  /** Provider of the custom resources (`Custom::Weft...`). */
  readonly serviceToken: string
  /** Members of the mesh: who has this group may call others on the mesh port. */
  readonly memberSecurityGroup: ISecurityGroup
  /** Lets a task role sync, get its certificate and listen for pushes. */
  grantDataPlane(grantee: IGrantable): Grant
  /** Lets somebody read everything through the management API. */
  grantRead(grantee: IGrantable): Grant
  /** Lets somebody change everything through the management API. */
  grantManage(grantee: IGrantable): Grant
}

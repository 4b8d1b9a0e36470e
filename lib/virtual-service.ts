import { Resource } from 'aws-cdk-lib'
import { type CfnVirtualNode, CfnVirtualService } from 'aws-cdk-lib/aws-appmesh'
import type { Construct } from 'constructs'
import type { IMesh } from './mesh.ts'
import { meshResource } from './private/mesh-resource.ts'
import { checkMesh, hostNameOf, nameOf } from './private/naming.ts'
import { MeshProtocol } from './protocol.ts'
import type { IVirtualNode } from './virtual-node.ts'
import { HTTP_PORT, VirtualRouter } from './virtual-router.ts'

/** What apps call by name. */
export interface IVirtualService {
  /** The mesh that it is in. */
  readonly mesh: IMesh
  /** The full host name, such as `orders.shop.internal`. */
  readonly virtualServiceName: string
  /** Where it answers. */
  readonly virtualServicePort: number
  /**
   * What a gateway route waits for.
   * @default - the service is no part of this app
   */
  readonly virtualServiceResource?: CfnVirtualService
  /**
   * How nodes call it where that is by way of an egress gateway. As App Mesh has it.
   * @default - by the mesh's own mTLS
   */
  readonly clientPolicy?: CfnVirtualNode.ClientPolicyProperty
}

/** A virtual service of another app. */
export interface VirtualServiceAttributes {
  /** The mesh that it is in. */
  readonly mesh: IMesh
  /** The name in the mesh's zone (`orders`), or a full one. */
  readonly serviceName: string
  /** @default 80 */
  readonly port?: number
}

/** The name of a virtual service, its port, and who answers. */
export interface VirtualServiceProps {
  /** The mesh that it joins; in the same account and region. */
  readonly mesh: IMesh
  /**
   * First label of the host name: `orders` is `orders.<zone of the mesh>`.
   * @default - the construct's id in kebab case
   */
  readonly serviceName?: string
  /**
   * Where it answers.
   * @default - 80; needed with TCP
   */
  readonly port?: number
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /**
   * Who answers what no route sends elsewhere.
   * @default - nobody, until `virtualRouter.split` or `virtualRouter.route`
   */
  readonly defaultTarget?: IVirtualNode
}

/**
 * A name that apps call, and the virtual router that chooses who answers. {@link MeshService} makes one of its own; one of
 * these stands alone for what several of them serve together.
 */
export class VirtualService extends Resource implements IVirtualService {
  /**
   * A virtual service that is no part of this app, as a backend or behind a gateway.
   * @throws Error when its name is known to CloudFormation only.
   */
  public static fromVirtualServiceAttributes(attributes: VirtualServiceAttributes): IVirtualService {
    const { mesh, serviceName, port } = attributes
    const virtualServiceName = hostNameOf(mesh, serviceName, 'fromVirtualServiceAttributes')
    return { mesh, virtualServiceName, virtualServicePort: port ?? HTTP_PORT }
  }

  public readonly mesh: IMesh
  public readonly virtualServiceName: string
  public readonly virtualServicePort: number
  public readonly virtualServiceResource: CfnVirtualService
  /** Chooses who answers; takes routes and splits. */
  public readonly virtualRouter: VirtualRouter

  public constructor(scope: Construct, id: string, props: VirtualServiceProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    this.mesh = props.mesh
    const serviceName = nameOf(this, 'serviceName', props.serviceName)
    this.virtualServiceName = hostNameOf(this.mesh, serviceName, this.node.path)
    this.virtualRouter = new VirtualRouter(this, 'Router', {
      mesh: this.mesh,
      virtualRouterName: serviceName,
      protocol: props.protocol ?? MeshProtocol.HTTP,
      ...(props.port === undefined ? {} : { port: props.port }),
      ...(props.defaultTarget === undefined ? {} : { defaultTarget: props.defaultTarget }),
    })
    this.virtualServicePort = this.virtualRouter.port
    const { virtualRouterName } = this.virtualRouter
    const resource = new CfnVirtualService(this, 'Resource', {
      meshName: this.mesh.meshName,
      virtualServiceName: this.virtualServiceName,
      spec: { provider: { virtualRouter: { virtualRouterName } } },
    })
    this.virtualServiceResource = meshResource(resource, {
      mesh: this.mesh,
      kind: 'virtual-service',
      name: this.virtualServiceName,
    })
    this.virtualServiceResource.addResourceDependency(this.virtualRouter.virtualRouterResource)
  }
}

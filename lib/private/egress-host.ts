import { CfnVirtualNode, CfnVirtualService } from 'aws-cdk-lib/aws-appmesh'
import { Construct } from 'constructs'
import type { IMesh } from '../mesh.ts'
import type { IVirtualService } from '../virtual-service.ts'
import { meshResource } from './mesh-resource.ts'

/** A virtual node that stands for what DNS finds. */
export interface DnsNodeProps {
  readonly mesh: IMesh
  readonly virtualNodeName: string
  readonly hostname: string
  readonly port: number
  /** Whether a caller without a client policy must not call it at all, rather than in the clear. */
  readonly isTls: boolean
  /** `ENDPOINTS`: every address is an instance. `LOADBALANCER`: the first one is. */
  readonly responseType: string
}

export function dnsNode(scope: Construct, id: string, props: DnsNodeProps): CfnVirtualNode {
  const { mesh, virtualNodeName, hostname, port, isTls, responseType } = props
  const tls = { mode: 'STRICT', certificate: { sds: { secretName: 'weft' } } }
  const resource = new CfnVirtualNode(scope, id, {
    meshName: mesh.meshName,
    virtualNodeName,
    spec: {
      listeners: [{ portMapping: { port, protocol: 'http' }, ...(isTls ? { tls } : {}) }],
      serviceDiscovery: { dns: { hostname, responseType } },
    },
  })
  return meshResource(resource, { mesh, kind: 'virtual-node', name: virtualNodeName })
}

/** A virtual service behind which is one virtual node, and no router. */
function serviceOf(scope: Construct, id: string, mesh: IMesh, name: string, node: CfnVirtualNode): CfnVirtualService {
  // Set by dnsNode, though the L1 lets CloudFormation choose.
  const virtualNodeName = node.virtualNodeName!
  const resource = new CfnVirtualService(scope, id, {
    meshName: mesh.meshName,
    virtualServiceName: name,
    spec: { provider: { virtualNode: { virtualNodeName } } },
  })
  meshResource(resource, { mesh, kind: 'virtual-service', name })
  resource.addResourceDependency(node)
  return resource
}

export interface EgressHostProps {
  readonly mesh: IMesh
  /** The name that apps call. */
  readonly virtualServiceName: string
  /** The gateway as its callers see it. */
  readonly gateway: CfnVirtualNode
  /** How they call it. */
  readonly clientPolicy: CfnVirtualNode.ClientPolicyProperty
  readonly outside: DnsNodeProps
}

/** A host outside of the mesh, seen from both sides of the egress gateway. */
export class EgressHost extends Construct implements IVirtualService {
  public readonly mesh: IMesh
  public readonly virtualServiceName: string
  public readonly virtualServicePort = 80
  public readonly virtualServiceResource: CfnVirtualService
  public readonly clientPolicy: CfnVirtualNode.ClientPolicyProperty
  /** What the gateway hands on to; named as the host, since that becomes the request's Host. */
  public readonly outside: IVirtualService

  public constructor(scope: Construct, id: string, props: EgressHostProps) {
    super(scope, id)
    const { mesh, outside } = props
    this.mesh = mesh
    this.virtualServiceName = props.virtualServiceName
    this.clientPolicy = props.clientPolicy
    this.virtualServiceResource = serviceOf(this, 'VirtualService', mesh, this.virtualServiceName, props.gateway)
    const node = dnsNode(this, 'OutsideNode', outside)
    this.outside = {
      mesh,
      virtualServiceName: outside.hostname,
      virtualServicePort: outside.port,
      virtualServiceResource: serviceOf(this, 'OutsideService', mesh, outside.hostname, node),
    }
  }
}

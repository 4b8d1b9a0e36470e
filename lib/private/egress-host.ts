import { Lazy } from 'aws-cdk-lib'
import { CfnVirtualNode, CfnVirtualService } from 'aws-cdk-lib/aws-appmesh'
import { Construct } from 'constructs'
import type { IMesh } from '../mesh.ts'
import type { IVirtualService } from '../virtual-service.ts'
import { claimant } from './claims.ts'
import { claimOf, meshResource } from './mesh-resource.ts'

/** A virtual node that stands for what DNS finds. */
export interface DnsNodeProps {
  readonly mesh: IMesh
  readonly virtualNodeName: string
  readonly hostname: string
  /** By port, whether a caller without a client policy must not call it at all, rather than in the clear. */
  readonly ports: ReadonlyMap<number, boolean>
  /** `ENDPOINTS`: every address is an instance. `LOADBALANCER`: the first one is. */
  readonly responseType: string
}

export function dnsNode(scope: Construct, id: string, props: DnsNodeProps): CfnVirtualNode {
  const { mesh, virtualNodeName, hostname, ports, responseType } = props
  const tls = { mode: 'STRICT', certificate: { sds: { secretName: 'weft' } } }
  const resource = new CfnVirtualNode(scope, id, {
    meshName: mesh.meshName,
    virtualNodeName,
    spec: {
      listeners: Lazy.any({
        produce: () =>
          [...ports].map(([port, isTls]) => ({ portMapping: { port, protocol: 'http' }, ...(isTls ? { tls } : {}) })),
      }),
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

export interface OutsideHostProps {
  readonly mesh: IMesh
  readonly hostname: string
  readonly virtualNodeName: string
  readonly port: number
  readonly tls: boolean
}

/**
 * A host outside of the mesh as gateways hand on to it. One for all ports and gateways, since its virtual service is named as the
 * host: that becomes the request's Host.
 */
export class OutsideHost extends Construct implements IVirtualService {
  /**
   * The one of this host name, made in `scope` if there is none yet, with this port.
   * @throws Error when the host's port is called by TLS and in the clear.
   */
  public static of(scope: Construct, props: OutsideHostProps): OutsideHost {
    const { mesh, hostname, port, tls } = props
    const known = claimant(scope, claimOf(mesh, 'virtual-service', hostname))?.node.scope
    const host = known instanceof OutsideHost ? known : new OutsideHost(scope, `Outside-${hostname}`, props)
    if ((host.#ports.get(port) ?? tls) !== tls) {
      throw new Error(
        `${scope.node.path}: ${hostname} on port ${port} is called by TLS and in the clear, and a host has one rule for a port; ` +
          'use the same tls for it everywhere',
      )
    }
    host.#ports.set(port, tls)
    return host
  }

  public readonly mesh: IMesh
  public readonly virtualServiceName: string
  public readonly virtualServicePort: number
  public readonly virtualServiceResource: CfnVirtualService
  readonly #ports = new Map<number, boolean>()

  private constructor(scope: Construct, id: string, { mesh, hostname, virtualNodeName, port }: OutsideHostProps) {
    super(scope, id)
    this.mesh = mesh
    this.virtualServiceName = hostname
    this.virtualServicePort = port
    const ports = this.#ports
    const node = dnsNode(this, 'Node', { mesh, virtualNodeName, hostname, ports, responseType: 'LOADBALANCER' })
    this.virtualServiceResource = serviceOf(this, 'Service', mesh, hostname, node)
  }
}

export interface EgressHostProps {
  readonly mesh: IMesh
  /** The name that apps call. */
  readonly virtualServiceName: string
  /** The gateway as its callers see it. */
  readonly gateway: CfnVirtualNode
  /** How they call it. */
  readonly clientPolicy: CfnVirtualNode.ClientPolicyProperty
}

/** A host outside of the mesh as apps call it: by way of an egress gateway. */
export class EgressHost extends Construct implements IVirtualService {
  public readonly mesh: IMesh
  public readonly virtualServiceName: string
  public readonly virtualServicePort = 80
  public readonly virtualServiceResource: CfnVirtualService
  public readonly clientPolicy: CfnVirtualNode.ClientPolicyProperty

  public constructor(scope: Construct, id: string, props: EgressHostProps) {
    super(scope, id)
    const { mesh } = props
    this.mesh = mesh
    this.virtualServiceName = props.virtualServiceName
    this.clientPolicy = props.clientPolicy
    this.virtualServiceResource = serviceOf(this, 'VirtualService', mesh, this.virtualServiceName, props.gateway)
  }
}

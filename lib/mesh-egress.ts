import { Lazy, Resource, Token } from 'aws-cdk-lib'
import type { CfnVirtualGateway, CfnVirtualNode } from 'aws-cdk-lib/aws-appmesh'
import { type Connections, type IConnectable, Port } from 'aws-cdk-lib/aws-ec2'
import type { IGrantable, IPrincipal } from 'aws-cdk-lib/aws-iam'
import type { Construct } from 'constructs'
import { spiffeId } from '../runtime/model/identity.ts'
import { GatewayLoadBalancer } from './gateway-load-balancer.ts'
import { HostnameMatch } from './gateway-route.ts'
import type { IMesh } from './mesh.ts'
import { type GatewayOptions, GatewayTls, MeshGateway } from './mesh-gateway.ts'
import { registerInCloudMap } from './private/ecs-service.ts'
import { dnsNode, EgressHost, OutsideHost } from './private/egress-host.ts'
import { checkMesh, checkPort, nameOf } from './private/naming.ts'
import type { IVirtualService } from './virtual-service.ts'

/** The gateway of a way out: where members reach it, whom it trusts outside, and how it runs. */
export interface MeshEgressProps extends GatewayOptions {
  /**
   * Where members of the mesh reach the gateway.
   * @default 8443
   */
  readonly port?: number
  /**
   * PEM file in the gateway's container with the authorities whose certificates outside hosts must have.
   * @default - /etc/ssl/certs/ca-certificates.crt, the public ones as Debian has them; part of the package's image
   */
  readonly trustFile?: string
}

/** How the gateway calls an outside host. */
export interface EgressHostOptions {
  /**
   * First label of the name by which apps call it; a host on several ports, or of several gateways, has one for each.
   * @default - the host name with "-" for each dot
   */
  readonly name?: string
  /** @default - 443, without TLS 80 */
  readonly port?: number
  /**
   * Whether the gateway calls it by TLS. Its certificate must then be of an authority in `trustFile`, and for the host name.
   * @default true
   */
  readonly tls?: boolean
}

/** Host names in lower case; the last label has a letter, so that addresses are none. */
const HOST_NAME = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9-]{2,63}$/
const PUBLIC_AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt'

/**
 * The way out of a mesh: proxies on Fargate that call the hosts they are told to, and no other. Members reach them by mTLS;
 * the hosts see the addresses of the gateway's subnets (a NAT gateway's). HTTP only; the gateway encrypts on the way out.
 */
export class MeshEgress extends Resource implements IConnectable, IGrantable {
  /** The mesh whose members go out by it. */
  public readonly mesh: IMesh
  /** What it is made of: ECS service, task definition, virtual gateway. */
  public readonly gateway: MeshGateway
  /** The gateway's port, which members of the mesh may reach. */
  public readonly connections: Connections
  /** The task role. */
  public readonly grantPrincipal: IPrincipal
  readonly #port: number
  readonly #trustFile: string
  readonly #virtualNode: CfnVirtualNode
  readonly #hosts: {
    readonly name: string
    readonly hostname: string
    readonly port: number
    readonly tls: boolean
  }[] = []

  public constructor(scope: Construct, id: string, props: MeshEgressProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    const { mesh, port = 8443, trustFile = PUBLIC_AUTHORITIES, ...options } = props
    this.mesh = mesh
    this.#port = port
    this.#trustFile = trustFile
    checkPort(this, 'port', port)
    const name = nameOf(this, 'virtualGatewayName', props.virtualGatewayName)
    this.gateway = new MeshGateway(this, 'Gateway', {
      accessLogs: true,
      ...options,
      mesh,
      virtualGatewayName: name,
      listeners: [{ port, tls: GatewayTls.membersOnly() }],
      loadBalancer: GatewayLoadBalancer.none(),
    })
    const { virtualGatewayResource: resource } = this.gateway
    resource.spec = {
      ...(resource.spec as CfnVirtualGateway.VirtualGatewaySpecProperty),
      backendDefaults: Lazy.any({ produce: () => this.#backendDefaults() }),
    }
    this.grantPrincipal = this.gateway.grantPrincipal
    this.connections = this.gateway.connections
    // Not by way of the connections, which would change the members' group, too.
    const [group] = this.connections.securityGroups
    group!.addIngressRule(mesh.memberSecurityGroup, Port.tcp(port), 'mTLS from members of the mesh')
    registerInCloudMap(this.gateway.service, mesh, name)
    this.#virtualNode = dnsNode(this, 'VirtualNode', {
      mesh,
      virtualNodeName: name,
      hostname: `${name}.${mesh.namespace.namespaceName}`,
      ports: new Map([[port, true]]),
      responseType: 'ENDPOINTS',
    })
    this.node.addValidation({ validate: () => this.#problems() })
  }

  /**
   * Lets members call a host outside, as `http://<name>.<zone of the mesh>`. Apps that do have it among their `backends`.
   * @param hostname such as `api.partner.example`; also what the host sees as Host, without a port.
   * @throws Error when the name can't be one, or is another host's, or hosts on one port differ in TLS.
   */
  public host(hostname: string, options: EgressHostOptions = {}): IVirtualService {
    const { tls = true, port = tls ? 443 : 80 } = options
    this.#checkHost(hostname, port, tls)
    const name = nameOf(this, 'name', options.name ?? hostname.replaceAll('.', '-'))
    const namesake = this.#hosts.find((known) => known.name === name)
    if (namesake !== undefined) {
      throw new Error(
        `${this.node.path}: ${hostname} on port ${port} would be called ${name}, as ${namesake.hostname} on port ` +
          `${namesake.port} is; give it another name`,
      )
    }
    const { mesh, gateway } = this
    const host = new EgressHost(this, name, {
      mesh,
      virtualServiceName: `${name}.${mesh.zoneName}`,
      gateway: this.#virtualNode,
      clientPolicy: this.#clientPolicy(),
    })
    const virtualNodeName = `${gateway.virtualGatewayName}-${name}`
    const target = OutsideHost.of(this, { mesh, hostname, virtualNodeName, port, tls })
    this.#hosts.push({ name, hostname, port, tls })
    gateway.route(`Route-${name}`, {
      gatewayRouteName: name,
      hostname: HostnameMatch.exact(host.virtualServiceName),
      target,
      targetPort: port,
    })
    return host
  }

  /** Both sides show certificates of the mesh, and the callee none but the gateway's own. */
  #clientPolicy(): CfnVirtualNode.ClientPolicyProperty {
    const { meshName, trustDomain, zoneName } = this.mesh
    const secret = { sds: { secretName: 'weft' } }
    const id = spiffeId(trustDomain ?? zoneName, {
      kind: 'virtual-gateway',
      mesh: meshName,
      name: this.gateway.virtualGatewayName,
    })
    const validation = { trust: secret, subjectAlternativeNames: { match: { exact: [id] } } }
    return { tls: { enforce: true, ports: [this.#port], certificate: secret, validation } }
  }

  /** A virtual gateway has one policy for all; each host in it must still show its own name. */
  #backendDefaults(): CfnVirtualGateway.VirtualGatewayBackendDefaultsProperty | undefined {
    const byTls = this.#hosts.filter(({ tls }) => tls)
    if (byTls.length === 0) return undefined
    const ports = [...new Set(byTls.map(({ port }) => port))]
    const validation = {
      trust: { file: { certificateChain: this.#trustFile } },
      subjectAlternativeNames: { match: { exact: [...new Set(byTls.map(({ hostname }) => hostname))] } },
    }
    return { clientPolicy: { tls: { enforce: true, ports, validation } } }
  }

  #checkHost(hostname: string, port: number, tls: boolean): void {
    const { path } = this.node
    if (Token.isUnresolved(hostname) || !HOST_NAME.test(hostname)) {
      throw new Error(
        `${path}: ${JSON.stringify(hostname)} is no host name; give it literally and in lower case, without scheme, port and ` +
          'path, such as api.partner.example',
      )
    }
    checkPort(this, 'port', port)
    if (hostname.endsWith(`.${this.mesh.zoneName}`)) {
      throw new Error(`${path}: ${hostname} is inside the mesh; give it to the callers' backends as it is`)
    }
    for (const known of this.#hosts) {
      if (known.port !== port) continue
      if (known.hostname === hostname && known.tls === tls) {
        throw new Error(`${path}: ${hostname} on port ${port} is a host of it already; use what host() gave`)
      }
      if (known.tls === tls) continue
      throw new Error(
        `${path}: ${hostname} and ${known.hostname} are both on port ${port}, one by TLS and one not, and a gateway has one rule for ` +
          'a port; give one of them a MeshEgress of its own',
      )
    }
  }

  #problems(): string[] {
    if (this.#hosts.length > 0) return []
    return ['an egress gateway without hosts lets nothing out; call host(...), or leave it out']
  }
}

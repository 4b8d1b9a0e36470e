import { Lazy, Resource } from 'aws-cdk-lib'
import { CfnVirtualGateway } from 'aws-cdk-lib/aws-appmesh'
import { Connections, type IConnectable, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IGrantable, IPrincipal } from 'aws-cdk-lib/aws-iam'
import type { Construct } from 'constructs'
import { SCRAPE_PORT } from '../runtime/model/proxy-ports.ts'
import type { EcsServiceOptions } from './ecs-service-options.ts'
import { GatewayLoadBalancer } from './gateway-load-balancer.ts'
import { GatewayRoute, type GatewayRouteOptions } from './gateway-route.ts'
import type { IMesh } from './mesh.ts'
import { MeshPolicy, PolicyTarget } from './policy.ts'
import { type Balanced, type BalancedListener, balanced } from './private/balanced.ts'
import { isSameMesh } from './private/claims.ts'
import { ecsService } from './private/ecs-service.ts'
import { misfits, neededPort, serviceListenersOf } from './private/listeners.ts'
import { meshResource } from './private/mesh-resource.ts'
import { argue } from './private/nag.ts'
import { checkMesh, checkPort, nameOf } from './private/naming.ts'
import { unreachable } from './private/reachability.ts'
import { RoleBinding } from './private/role-binding.ts'
import { addSidecar } from './private/sidecar.ts'
import { MeshProtocol } from './protocol.ts'
import type { SidecarOptions } from './sidecar-options.ts'
import type { IMeshCaller, MeshCaller } from './virtual-node.ts'
import type { IVirtualService } from './virtual-service.ts'

/** The certificate that a gateway shows its clients, where it ends TLS itself. */
export class GatewayTls {
  /** The gateway's certificate in the mesh; for clients that trust the mesh's CA. */
  public static meshCertificate(): GatewayTls {
    return new GatewayTls({ sds: { secretName: 'weft' } })
  }

  /** The same for members of the mesh only: who shows no certificate of the mesh is refused. */
  public static membersOnly(): GatewayTls {
    const secret = { sds: { secretName: 'weft' } }
    return new GatewayTls(secret, { trust: secret })
  }

  /** PEM files in the gateway's container, such as of a volume or an image of your own. */
  public static files(certificateChain: string, privateKey: string): GatewayTls {
    return new GatewayTls({ file: { certificateChain, privateKey } })
  }

  /** As App Mesh has it. */
  public readonly certificate: CfnVirtualGateway.VirtualGatewayListenerTlsCertificateProperty

  /** Whom it lets in, as App Mesh has it; undefined: everybody. */
  public readonly validation?: CfnVirtualGateway.VirtualGatewayListenerTlsValidationContextProperty

  private constructor(
    certificate: CfnVirtualGateway.VirtualGatewayListenerTlsCertificateProperty,
    validation?: CfnVirtualGateway.VirtualGatewayListenerTlsValidationContextProperty,
  ) {
    this.certificate = certificate
    if (validation !== undefined) this.validation = validation
  }
}

function tlsOf({ certificate, validation }: GatewayTls): CfnVirtualGateway.VirtualGatewayListenerTlsProperty {
  return { mode: 'STRICT', certificate, ...(validation === undefined ? {} : { validation }) }
}

/** A certificate in PEM files in the gateway's container, for the DNS names in it. */
export interface GatewayCertificate {
  /** Path of the chain; the certificate itself comes first. */
  readonly certificateChain: string
  /** Path of its key. */
  readonly privateKey: string
}

/** TLS that a gateway does not end. */
export interface TlsPassthroughOptions {
  /** Names that clients ask for (SNI); `*.db.example` stands for all names below. */
  readonly hosts: string[]
  /** A virtual service that speaks TCP, whose app ends the TLS. */
  readonly target: IVirtualService
  /**
   * Which of the target's ports.
   * @default - its first that speaks TCP
   */
  readonly targetPort?: number
}

/** A port of a gateway. */
export interface GatewayListener {
  /** Where the gateway listens, 1 to 65535; below 1024, too. */
  readonly port: number
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /** @default - plaintext from the load balancer */
  readonly tls?: GatewayTls
  /**
   * Port of the load balancer.
   * @default - 443 with TLS, be it at the load balancer or in the gateway, else 80
   */
  readonly externalPort?: number
}

/** What the gateways in and out of a mesh have in common. */
export interface GatewayOptions extends EcsServiceOptions {
  readonly mesh: IMesh
  /** @default - the construct's id in kebab case */
  readonly virtualGatewayName?: string
  /**
   * CPU units of the task.
   * @default 256
   */
  readonly cpu?: number
  /**
   * MiB of the task.
   * @default 512
   */
  readonly memoryLimitMiB?: number
  /** @default - Linux on X86_64 */
  readonly runtimePlatform?: ecs.RuntimePlatform
  /**
   * Whether the proxy writes a line for each request to its log.
   * @default - false; of an egress gateway true
   */
  readonly accessLogs?: boolean
  /**
   * Who may read metrics on port 9902, such as a Prometheus.
   * @default - nobody but the load balancer, for readiness
   */
  readonly scrapeFrom?: IConnectable[]
  /** Of the proxy itself. @default - see {@link SidecarOptions} */
  readonly sidecar?: SidecarOptions
}

/** The listeners of a way in, their certificates, and the load balancer before them. */
export interface MeshGatewayProps extends GatewayOptions {
  /** @default - HTTP on port 8080 */
  readonly listeners?: GatewayListener[]
  /**
   * More certificates for the listeners with TLS, each for clients that ask for a DNS name in it.
   * @default - each listener shows its own to everybody
   */
  readonly certificates?: GatewayCertificate[]
  /** @default GatewayLoadBalancer.network() */
  readonly loadBalancer?: GatewayLoadBalancer
}

/** The way into a mesh: a virtual gateway, proxies on Fargate, and a load balancer before them. */
export class MeshGateway extends Resource implements IMeshCaller, IConnectable, IGrantable {
  /** A gateway that is no part of this app, to let in. */
  public static fromVirtualGatewayName(mesh: IMesh, virtualGatewayName: string): IMeshCaller {
    return { mesh, meshCaller: { virtualGatewayName } }
  }

  public readonly mesh: IMesh
  /** Its name, unique among the virtual gateways of the mesh. */
  public readonly virtualGatewayName: string
  public readonly meshCaller: MeshCaller
  /** `Custom::WeftVirtualGateway`, with the properties of App Mesh's; takes overrides. */
  public readonly virtualGatewayResource: CfnVirtualGateway
  /** Its tasks, as ECS has them. */
  public readonly service: ecs.BaseService
  /** The proxy, and nothing beside it. */
  public readonly taskDefinition: ecs.FargateTaskDefinition
  /** The container `weft`. */
  public readonly sidecar: ecs.ContainerDefinition
  /** Clients: of the load balancer where there is one, else of the gateway itself. */
  public readonly connections: Connections
  /** The task role. */
  public readonly grantPrincipal: IPrincipal
  readonly #balanced: Balanced | undefined
  readonly #listeners: readonly GatewayListener[]
  readonly #routes: GatewayRoute[] = []
  readonly #passed: object[] = []
  #passthrough: MeshPolicy | undefined

  public constructor(scope: Construct, id: string, props: MeshGatewayProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    const { mesh } = props
    this.mesh = mesh
    this.virtualGatewayName = nameOf(this, 'virtualGatewayName', props.virtualGatewayName)
    this.meshCaller = { virtualGatewayName: this.virtualGatewayName }
    this.#listeners = props.listeners ?? [{ port: 8080 }]
    const listeners = this.#balancedListeners(props)
    this.virtualGatewayResource = this.#virtualGateway(props)
    this.taskDefinition = new ecs.FargateTaskDefinition(this, 'TaskDefinition', {
      cpu: props.cpu ?? 256,
      memoryLimitMiB: props.memoryLimitMiB ?? 512,
      ...(props.runtimePlatform === undefined ? {} : { runtimePlatform: props.runtimePlatform }),
    })
    argue(
      this.taskDefinition,
      'ECS2',
      'The environment names the control plane, the mesh and the gateway; none is secret',
    )
    this.grantPrincipal = this.taskDefinition.taskRole.grantPrincipal
    const { virtualGatewayName, taskDefinition } = this
    const binding = new RoleBinding(this, 'RoleBinding', {
      mesh,
      taskRole: taskDefinition.taskRole,
      virtualGatewayName,
      after: this.virtualGatewayResource,
    })
    const ports = listeners.map(({ port }) => port)
    this.sidecar = addSidecar(taskDefinition, { ...props.sidecar, mesh, virtualGatewayName, ports })
    const securityGroup = this.#securityGroup(props)
    this.service = ecsService(this, { ...props, taskDefinition, securityGroup })
    this.service.node.addDependency(this.virtualGatewayResource, binding)
    if (props.certificates !== undefined) {
      this.#tlsPolicy('certificates', { certificates: props.certificates.map((file) => ({ file })) })
    }
    const loadBalancer = props.loadBalancer ?? GatewayLoadBalancer.network()
    this.#balanced = balanced(this, { mesh, service: this.service, securityGroup, listeners, loadBalancer })
    const first = listeners[0]!
    this.connections =
      this.#balanced === undefined
        ? new Connections({ securityGroups: [securityGroup], defaultPort: Port.tcp(first.port) })
        : new Connections({
            securityGroups: [this.#balanced.securityGroup],
            defaultPort: Port.tcp(first.externalPort),
          })
    this.node.addValidation({ validate: () => unreachable(this.#routes.map((route) => route._tried())) })
  }

  /**
   * Host name of the load balancer.
   * @throws Error when the gateway has none of its own.
   */
  public get loadBalancerDnsName(): string {
    if (this.#balanced !== undefined) return this.#balanced.loadBalancer.loadBalancerDnsName
    throw new Error(`${this.node.path} has no load balancer of its own; ask the one that you added it to`)
  }

  /** Hands requests from outside to a virtual service. */
  public route(id: string, options: GatewayRouteOptions): GatewayRoute {
    const route = new GatewayRoute(this, id, { ...options, gateway: this })
    this.#routes.push(route)
    return route
  }

  /**
   * Leaves the TLS of some names to the app behind a virtual service; the gateway ends that of all others.
   * @throws Error when no listener has TLS, or the target is in another mesh.
   */
  public passTlsThrough(options: TlsPassthroughOptions): void {
    const { hosts, target, targetPort } = options
    if (!isSameMesh(target.mesh, this.mesh)) {
      throw new Error(
        `${this.node.path}: virtual service ${target.virtualServiceName} is in mesh ${target.mesh.meshName}, the gateway in ` +
          `${this.mesh.meshName}; go through the gateway of that mesh`,
      )
    }
    const { virtualServiceName: virtualService } = target
    const port = Lazy.any({ produce: () => neededPort(targetPort, serviceListenersOf(target)) })
    this.#passed.push({ hosts, virtualService, port })
    this.node.addValidation({ validate: () => this.#misfits(options) })
    this.#passthrough ??= this.#tlsPolicy('tls-passthrough', { routes: this.#passed })
    if (target.virtualServiceResource === undefined) return
    this.#passthrough.policyResource.addResourceDependency(target.virtualServiceResource)
  }

  #misfits({ hosts, target, targetPort }: TlsPassthroughOptions): string[] {
    const listeners = serviceListenersOf(target)
    return misfits({
      route: `the TLS of ${hosts.join(', ')} at gateway ${this.virtualGatewayName}`,
      protocol: MeshProtocol.TCP,
      target: `virtual service ${target.virtualServiceName}`,
      port: targetPort ?? listeners?.find(({ protocol }) => protocol === 'tcp')?.port,
      listeners,
    })
  }

  #tlsPolicy(policyKind: string, spec: { [key: string]: unknown }): MeshPolicy {
    if (this.#listeners.every(({ tls }) => tls === undefined)) {
      throw new Error(`${this.node.path}: ${policyKind} is for listeners with TLS, and there is none; give one tls`)
    }
    const { mesh, virtualGatewayName } = this
    const target = PolicyTarget.virtualGateway(virtualGatewayName)
    const policy = new MeshPolicy(this, `Policy-${policyKind}`, {
      mesh,
      policyKind,
      policyName: virtualGatewayName,
      target,
      spec,
    })
    policy.policyResource.addResourceDependency(this.virtualGatewayResource)
    return policy
  }

  /** @internal What the listener of a route speaks. */
  public _protocolOf(port: number | undefined, path: string): MeshProtocol {
    const listener = this.#listeners.find((one) => port === undefined || one.port === port)
    if (listener !== undefined) return listener.protocol ?? MeshProtocol.HTTP
    const ports = this.#listeners.map((one) => one.port).join(', ')
    throw new Error(`${path}: gateway ${this.virtualGatewayName} has no listener on port ${port}; use one of ${ports}`)
  }

  /** @internal The listener that a route is for, which says nothing: among others, the first, if it alone has its protocol. */
  public _portOf(given: number | undefined): number | undefined {
    if (given !== undefined) return given
    const [first, ...others] = this.#listeners.map(({ port, protocol = MeshProtocol.HTTP }) => ({ port, protocol }))
    return others.some(({ protocol }) => protocol === first?.protocol) ? undefined : first?.port
  }

  #balancedListeners({ loadBalancer }: MeshGatewayProps): readonly BalancedListener[] {
    const endsTls = (loadBalancer?.options.certificates ?? []).length > 0
    const { path } = this.node
    if (this.#listeners.length === 0) throw new Error(`${path}: a gateway without listeners is of no use; add one`)
    const external = new Set<number>()
    return this.#listeners.map(({ port, protocol = MeshProtocol.HTTP, tls, externalPort }) => {
      checkPort(this, 'listeners.port', port)
      if (protocol === MeshProtocol.TCP) {
        throw new Error(
          `${path}: a virtual gateway takes HTTP, HTTP/2 and gRPC, no TCP; put a load balancer before the app`,
        )
      }
      const hasTls = tls !== undefined
      const outside = externalPort ?? (endsTls || hasTls ? 443 : 80)
      if (external.has(outside)) {
        throw new Error(`${path}: two listeners have port ${outside} of the load balancer; give each its externalPort`)
      }
      external.add(outside)
      return { port, protocol, hasTls, externalPort: outside }
    })
  }

  #virtualGateway({ mesh, accessLogs }: MeshGatewayProps): CfnVirtualGateway {
    const resource = new CfnVirtualGateway(this, 'Resource', {
      meshName: mesh.meshName,
      virtualGatewayName: this.virtualGatewayName,
      spec: {
        listeners: this.#listeners.map(({ port, protocol = MeshProtocol.HTTP, tls }) => ({
          portMapping: { port, protocol: protocol.value },
          ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
        })),
        ...(accessLogs === true ? { logging: { accessLog: { file: { path: '/dev/stdout' } } } } : {}),
      },
    })
    return meshResource(resource, { mesh, kind: 'virtual-gateway', name: this.virtualGatewayName })
  }

  #securityGroup({ mesh, scrapeFrom = [] }: MeshGatewayProps): SecurityGroup {
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc: mesh.vpc,
      description: `Tasks of gateway ${this.virtualGatewayName}`,
      allowAllOutbound: true,
    })
    for (const scraper of scrapeFrom) group.connections.allowFrom(scraper, Port.tcp(SCRAPE_PORT), 'Metrics')
    return group
  }
}

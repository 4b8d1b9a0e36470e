import { type Duration, Lazy, Resource } from 'aws-cdk-lib'
import { CfnVirtualNode } from 'aws-cdk-lib/aws-appmesh'
import type { Construct } from 'constructs'
import type { IMesh } from './mesh.ts'
import { claimant, claimsUnder, isOfThisApp, isSameMesh } from './private/claims.ts'
import { claimOf, meshResource } from './private/mesh-resource.ts'
import { checkMesh, checkPort, hostNameOf, nameOf } from './private/naming.ts'
import { MeshProtocol } from './protocol.ts'
import type { IVirtualService } from './virtual-service.ts'

/** How a policy names somebody who calls. One of the two is set. */
export interface MeshCaller {
  /** @default - it is a gateway */
  readonly virtualNodeName?: string
  /** @default - it is a virtual node */
  readonly virtualGatewayName?: string
}

/** Somebody in the mesh who calls virtual services: a virtual node or a virtual gateway. */
export interface IMeshCaller {
  /** The mesh that it is in. */
  readonly mesh: IMesh
  /** Its name as `authorization` policies have it. */
  readonly meshCaller: MeshCaller
}

/** The instances of one version of an app: where routes send to. */
export interface IVirtualNode extends IMeshCaller {
  /** Its name, unique among the virtual nodes of the mesh. */
  readonly virtualNodeName: string
  /**
   * What a route to the node waits for.
   * @default - the node is no part of this app
   */
  readonly virtualNodeResource?: CfnVirtualNode
}

/**
 * Active health check by those who call the node, beside what ECS checks. App Mesh's limits.
 */
export interface NodeHealthCheck {
  /**
   * Asked of HTTP and HTTP/2 apps; gRPC and TCP have no path.
   * @default '/'
   */
  readonly path?: string
  /**
   * 5 s to 5 min.
   * @default Duration.seconds(10)
   */
  readonly interval?: Duration
  /**
   * 2 s to 1 min.
   * @default Duration.seconds(2)
   */
  readonly timeout?: Duration
  /**
   * Successes in a row that make an instance healthy, 2 to 10.
   * @default 2
   */
  readonly healthyThreshold?: number
  /**
   * Failures in a row that make it unhealthy, 2 to 10.
   * @default 3
   */
  readonly unhealthyThreshold?: number
}

/** Where the instances of an app are found, where they listen, and whom they call. */
export interface VirtualNodeProps {
  /** The mesh that it joins; in the same account and region. */
  readonly mesh: IMesh
  /**
   * Also the name of its Cloud Map service.
   * @default - the construct's id in kebab case
   */
  readonly virtualNodeName?: string
  /**
   * Where the app listens.
   * @default - nowhere: it only calls
   */
  readonly port?: number
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /**
   * A host outside of the mesh for which this node stands; its name is resolved by the callers, who call it without mTLS.
   * @default - tasks with a sidecar, found through Cloud Map, called by mTLS only
   */
  readonly hostname?: string
  /**
   * Whether tasks without an ECS service are its instances, which nobody registers in Cloud Map: their sidecars say that they
   * are there. `MeshTask` sets it.
   * @default false
   */
  readonly registersItself?: boolean
  /** @default - none but ECS's own */
  readonly healthCheck?: NodeHealthCheck
  /**
   * Virtual services that the app calls.
   * @default - none; see `addBackend`
   */
  readonly backends?: IVirtualService[]
  /**
   * The same by name, for those that this app defines elsewhere.
   * @default - none
   */
  readonly backendNames?: string[]
  /**
   * Whether the sidecar writes a line for each request to its log.
   * @default false
   */
  readonly accessLogs?: boolean
}

/** A virtual node; {@link MeshService} makes one with everything around it. */
export class VirtualNode extends Resource implements IVirtualNode {
  /** A node that is no part of this app, to route to or to let in. */
  public static fromVirtualNodeName(mesh: IMesh, virtualNodeName: string): IVirtualNode {
    return { mesh, virtualNodeName, meshCaller: { virtualNodeName } }
  }

  public readonly mesh: IMesh
  public readonly virtualNodeName: string
  public readonly meshCaller: MeshCaller
  public readonly virtualNodeResource: CfnVirtualNode
  /** Undefined when nobody calls it. */
  public readonly port?: number
  /** What the app speaks. */
  public readonly protocol: MeshProtocol
  readonly #backends: IVirtualService[] = []
  /** Full. */
  readonly #backendNames: readonly string[]

  public constructor(scope: Construct, id: string, props: VirtualNodeProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    this.mesh = props.mesh
    if (props.port !== undefined) this.port = props.port
    this.protocol = props.protocol ?? MeshProtocol.HTTP
    this.virtualNodeName = nameOf(this, 'virtualNodeName', props.virtualNodeName)
    this.meshCaller = { virtualNodeName: this.virtualNodeName }
    if (props.port !== undefined) checkPort(this, 'port', props.port)
    const resource = new CfnVirtualNode(this, 'Resource', {
      meshName: this.mesh.meshName,
      virtualNodeName: this.virtualNodeName,
      spec: {
        ...(props.port === undefined ? {} : { listeners: [this.#listener(props.port, props)] }),
        ...this.#serviceDiscovery(props),
        backends: Lazy.any({ produce: () => this.#renderBackends() }, { omitEmptyArray: true }),
        ...(props.accessLogs === true ? { logging: { accessLog: { file: { path: '/dev/stdout' } } } } : {}),
      },
    })
    this.virtualNodeResource = meshResource(resource, {
      mesh: this.mesh,
      kind: 'virtual-node',
      name: this.virtualNodeName,
    })
    for (const backend of props.backends ?? []) this.addBackend(backend)
    const { path } = this.node
    this.#backendNames = (props.backendNames ?? []).map((name) => hostNameOf(props.mesh, name, path))
    this.node.addValidation({ validate: () => this.#unknownBackends() })
  }

  /**
   * Lets the app call a virtual service by its name.
   * @throws Error when the service is in another mesh.
   */
  public addBackend(service: IVirtualService): void {
    if (!isSameMesh(service.mesh, this.mesh)) {
      throw new Error(
        `${this.node.path}: backend ${service.virtualServiceName} is in mesh ${service.mesh.meshName}, this node is in ` +
          `${this.mesh.meshName}; a node calls services of its own mesh, others through their gateway`,
      )
    }
    if (!this.#backends.includes(service)) this.#backends.push(service)
  }

  /** The virtual services that the app calls and of which more than the name is known. */
  public get backends(): IVirtualService[] {
    return [...this.#backends]
  }

  /** @internal The same by name and port, and those of the named ones that constructs of this app define. */
  public get _callees(): { name: string; port: number }[] {
    const named = this.#backendNames.map((name) => this.#definitionOf(name)?.node.scope as unknown)
    const ports = new Map<string, number>()
    for (const service of [...named, ...this.#backends] as (Partial<IVirtualService> | undefined)[]) {
      const { virtualServiceName: name, virtualServicePort: port } = service ?? {}
      if (name !== undefined && port !== undefined) ports.set(name, port)
    }
    return [...ports].map(([name, port]) => ({ name, port }))
  }

  #definitionOf(virtualServiceName: string) {
    return claimant(this, claimOf(this.mesh, 'virtual-service', virtualServiceName))
  }

  /** None where the control plane has nothing to go by but what sidecars report. */
  #serviceDiscovery({ hostname, registersItself }: VirtualNodeProps) {
    if (hostname !== undefined) return { serviceDiscovery: { dns: { hostname } } }
    if (registersItself === true) return {}
    const { namespaceName } = this.mesh.namespace
    return { serviceDiscovery: { awsCloudMap: { namespaceName, serviceName: this.virtualNodeName } } }
  }

  #listener(port: number, { hostname, healthCheck }: VirtualNodeProps): CfnVirtualNode.ListenerProperty {
    const protocol = this.protocol.value
    return {
      portMapping: { port, protocol },
      // The certificate is the mesh's own, whatever the secret is called; nobody without one is let in.
      ...(hostname === undefined ? { tls: { mode: 'STRICT', certificate: { sds: { secretName: 'weft' } } } } : {}),
      ...(healthCheck === undefined ? {} : { healthCheck: healthCheckOf(healthCheck, protocol) }),
    }
  }

  #renderBackends(): CfnVirtualNode.BackendProperty[] {
    const backends = new Map(this.#backends.map((one) => [one.virtualServiceName, one.clientPolicy]))
    for (const name of this.#backendNames) if (!backends.has(name)) backends.set(name, undefined)
    return [...backends].map(([virtualServiceName, clientPolicy]) => ({
      virtualService: { virtualServiceName, ...(clientPolicy === undefined ? {} : { clientPolicy }) },
    }))
  }

  /** What the mesh of another app has is not known here. */
  #unknownBackends(): string[] {
    if (!isOfThisApp(this.mesh)) return []
    return this.#backendNames
      .filter((name) => this.#definitionOf(name) === undefined)
      .map((name) => {
        const known = claimsUnder(this, claimOf(this.mesh, 'virtual-service')).join(', ')
        return (
          `backend ${name} is no virtual service of mesh ${this.mesh.meshName} in this app (there are: ${known || 'none'}); ` +
          'correct the name, or give VirtualService.fromVirtualServiceAttributes(...) as one of backends if another app has it'
        )
      })
  }
}

function healthCheckOf(check: NodeHealthCheck, protocol: string): CfnVirtualNode.HealthCheckProperty {
  const hasPath = protocol === 'http' || protocol === 'http2'
  return {
    protocol,
    ...(hasPath ? { path: check.path ?? '/' } : {}),
    intervalMillis: check.interval?.toMilliseconds() ?? 10_000,
    timeoutMillis: check.timeout?.toMilliseconds() ?? 2000,
    healthyThreshold: check.healthyThreshold ?? 2,
    unhealthyThreshold: check.unhealthyThreshold ?? 3,
  }
}

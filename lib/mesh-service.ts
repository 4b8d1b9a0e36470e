import { Annotations, RemovalPolicy, Resource, Token } from 'aws-cdk-lib'
import type { CfnVirtualNode, CfnVirtualService } from 'aws-cdk-lib/aws-appmesh'
import { Connections, type IConnectable, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2'
import * as ecs from 'aws-cdk-lib/aws-ecs'
import type { IGrantable, IPrincipal } from 'aws-cdk-lib/aws-iam'
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { Construct, IDependable } from 'constructs'
import { INBOUND_PORT, SCRAPE_PORT } from '../runtime/model/proxy-ports.ts'
import type { IMesh } from './mesh.ts'
import type { MeshServiceProps } from './mesh-service-props.ts'
import { MeshPolicy, type PolicyOptions, PolicyTarget } from './policy.ts'
import { claimant, isOfThisApp, isSameMesh } from './private/claims.ts'
import { ecsService, joinMesh, registerInCloudMap } from './private/ecs-service.ts'
import { claimOf, unnamedClaimOf } from './private/mesh-resource.ts'
import { checkMesh, checkPort, nameOf } from './private/naming.ts'
import { portClashes } from './private/port-clashes.ts'
import { RoleBinding } from './private/role-binding.ts'
import { addSidecar, appPortsOf } from './private/sidecar.ts'
import { MeshProtocol } from './protocol.ts'
import type { RetryOptions } from './retry.ts'
import type { Route, RouteOptions, TimeoutOptions, WeightedTarget } from './route.ts'
import { type IMeshCaller, type IVirtualNode, type MeshCaller, VirtualNode } from './virtual-node.ts'
import { type IVirtualService, VirtualService } from './virtual-service.ts'

/** A service in the mesh: it is called by its name, and a target of routes. */
export interface IMeshService extends IVirtualNode, IVirtualService {}

/** A mesh service of another app. */
export interface MeshServiceAttributes {
  /** The mesh that it is in. */
  readonly mesh: IMesh
  /** Name of its virtual node and first label of its host name. */
  readonly serviceName: string
  /** @default 80 */
  readonly virtualServicePort?: number
}

/**
 * An app in the mesh: its sidecar, identity, virtual node, virtual service with a router, Cloud Map service and ECS service.
 * Others reach it at `http://<name>.<zone of the mesh>`, by mTLS between the sidecars; its own port is closed to the network.
 */
export class MeshService extends Resource implements IMeshService, IConnectable, IGrantable {
  /** A mesh service that is no part of this app: a backend, a target of routes, somebody to let in. */
  public static fromMeshServiceAttributes(attributes: MeshServiceAttributes): IMeshService {
    const { mesh, serviceName, virtualServicePort } = attributes
    const port = virtualServicePort === undefined ? {} : { port: virtualServicePort }
    return {
      ...VirtualNode.fromVirtualNodeName(mesh, serviceName),
      ...VirtualService.fromVirtualServiceAttributes({ mesh, serviceName, ...port }),
    }
  }

  public readonly mesh: IMesh
  /** As ECS has it. */
  public readonly service: ecs.BaseService
  /** The app and its sidecar. */
  public readonly taskDefinition: ecs.TaskDefinition
  /** The container `weft`. */
  public readonly sidecar: ecs.ContainerDefinition
  /** What routes send to. */
  public readonly virtualNode: VirtualNode
  /** The mesh port; others than members of the mesh have no use for it. */
  public readonly connections: Connections
  /** The task role. */
  public readonly grantPrincipal: IPrincipal
  #authorization: MeshPolicy | undefined
  readonly #virtualService: VirtualService | undefined
  readonly #allowed: { virtualNode?: string; virtualGateway?: string }[] = []

  public constructor(scope: Construct, id: string, props: MeshServiceProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    const { mesh, port } = props
    this.mesh = mesh
    const name = nameOf(this, 'serviceName', props.serviceName)
    if (port === undefined) this.#checkUncalled(props)
    else checkPort(this, 'port', port)
    this.taskDefinition = this.#taskDefinition(props)
    this.grantPrincipal = this.taskDefinition.taskRole.grantPrincipal
    this.virtualNode = this.#makeVirtualNode(name, props)
    if (port !== undefined) this.#virtualService = this.#makeVirtualService(name, port, props)
    const binding = new RoleBinding(this, 'RoleBinding', {
      mesh,
      taskRole: this.taskDefinition.taskRole,
      virtualNodeName: name,
      after: this.virtualNode.virtualNodeResource,
    })
    const selfRegisters = port === undefined
    this.sidecar = addSidecar(this.taskDefinition, { ...props.sidecar, mesh, virtualNodeName: name, selfRegisters })
    const securityGroup = this.#securityGroup(props)
    this.connections = new Connections({ securityGroups: [securityGroup], defaultPort: Port.tcp(INBOUND_PORT) })
    this.service = this.#makeService(props, securityGroup)
    if (port !== undefined) registerInCloudMap(this.service, mesh, name)
    // A task that starts before the mesh knows it would wait, and count as failed.
    this.service.node.addDependency(...this.#parts(), binding)
    if (props.usesOutboundProxy !== true)
      this.node.addValidation({ validate: () => portClashes(this.virtualNode, this.taskDefinition) })
    if (port !== undefined) this.#warnOfOtherPort(port)
  }

  /**
   * What others call.
   * @throws Error when the app listens nowhere.
   */
  public get virtualService(): VirtualService {
    return this.#checkCalled()
  }

  public get virtualNodeName(): string {
    return this.virtualNode.virtualNodeName
  }

  public get virtualNodeResource(): CfnVirtualNode {
    return this.virtualNode.virtualNodeResource
  }

  public get virtualServiceName(): string {
    return this.virtualService.virtualServiceName
  }

  public get virtualServicePort(): number {
    return this.virtualService.virtualServicePort
  }

  public get virtualServiceResource(): CfnVirtualService {
    return this.virtualService.virtualServiceResource
  }

  public get meshCaller(): MeshCaller {
    return this.virtualNode.meshCaller
  }

  /** Lets the app call another virtual service of the mesh. */
  public addBackend(service: IVirtualService): void {
    this.virtualNode.addBackend(service)
  }

  /** Sends some of the requests to this service elsewhere. */
  public route(id: string, options: RouteOptions): Route {
    return this.virtualService.virtualRouter.route(id, options)
  }

  /** Divides the requests to this service that no route takes, as for a canary. The last call counts. */
  public split(targets: WeightedTarget[]): void {
    this.virtualService.virtualRouter.split(targets)
  }

  /** How requests to this service are repeated, on all routes that have no retry of their own. */
  public retry(options: RetryOptions): void {
    this.virtualService.virtualRouter.retry(options)
  }

  /** How long requests to this service may take, on all routes that have no timeout of their own. */
  public timeout(options: TimeoutOptions): void {
    this.virtualService.virtualRouter.timeout(options)
  }

  /**
   * Lets these callers in, and from the first call on nobody else of the mesh.
   * @throws Error when one is in another mesh, or this app listens nowhere.
   */
  public allowFrom(...callers: IMeshCaller[]): void {
    this.#checkCalled()
    for (const { mesh, meshCaller } of callers) {
      if (isSameMesh(mesh, this.mesh)) continue
      throw new Error(
        `${this.node.path}: ${meshCaller.virtualNodeName ?? meshCaller.virtualGatewayName} is in mesh ${mesh.meshName}, ` +
          `whose certificates mesh ${this.mesh.meshName} does not trust; let a gateway of this mesh in`,
      )
    }
    this.#authorization ??= this.policy('authorization', { allow: this.#allowed })
    for (const { meshCaller } of callers) {
      const { virtualNodeName: virtualNode, virtualGatewayName: virtualGateway } = meshCaller
      this.#allowed.push(virtualNode === undefined ? { virtualGateway: virtualGateway! } : { virtualNode })
    }
    this.node.addValidation({ validate: () => this.#warnOfStrangers(callers) })
  }

  /**
   * Attaches a policy: to the virtual node where it is about who may come in (`authorization`), else to the virtual
   * service. A second one of a kind, for another `target`, needs a `policyName`.
   * @throws Error when there is such a policy already.
   */
  public policy(policyKind: string, spec: { [key: string]: unknown }, options: PolicyOptions = {}): MeshPolicy {
    const { target, policyName = this.virtualNodeName, shadow = false } = options
    // By what stays the same: a policy of the service itself may get another name, one of something else another target.
    const id = target === undefined ? `Policy-${policyKind}` : `Policy-${policyKind}-${policyName}`
    if (this.node.tryFindChild(id) !== undefined) {
      const remedy = target === undefined ? 'make them one' : 'give this one another policyName, or make them one'
      throw new Error(`${this.node.path}: there is ${policyKind} policy ${policyName} already; ${remedy}`)
    }
    const policy = new MeshPolicy(this, id, {
      mesh: this.mesh,
      policyKind,
      policyName,
      spec,
      shadow,
      target:
        target ??
        (policyKind === 'authorization'
          ? PolicyTarget.virtualNode(this.virtualNodeName)
          : PolicyTarget.virtualService(this.virtualServiceName)),
    })
    policy.node.addDependency(...this.#parts())
    // Nobody is let in before a policy says otherwise.
    this.service.node.addDependency(policy)
    return policy
  }

  #parts(): readonly IDependable[] {
    return this.#virtualService === undefined ? [this.virtualNode] : [this.virtualNode, this.#virtualService]
  }

  #checkCalled(): VirtualService {
    if (this.#virtualService !== undefined) return this.#virtualService
    throw new Error(`${this.node.path} listens nowhere, so nobody can call it; set port`)
  }

  /** What only has a meaning for those who call it. */
  #checkUncalled({ protocol, virtualServicePort, healthCheck }: MeshServiceProps): void {
    if ([protocol, virtualServicePort, healthCheck].some((given) => given !== undefined)) this.#checkCalled()
  }

  #taskDefinition(props: MeshServiceProps): ecs.TaskDefinition {
    const given = [props.taskDefinition, props.image, props.service].filter((one) => one !== undefined)
    if (given.length !== 1) {
      throw new Error(`${this.node.path}: give exactly one of taskDefinition, image and service`)
    }
    if (props.image === undefined) return props.taskDefinition ?? props.service!.taskDefinition
    const taskDefinition = new ecs.FargateTaskDefinition(this, 'TaskDefinition', {
      cpu: props.cpu ?? 256,
      memoryLimitMiB: props.memoryLimitMiB ?? 1024,
      ...(props.runtimePlatform === undefined ? {} : { runtimePlatform: props.runtimePlatform }),
    })
    const logGroup = new LogGroup(this, 'Logs', {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    })
    taskDefinition.addContainer('app', {
      image: props.image,
      ...(props.port === undefined ? {} : { portMappings: [{ containerPort: props.port }] }),
      logging: ecs.LogDrivers.awsLogs({ logGroup, streamPrefix: 'app' }),
      ...(props.environment === undefined ? {} : { environment: props.environment }),
    })
    return taskDefinition
  }

  #makeVirtualNode(virtualNodeName: string, props: MeshServiceProps): VirtualNode {
    const { mesh, port, protocol, healthCheck, backends, backendNames, accessLogs } = props
    return new VirtualNode(this, 'VirtualNode', {
      mesh,
      virtualNodeName,
      ...(port === undefined ? { registersItself: true } : { port }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(healthCheck === undefined ? {} : { healthCheck }),
      ...(backends === undefined ? {} : { backends }),
      ...(backendNames === undefined ? {} : { backendNames }),
      ...(accessLogs === undefined ? {} : { accessLogs }),
    })
  }

  #makeVirtualService(serviceName: string, port: number, { mesh, virtualServicePort }: MeshServiceProps) {
    const { protocol } = this.virtualNode
    const chosen = virtualServicePort ?? (protocol === MeshProtocol.TCP ? port : undefined)
    return new VirtualService(this, 'VirtualService', {
      mesh,
      serviceName,
      protocol,
      defaultTarget: this.virtualNode,
      ...(chosen === undefined ? {} : { port: chosen }),
    })
  }

  /** Admits members of the mesh on the mesh port, scrapers on theirs, and nobody on the app's. */
  #securityGroup({ mesh, port, scrapeFrom = [] }: MeshServiceProps): SecurityGroup {
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc: mesh.vpc,
      description: `Tasks of ${this.virtualNodeName} in the mesh`,
      allowAllOutbound: true,
    })
    if (port !== undefined) {
      group.addIngressRule(mesh.memberSecurityGroup, Port.tcp(INBOUND_PORT), 'mTLS from members of the mesh')
    }
    for (const scraper of scrapeFrom) group.connections.allowFrom(scraper, Port.tcp(SCRAPE_PORT), 'Metrics')
    return group
  }

  #makeService(props: MeshServiceProps, securityGroup: SecurityGroup): ecs.BaseService {
    const { mesh, service } = props
    if (service === undefined) return ecsService(this, { ...props, taskDefinition: this.taskDefinition, securityGroup })
    if (service.stack !== this.stack) {
      throw new Error(
        `${this.node.path}: ECS service ${service.node.path} is in another stack, and each of both stacks would wait for the ` +
          'other; make the MeshService in the stack of the ECS service',
      )
    }
    joinMesh(service, mesh, securityGroup)
    return service
  }

  /** Late, since the app may define them later; no error, since somebody may make them by the API. */
  #warnOfStrangers(callers: readonly IMeshCaller[]): string[] {
    for (const { mesh, meshCaller } of callers) {
      const { virtualNodeName: node, virtualGatewayName: gateway } = meshCaller
      const [kind, name] =
        node === undefined ? (['virtual-gateway', gateway!] as const) : (['virtual-node', node] as const)
      if (!isOfThisApp(mesh) || Token.isUnresolved(name)) continue
      if ([claimOf(mesh, kind, name), unnamedClaimOf(mesh)].some((what) => claimant(this, what) !== undefined)) continue
      Annotations.of(this).addWarningV2(
        'weft-mesh:unknown-caller',
        `allowFrom names ${kind} ${name}, which this app does not have in mesh ${mesh.meshName}; is that its name?`,
      )
    }
    return []
  }

  #warnOfOtherPort(port: number): void {
    const declared = appPortsOf(this.taskDefinition).map((one) => one.port)
    if (declared.length === 0 || declared.includes(port)) return
    if ([port, ...declared].some((one) => Token.isUnresolved(one))) return
    Annotations.of(this).addWarningV2(
      'weft-mesh:port-not-declared',
      `port is ${port}, but the containers of the task declare ${declared.join(', ')}; is it where the app listens?`,
    )
  }
}

import { Resource } from 'aws-cdk-lib'
import { CfnVirtualRouter } from 'aws-cdk-lib/aws-appmesh'
import type { Construct } from 'constructs'
import type { IMesh } from './mesh.ts'
import { meshResource } from './private/mesh-resource.ts'
import { checkMesh, checkPort, nameOf } from './private/naming.ts'
import { unreachable } from './private/reachability.ts'
import { MeshProtocol } from './protocol.ts'
import type { RetryOptions } from './retry.ts'
import { Route, type RouteOptions, type TimeoutOptions, type WeightedTarget } from './route.ts'
import type { IVirtualNode } from './virtual-node.ts'

/** Port of a virtual service that speaks HTTP in any version, whatever the app's port is. */
export const HTTP_PORT = 80

/** The port of a router, and where requests go that no route of it takes. */
export interface VirtualRouterProps {
  /** The mesh that it is in; of the same account and region. */
  readonly mesh: IMesh
  /** @default - the construct's id in kebab case */
  readonly virtualRouterName?: string
  /**
   * Port of the virtual services that it is for.
   * @default - 80; needed with TCP
   */
  readonly port?: number
  /** @default MeshProtocol.HTTP */
  readonly protocol?: MeshProtocol
  /**
   * Where requests go that no other route takes.
   * @default - nowhere, until there is a `split`
   */
  readonly defaultTarget?: IVirtualNode
}

/** Chooses the version of an app for each request. A route named `default` takes what no other one does. */
export class VirtualRouter extends Resource {
  /** The mesh that it is in. */
  public readonly mesh: IMesh
  /** Its name, unique among the virtual routers of the mesh. */
  public readonly virtualRouterName: string
  /** Port of its virtual services. */
  public readonly port: number
  /** What it routes: all its routes and their targets speak it. */
  public readonly protocol: MeshProtocol
  /** `Custom::WeftVirtualRouter`, with the properties of App Mesh's; takes overrides. */
  public readonly virtualRouterResource: CfnVirtualRouter
  readonly #routes: Route[] = []
  #default: Route | undefined
  #retry: RetryOptions | undefined
  #timeout: TimeoutOptions | undefined

  public constructor(scope: Construct, id: string, props: VirtualRouterProps) {
    super(scope, id)
    checkMesh(this, props.mesh)
    this.mesh = props.mesh
    this.protocol = props.protocol ?? MeshProtocol.HTTP
    if (props.port === undefined && this.protocol === MeshProtocol.TCP) {
      throw new Error(`${this.node.path}: TCP has no usual port; set port`)
    }
    this.port = props.port ?? HTTP_PORT
    checkPort(this, 'port', this.port)
    this.virtualRouterName = nameOf(this, 'virtualRouterName', props.virtualRouterName)
    const resource = new CfnVirtualRouter(this, 'Resource', {
      meshName: this.mesh.meshName,
      virtualRouterName: this.virtualRouterName,
      spec: { listeners: [{ portMapping: { port: this.port, protocol: this.protocol.value } }] },
    })
    const { mesh, virtualRouterName: name } = this
    this.virtualRouterResource = meshResource(resource, { mesh, kind: 'virtual-router', name })
    if (props.defaultTarget !== undefined) this.split([{ target: props.defaultTarget, weight: 100 }])
    this.node.addValidation({ validate: () => this.#problems() })
  }

  /** @internal Of routes that say nothing of their own. */
  public get _retry(): RetryOptions | undefined {
    return this.#retry
  }

  /** @internal The same. */
  public get _timeout(): TimeoutOptions | undefined {
    return this.#timeout
  }

  /**
   * Sends some requests elsewhere.
   * @throws Error when the weights do not add up to 100, or a target is in another mesh.
   */
  public route(id: string, options: RouteOptions): Route {
    if (this.node.tryFindChild(id) !== undefined) {
      const remedy = id === 'default' ? 'split(...) says where it sends' : 'give this one another id'
      throw new Error(`${this.node.path}: there is a route ${id} already; ${remedy}`)
    }
    const route = new Route(this, id, { ...options, router: this })
    this.#routes.push(route)
    return route
  }

  /**
   * Divides the requests that no other route takes, as for a canary. The last call counts.
   * @throws Error when the weights do not add up to 100, or a target is in another mesh.
   */
  public split(targets: WeightedTarget[]): void {
    if (this.#default === undefined) this.#default = this.route('default', { targets })
    else this.#default._setTargets(targets)
  }

  /** Retries of every route that has none of its own. */
  public retry(options: RetryOptions): void {
    if (this.protocol === MeshProtocol.TCP) {
      throw new Error(`${this.node.path}: TCP has no requests to repeat; the app retries where its protocol knows how`)
    }
    this.#retry = options
  }

  /** Timeouts of every route that has none of its own. */
  public timeout(options: TimeoutOptions): void {
    this.#timeout = options
  }

  #problems(): string[] {
    if (this.#routes.length === 0) {
      return [`virtual router ${this.virtualRouterName} has no route, so nobody answers; call split(...) or route(...)`]
    }
    const others = this.#routes.filter((route) => !route._byServerName)
    return unreachable(others.map((route) => route._tried()))
  }
}

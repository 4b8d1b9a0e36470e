import { type Duration, Lazy, Names, Resource, Token } from 'aws-cdk-lib'
import { CfnRoute } from 'aws-cdk-lib/aws-appmesh'
import type { Construct } from 'constructs'
import { MeshPolicy, PolicyTarget } from './policy.ts'
import { isSameMesh } from './private/claims.ts'
import { listenersOf, misfits, neededPort } from './private/listeners.ts'
import { meshResource } from './private/mesh-resource.ts'
import { nameOf } from './private/naming.ts'
import type { Tried } from './private/reachability.ts'
import { MeshProtocol } from './protocol.ts'
import { type RetryOptions, renderDuration, renderRetry } from './retry.ts'
import { RouteMatch } from './route-match.ts'
import type { IVirtualNode } from './virtual-node.ts'
import type { VirtualRouter } from './virtual-router.ts'

/** How long requests may take. */
export interface TimeoutOptions {
  /**
   * The whole request, retries included; zero: no limit. Not for TCP.
   * @default Duration.seconds(15)
   */
  readonly perRequest?: Duration
  /**
   * While no byte moves; zero: no limit.
   * @default Duration.minutes(5)
   */
  readonly idle?: Duration
}

/** A part of the requests of a route. */
export interface WeightedTarget {
  /** Whose instances get this part of the requests. */
  readonly target: IVirtualNode
  /** In percent, 0 to 100. Those of one route add up to 100. */
  readonly weight: number
  /**
   * Which of the node's listeners.
   * @default - the first
   */
  readonly port?: number
}

/** Where to send what. */
export interface RouteOptions {
  /** @default - every request */
  readonly match?: RouteMatch
  /**
   * TCP only: the route takes clients of TLS that ask for one of these names (SNI), and nobody else; `*.db.example` stands for
   * all names below. A route without takes what no other one does.
   * @default - every connection
   */
  readonly serverNames?: string[]
  /**
   * Where all of them go. Exactly one of `target` and `targets`.
   * @default - `targets` says it
   */
  readonly target?: IVirtualNode
  /**
   * Up to ten, by weight.
   * @default - `target` says it
   */
  readonly targets?: WeightedTarget[]
  /**
   * 0 to 1000; lower is tried first.
   * @default - after all that have one; among those, exact paths first, then the longest prefix
   */
  readonly priority?: number
  /** @default - the router's */
  readonly retry?: RetryOptions
  /** @default - the router's */
  readonly timeout?: TimeoutOptions
  /** @default - the construct's id in kebab case */
  readonly routeName?: string
}

/** A route, and the router that it is on. */
export interface RouteProps extends RouteOptions {
  /** The router that it is on. */
  readonly router: VirtualRouter
}

/** A route of a virtual router. `VirtualRouter.route` makes one. */
export class Route extends Resource {
  /** Its name, unique among those of the router. */
  public readonly routeName: string
  public readonly router: VirtualRouter
  /** `Custom::WeftRoute`, with the properties of App Mesh's; takes overrides. */
  public readonly routeResource: CfnRoute
  readonly #options: RouteOptions
  readonly #match: RouteMatch
  #targets: WeightedTarget[] = []

  public constructor(scope: Construct, id: string, props: RouteProps) {
    super(scope, id)
    const { router } = props
    this.router = router
    this.#options = props
    this.#match = props.match ?? (router.protocol === MeshProtocol.GRPC ? RouteMatch.grpc() : RouteMatch.any())
    this.routeName = nameOf(this, 'routeName', props.routeName)
    this.#checkProtocol()
    const { meshName } = router.mesh
    const { virtualRouterName } = router
    const spec = Lazy.any({ produce: () => this.#renderSpec() }) as unknown as CfnRoute.RouteSpecProperty
    const resource = new CfnRoute(this, 'Resource', { meshName, virtualRouterName, routeName: this.routeName, spec })
    this.routeResource = meshResource(resource, {
      mesh: router.mesh,
      kind: 'route',
      name: `${virtualRouterName}/${this.routeName}`,
    })
    this.routeResource.addResourceDependency(router.virtualRouterResource)
    this._setTargets(this.#givenTargets())
    if (props.serverNames !== undefined) this.#takeOnly(props.serverNames)
    this.node.addValidation({ validate: () => this.#targets.flatMap((target) => this.#misfits(target)) })
  }

  /** @internal Takes the place of the targets that were there. */
  public _setTargets(targets: WeightedTarget[]): void {
    checkWeights(this.node.path, targets)
    for (const { target } of targets) {
      if (!isSameMesh(target.mesh, this.router.mesh)) {
        throw new Error(
          `${this.node.path}: target ${target.virtualNodeName} is in mesh ${target.mesh.meshName}, the route in ` +
            `${this.router.mesh.meshName}; a route sends to nodes of its own mesh only`,
        )
      }
      if (target.virtualNodeResource !== undefined) this.routeResource.addResourceDependency(target.virtualNodeResource)
    }
    this.#targets = targets
  }

  /** @internal */
  public _tried(): Tried {
    return { name: this.routeName, priority: this.#options.priority, match: this.#match._shape() }
  }

  /** @internal Whether others can't hide it, whatever their priority. */
  public get _byServerName(): boolean {
    return this.#options.serverNames !== undefined
  }

  #takeOnly(hosts: string[]): void {
    const { virtualRouterName, mesh } = this.router
    const policy = new MeshPolicy(this, 'ServerNames', {
      mesh,
      policyKind: 'sni',
      // Names of router and route together may be longer than a name is.
      policyName: Names.uniqueResourceName(this, { maxLength: 63, separator: '-' }).toLowerCase(),
      target: PolicyTarget.route(virtualRouterName, this.routeName),
      spec: { hosts },
    })
    policy.policyResource.addResourceDependency(this.routeResource)
  }

  #givenTargets(): WeightedTarget[] {
    const { target, targets } = this.#options
    if ((target === undefined) === (targets === undefined)) {
      throw new Error(`${this.node.path}: give exactly one of target and targets`)
    }
    return targets ?? [{ target: target!, weight: 100 }]
  }

  /** What the protocol of the router can't do. */
  #checkProtocol(): void {
    const { protocol } = this.router
    const { path } = this.node
    if (protocol === MeshProtocol.TCP) {
      if (this.#options.match !== undefined) throw new Error(`${path}: TCP has no requests to match; leave match out`)
      return
    }
    if (this.#options.serverNames !== undefined) {
      throw new Error(`${path}: serverNames are for TCP; requests are routed by their host and path, see match`)
    }
    if ((protocol === MeshProtocol.GRPC) !== (this.#match._grpc !== undefined)) {
      const right = protocol === MeshProtocol.GRPC ? 'RouteMatch.grpc(...)' : 'another RouteMatch than grpc'
      throw new Error(`${path}: the virtual router speaks ${protocol.value}; use ${right}`)
    }
  }

  #misfits({ target: { virtualNodeName, virtualNodeResource }, port }: WeightedTarget): string[] {
    return misfits({
      route: `route ${this.router.virtualRouterName}/${this.routeName}`,
      protocol: this.router.protocol,
      target: `target ${virtualNodeName}`,
      port,
      listeners: listenersOf(virtualNodeResource),
    })
  }

  #renderSpec(): CfnRoute.RouteSpecProperty {
    const { priority } = this.#options
    const weightedTargets = this.#targets.map(({ target, weight, port: given }) => {
      const port = neededPort(given, listenersOf(target.virtualNodeResource))
      return { virtualNode: target.virtualNodeName, weight, ...(port === undefined ? {} : { port }) }
    })
    return { ...this.#renderRoute({ weightedTargets }), ...(priority === undefined ? {} : { priority }) }
  }

  #renderRoute(action: CfnRoute.HttpRouteActionProperty): CfnRoute.RouteSpecProperty {
    const { protocol } = this.router
    const timeout = this.#options.timeout ?? this.router._timeout
    const retry = this.#options.retry ?? this.router._retry
    const rendered = {
      action,
      ...(timeout === undefined ? {} : { timeout: renderTimeout(timeout) }),
    }
    if (protocol === MeshProtocol.TCP) return { tcpRoute: rendered }
    const isGrpc = protocol === MeshProtocol.GRPC
    const retryPolicy = retry === undefined ? {} : { retryPolicy: renderRetry(retry, isGrpc) }
    if (isGrpc) return { grpcRoute: { ...rendered, ...retryPolicy, match: this.#match._grpcMatch() } }
    const route = { ...rendered, ...retryPolicy, match: this.#match._http() }
    return protocol === MeshProtocol.HTTP ? { httpRoute: route } : { http2Route: route }
  }
}

/** Weights are percentages here, so that a canary of 5 means what it says. */
function checkWeights(path: string, targets: WeightedTarget[]): void {
  const weights = targets.map(({ weight }) => weight)
  if (weights.some((weight) => Token.isUnresolved(weight))) return
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (sum === 100) return
  const listed = targets.map(({ target, weight }) => `${target.virtualNodeName}: ${weight}`).join(', ')
  throw new Error(`${path}: the weights add up to ${sum} (${listed || 'there are none'}); make them add up to 100`)
}

function renderTimeout({ perRequest, idle }: TimeoutOptions) {
  return {
    ...(perRequest === undefined ? {} : { perRequest: renderDuration(perRequest) }),
    ...(idle === undefined ? {} : { idle: renderDuration(idle) }),
  }
}

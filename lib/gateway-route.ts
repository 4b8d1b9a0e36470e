import { Lazy, Resource } from 'aws-cdk-lib'
import { CfnGatewayRoute } from 'aws-cdk-lib/aws-appmesh'
import type { Construct } from 'constructs'
import type { MeshGateway } from './mesh-gateway.ts'
import { isSameMesh } from './private/claims.ts'
import { listenersOf, misfits, neededPort, serviceListenersOf } from './private/listeners.ts'
import { meshResource } from './private/mesh-resource.ts'
import { nameOf } from './private/naming.ts'
import type { Tried } from './private/reachability.ts'
import { MeshProtocol } from './protocol.ts'
import { RouteMatch } from './route-match.ts'
import type { IVirtualService } from './virtual-service.ts'

/** For which hosts a gateway route is. */
export class HostnameMatch {
  /** This name and no other. */
  public static exact(hostname: string): HostnameMatch {
    return new HostnameMatch({ exact: hostname })
  }

  /** The names below it: `example.com` takes `shop.example.com`, not itself. */
  public static below(domain: string): HostnameMatch {
    return new HostnameMatch({ suffix: `*.${domain}` })
  }

  /** As App Mesh has it. */
  public readonly match: CfnGatewayRoute.GatewayRouteHostnameMatchProperty

  private constructor(match: CfnGatewayRoute.GatewayRouteHostnameMatchProperty) {
    this.match = match
  }
}

/** What becomes of the path on its way in. */
export class PathRewrite {
  /** The path stays as it is. */
  public static none(): PathRewrite {
    return new PathRewrite({ prefix: { defaultPrefix: 'DISABLED' } })
  }

  /** The matched prefix becomes another one: with `/v2/`, `/orders/7` is `/v2/7`. Goes with a match by prefix. */
  public static prefix(prefix: string): PathRewrite {
    return new PathRewrite({ prefix: { value: prefix } })
  }

  /** The whole path becomes this one. Goes with a match by path. */
  public static path(path: string): PathRewrite {
    return new PathRewrite({ path: { exact: path } })
  }

  /** As App Mesh has it. */
  public readonly rewrite: CfnGatewayRoute.HttpGatewayRouteRewriteProperty

  private constructor(rewrite: CfnGatewayRoute.HttpGatewayRouteRewriteProperty) {
    this.rewrite = rewrite
  }
}

/** Which requests from outside go to which virtual service. */
export interface GatewayRouteOptions {
  /** The virtual service that answers. */
  readonly target: IVirtualService
  /**
   * Which of the target's ports, where it has several.
   * @default - its first
   */
  readonly targetPort?: number
  /** @default - every request */
  readonly match?: RouteMatch
  /** @default - any host */
  readonly hostname?: HostnameMatch
  /**
   * Port of the gateway's listener that it is for.
   * @default - the first one, where it alone has its protocol; else all
   */
  readonly listenerPort?: number
  /** @default - as in App Mesh: a matched prefix becomes `/`, a matched path stays */
  readonly rewrite?: PathRewrite
  /**
   * Whether the virtual service sees the host name that the client called, in place of its own.
   * @default false
   */
  readonly keepHostname?: boolean
  /**
   * 0 to 1000; lower is tried first.
   * @default - after all that have one; among those, exact paths first, then the longest prefix
   */
  readonly priority?: number
  /** @default - the construct's id in kebab case */
  readonly gatewayRouteName?: string
}

/** A gateway route, and the gateway that it is on. */
export interface GatewayRouteProps extends GatewayRouteOptions {
  /** The gateway that it is on. */
  readonly gateway: MeshGateway
}

/** A route of a virtual gateway. `MeshGateway.route` makes one. */
export class GatewayRoute extends Resource {
  /** Its name, unique among those of the gateway. */
  public readonly gatewayRouteName: string
  /** `Custom::WeftGatewayRoute`, with the properties of App Mesh's; takes overrides. */
  public readonly gatewayRouteResource: CfnGatewayRoute
  readonly #options: GatewayRouteOptions
  readonly #match: RouteMatch
  readonly #gateway: MeshGateway
  readonly #protocol: MeshProtocol

  public constructor(scope: Construct, id: string, props: GatewayRouteProps) {
    super(scope, id)
    const { gateway, target } = props
    const { mesh, virtualGatewayName } = gateway
    this.#options = props
    this.gatewayRouteName = nameOf(this, 'gatewayRouteName', props.gatewayRouteName)
    if (!isSameMesh(target.mesh, mesh)) {
      throw new Error(
        `${this.node.path}: virtual service ${target.virtualServiceName} is in mesh ${target.mesh.meshName}, the gateway in ` +
          `${mesh.meshName}; give that mesh a gateway of its own`,
      )
    }
    if (target.clientPolicy !== undefined) {
      throw new Error(
        `${this.node.path}: ${target.virtualServiceName} leaves the mesh by an egress gateway, which lets nodes in and no ` +
          'gateways; route to an app that calls it',
      )
    }
    const protocol = gateway._protocolOf(props.listenerPort, this.node.path)
    this.#gateway = gateway
    this.#protocol = protocol
    const isGrpc = protocol === MeshProtocol.GRPC
    this.#match = props.match ?? (isGrpc ? RouteMatch.grpc() : RouteMatch.any())
    if (isGrpc !== (this.#match._grpc !== undefined)) {
      const right = isGrpc ? 'RouteMatch.grpc(...)' : 'another RouteMatch than grpc'
      throw new Error(`${this.node.path}: the listener speaks ${protocol.value}; use ${right}`)
    }
    const { gatewayRouteName } = this
    const spec = Lazy.any({ produce: () => this.#renderSpec() }) as unknown as CfnGatewayRoute.GatewayRouteSpecProperty
    const names = { meshName: mesh.meshName, virtualGatewayName, gatewayRouteName }
    const resource = new CfnGatewayRoute(this, 'Resource', { ...names, spec })
    const name = `${virtualGatewayName}/${this.gatewayRouteName}`
    this.gatewayRouteResource = meshResource(resource, { mesh, kind: 'gateway-route', name })
    this.gatewayRouteResource.addResourceDependency(gateway.virtualGatewayResource)
    if (target.virtualServiceResource !== undefined) {
      this.gatewayRouteResource.addResourceDependency(target.virtualServiceResource)
    }
    this.node.addValidation({ validate: () => this.#misfits(name) })
  }

  /** @internal */
  public _tried(): Tried {
    const { priority, hostname } = this.#options
    const listenerPort = this.#gateway._portOf(this.#options.listenerPort)
    const { path, conditions } = this.#match._shape()
    const more = [
      ...(hostname === undefined ? [] : [`host ${JSON.stringify(hostname.match)}`]),
      ...(listenerPort === undefined ? [] : [`port ${listenerPort}`]),
    ]
    return { name: this.gatewayRouteName, priority, match: { path, conditions: [...conditions, ...more] } }
  }

  #misfits(name: string): string[] {
    const { target, targetPort: port } = this.#options
    return misfits({
      route: `gateway route ${name}`,
      protocol: this.#protocol,
      target: `virtual service ${target.virtualServiceName}`,
      port,
      listeners: serviceListenersOf(target),
    })
  }

  #renderSpec(): CfnGatewayRoute.GatewayRouteSpecProperty {
    const { priority } = this.#options
    return { ...this.#renderRoute(), ...(priority === undefined ? {} : { priority }) }
  }

  #renderRoute(): CfnGatewayRoute.GatewayRouteSpecProperty {
    const { target, hostname, rewrite, keepHostname } = this.#options
    const protocol = this.#protocol
    const targetPort = neededPort(this.#options.targetPort, serviceListenersOf(target))
    const port = this.#gateway._portOf(this.#options.listenerPort)
    const listenerPort = neededPort(port, listenersOf(this.#gateway.virtualGatewayResource))
    const host = keepHostname === true ? { hostname: { defaultTargetHostname: 'DISABLED' } } : {}
    const shared = {
      ...(hostname === undefined ? {} : { hostname: hostname.match }),
      ...(listenerPort === undefined ? {} : { port: listenerPort }),
    }
    const to = {
      ...(targetPort === undefined ? {} : { port: targetPort }),
      virtualService: { virtualServiceName: target.virtualServiceName },
    }
    const rewritten = { ...host, ...(rewrite === undefined ? {} : rewrite.rewrite) }
    const action = { target: to, ...(Object.keys(rewritten).length === 0 ? {} : { rewrite: rewritten }) }
    if (protocol === MeshProtocol.GRPC)
      return { grpcRoute: { match: { ...this.#match._grpcMatch(), ...shared }, action } }
    const route = { match: { ...this.#match._http(), ...shared }, action }
    return protocol === MeshProtocol.HTTP ? { httpRoute: route } : { http2Route: route }
  }
}

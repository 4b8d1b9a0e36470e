import { type CfnResource, Stack, Token } from 'aws-cdk-lib'
import type { MeshProtocol } from '../protocol.ts'
import type { IVirtualService } from '../virtual-service.ts'
import { claimant } from './claims.ts'
import { claimOf } from './mesh-resource.ts'
import { renderedOf } from './rendered.ts'

/** What a node, router or gateway listens on. */
export interface Listener {
  /** Undefined where only CloudFormation knows it. */
  readonly port: number | undefined
  readonly protocol: unknown
}

/** A spec as templates have it; any of it may be known to CloudFormation only. */
interface Spec {
  readonly Listeners?: readonly { readonly PortMapping?: { readonly Port?: unknown; readonly Protocol?: unknown } }[]
  readonly Provider?: {
    readonly VirtualRouter?: { readonly VirtualRouterName?: unknown }
    readonly VirtualNode?: { readonly VirtualNodeName?: unknown }
  }
}

/** The listeners of a node, router or gateway, overrides included; undefined when it is no part of this app. */
export function listenersOf(resource: CfnResource | undefined): readonly Listener[] | undefined {
  if (resource === undefined) return undefined
  const listeners = specOf(resource).Listeners ?? []
  if (!Array.isArray(listeners)) return undefined
  return listeners.map(({ PortMapping: { Port, Protocol } = {} }) => {
    const port = typeof Port === 'object' ? undefined : Number(Port)
    return { port, protocol: Protocol }
  })
}

/** The listeners of what provides a virtual service; undefined when that is not known. */
export function serviceListenersOf({ mesh, virtualServiceResource: resource }: IVirtualService) {
  if (resource === undefined) return undefined
  const { VirtualRouter: router, VirtualNode: node } = specOf(resource).Provider ?? {}
  const name = router?.VirtualRouterName ?? node?.VirtualNodeName
  if (typeof name !== 'string') return undefined
  const kind = router === undefined ? 'virtual-node' : 'virtual-router'
  return listenersOf(claimant(resource, claimOf(mesh, kind, name)) as CfnResource | undefined)
}

/**
 * The port that a route must name. Undefined where there is one listener only, which is meant anyway: that one can then get
 * another port, which the control plane refuses as long as a route names the old one.
 */
export function neededPort(port: number | undefined, listeners: readonly Listener[] | undefined): number | undefined {
  return listeners?.length === 1 ? undefined : port
}

/** A route, and where it sends. */
export interface Sending {
  /** What sends, such as `route orders/default`. */
  readonly route: string
  readonly protocol: MeshProtocol
  /** Such as `target orders-v2`. */
  readonly target: string
  /** Of the target's listeners; undefined: the first. */
  readonly port: number | undefined
  /** Those of the target; undefined when they are not known. */
  readonly listeners: readonly Listener[] | undefined
}

/** What the target of a route can't take, which would show at the deployment, or with the first request only. */
export function misfits({ route, protocol: { value }, target, port, listeners }: Sending): string[] {
  if (listeners === undefined) return []
  if (listeners.length === 0) return [`${route}: ${target} listens nowhere; give it a port, or send elsewhere`]
  const ports = listeners.map((listener) => listener.port)
  if (port !== undefined && !Token.isUnresolved(port) && !ports.includes(port) && !ports.includes(undefined)) {
    return [`${route}: ${target} has no listener on port ${port}; leave the port out, or use ${ports.join(', ')}`]
  }
  const protocol = (port === undefined ? listeners[0] : listeners.find((one) => one.port === port))?.protocol
  if (typeof protocol !== 'string') return []
  const fits = value === 'grpc' ? protocol !== 'http' && protocol !== 'tcp' : (value === 'tcp') === (protocol === 'tcp')
  if (fits) return []
  return [`${route} is for ${value}, but ${target} speaks ${protocol}; give both the same protocol`]
}

function specOf(resource: CfnResource): Spec {
  const { Resources = {} } = Stack.of(resource).resolve(renderedOf(resource))
  const [found] = Object.values<{ Properties?: { Spec?: Spec } }>(Resources)
  return found?.Properties?.Spec ?? {}
}

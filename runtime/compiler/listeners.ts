import type { Problem } from '../model/problem.ts'
import { FIRST_PUBLISHED_PORT, INBOUND_PORT, OUTBOUND_PORT } from '../model/proxy-ports.ts'
import type { Subject } from '../model/reference.ts'
import type { SpecOf } from '../model/resource/spec.ts'
import type { ListenerTls } from '../model/resource/tls.ts'
import type { NodeListener } from '../model/resource/virtual-node.ts'
import type {
  ClientValidation,
  GatewayListener,
  InboundListener,
  InboundPort,
  OutboundListener,
  VipListener,
} from '../model/snapshot.ts'
import { certificateOf, localClusterName, validationOf } from './clusters.ts'
import { EGRESS, GATEWAY_TIMEOUTS, REQUEST_TIMEOUTS, TCP_TIMEOUTS } from './defaults.ts'
import type { DeclaredPort } from './routes.ts'
import { sniFor } from './sni.ts'
import { timeoutsOf } from './timeouts.ts'

/** Where a virtual service that speaks HTTP answers, whatever the app's own port is. */
const HTTP_PORT = 80

/** The mesh port and the app ports behind it. */
export function inboundListener(
  { mesh, name }: Subject,
  listeners: readonly NodeListener[],
  authorization: InboundListener['authorization'],
): InboundListener {
  const origin = { kind: 'virtual-node', name } as const
  const ports = listeners.map(({ portMapping: { port, protocol }, timeout, tls }, index): InboundPort => {
    const defaults = protocol === 'tcp' ? TCP_TIMEOUTS : REQUEST_TIMEOUTS
    return {
      port,
      protocol,
      origin,
      sni: sniFor(mesh, name, port),
      cluster: localClusterName(port),
      timeouts: timeoutsOf(timeout?.[protocol], origin, defaults),
      published: publishedAs(tls, FIRST_PUBLISHED_PORT + index),
    }
  })
  return { kind: 'inbound', origin, port: INBOUND_PORT, ports, authorization }
}

/** STRICT, and no tls at all, take mTLS from peers only. */
function publishedAs(tls: ListenerTls | undefined, port: number): InboundPort['published'] {
  if (tls === undefined || tls.mode === 'STRICT') return null
  return {
    port,
    tls: tls.mode === 'PERMISSIVE' ? 'permissive' : 'disabled',
    certificate: certificateOf(tls.certificate),
    clientValidation: clientValidationOf(tls),
  }
}

/** Where all is plaintext nobody can be asked for a certificate. */
function clientValidationOf({ mode, validation }: ListenerTls): ClientValidation {
  return mode === 'DISABLED' || validation === undefined ? null : validationOf(validation)
}

/** The port where the app reaches the given virtual services by Host. */
export function outboundListener(
  { mesh, name }: Subject,
  services: readonly string[],
  { egressFilter }: SpecOf<'mesh'>,
): OutboundListener {
  const origin = { kind: 'mesh', name: mesh } as const
  const suffixes = egressFilter?.type === 'ALLOW_ALL' ? [] : EGRESS.suffixes
  return {
    kind: 'outbound',
    origin: { kind: 'virtual-node', name },
    port: OUTBOUND_PORT,
    hosts: hostsOf(mesh, services),
    egress:
      egressFilter === undefined
        ? EGRESS
        : { kind: egressFilter.type === 'ALLOW_ALL' ? 'all' : 'suffixes', suffixes, origin },
  }
}

/**
 * Host names of virtual services: the name itself, and its first label inside the mesh's own zone. A name that two
 * services could claim belongs to the one that is called so; a short name that two share belongs to none.
 */
function hostsOf(mesh: string, services: readonly string[]): OutboundListener['hosts'] {
  const full = new Map(services.map((service) => [service, service.toLowerCase()]))
  const short = new Map(
    services.map((service) => [service, `${service.split('.', 1)[0]}.${mesh}.internal`.toLowerCase()]),
  )
  const claims = new Map<string, number>()
  for (const name of [...short.values(), ...new Set(full.values())]) claims.set(name, (claims.get(name) ?? 0) + 1)
  return services.map((service) => {
    const alias = short.get(service)!
    const names = claims.get(alias) === 1 ? [full.get(service)!, alias] : [full.get(service)!]
    return { names, table: service }
  })
}

/** The listeners of a virtual service's loopback address, without the ports that the app itself listens on. */
export function vipListeners(
  service: string,
  address: string,
  ports: readonly DeclaredPort[],
  appPorts: ReadonlySet<number>,
): { readonly listeners: readonly VipListener[]; readonly warnings: readonly Problem[] } {
  const wanted = vipPorts(ports)
  const free = wanted.filter(({ port }) => !appPorts.has(port))
  const lost = wanted.filter(({ port, protocol }) => appPorts.has(port) && (protocol === 'tcp' || free.length === 0))
  return {
    listeners: free.map(({ port, protocol }) => ({
      kind: 'vip',
      origin: { kind: 'virtual-service', name: service },
      address,
      port,
      protocol,
      table: service,
    })),
    warnings: lost.map(({ port }) => ({
      path: '',
      code: 'vip-port-taken',
      message:
        `The app listens on port ${port}, so the address of virtual service ${service} cannot: ` +
        'give the app or the service another port, bind the app to 127.0.0.1, or call the service through HTTP_PROXY.',
    })),
  }
}

/** Port 80 for what speaks HTTP (by the first such port's protocol), and every declared port. */
function vipPorts(declared: readonly DeclaredPort[]): readonly DeclaredPort[] {
  const http = declared.length === 0 ? 'http' : declared.find(({ protocol }) => protocol !== 'tcp')?.protocol
  const isTaken = declared.some(({ port }) => port === HTTP_PORT)
  return http === undefined || isTaken ? declared : [{ port: HTTP_PORT, protocol: http }, ...declared]
}

/** What policies add to every TLS listener of a gateway. */
interface GatewayTlsPolicies {
  readonly certificates: GatewayListener['tls']['certificates']
  readonly passthrough: GatewayListener['passthrough']
}

const NO_TLS_POLICIES: GatewayTlsPolicies = { certificates: [], passthrough: [] }

/** The ports of a gateway, each with a table of its own. Without tls they take plaintext, as App Mesh's do. */
export function gatewayListeners(
  name: string,
  listeners: SpecOf<'virtual-gateway'>['listeners'],
  policies: GatewayTlsPolicies,
): GatewayListener[] {
  return listeners.map(({ portMapping: { port, protocol }, tls }) => {
    const { certificates, passthrough } = speaksTls(tls) ? policies : NO_TLS_POLICIES
    return {
      kind: 'gateway',
      origin: { kind: 'virtual-gateway', name },
      port,
      protocol,
      tls:
        tls === undefined
          ? { mode: 'disabled', certificate: { kind: 'mesh' }, certificates, clientValidation: null }
          : {
              mode: ({ STRICT: 'strict', PERMISSIVE: 'permissive', DISABLED: 'disabled' } as const)[tls.mode],
              certificate: certificateOf(tls.certificate),
              certificates,
              clientValidation: clientValidationOf(tls),
            },
      passthrough,
      table: `gateway:${port}`,
      timeouts: GATEWAY_TIMEOUTS,
    }
  })
}

/** Whether any client of a gateway's listener speaks TLS with it. */
export function speaksTls(tls: ListenerTls | undefined): boolean {
  return tls !== undefined && tls.mode !== 'DISABLED'
}

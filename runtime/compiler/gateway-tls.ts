import type { FileCertificate, Passthrough } from '../model/snapshot.ts'
import type { Graph } from './graph.ts'
import { certificatesPolicy, passthroughPolicy } from './policies.ts'
import { serviceTable } from './routes.ts'

/** Where TLS servers are, unless somebody says otherwise. */
const TLS_PORT = 443

/** The virtual services that a gateway passes TLS through to. */
export function passthroughServices(graph: Graph, gateway: string): readonly string[] {
  return (passthroughPolicy(graph, gateway)?.routes ?? []).map(({ virtualService }) => virtualService)
}

/** The names for which a gateway ends no TLS, and where their connections go. */
function passthroughsOf(graph: Graph, gateway: string): readonly Passthrough[] {
  const policy = passthroughPolicy(graph, gateway)
  return (policy?.routes ?? []).map(({ hosts, virtualService, port }) => ({
    serverNames: hosts.map((host) => host.toLowerCase()),
    table: virtualService,
    // A service that came to speak no TCP any more is named all the same: to end the TLS would be no less wrong.
    port: port ?? tcpPorts(graph, virtualService)[0] ?? TLS_PORT,
    origin: policy!.origin,
  }))
}

/** The ports of a virtual service that speak TCP. */
export function tcpPorts(graph: Graph, service: string): readonly number[] {
  return serviceTable(graph, service, '').ports.flatMap(({ port, protocol }) => (protocol === 'tcp' ? [port] : []))
}

/** The certificates that a gateway has beside those of its listeners. */
function certificatesOf(graph: Graph, gateway: string): readonly FileCertificate[] {
  return (certificatesPolicy(graph, gateway)?.certificates ?? []).map(({ file }) => ({
    kind: 'file',
    chain: file.certificateChain,
    key: file.privateKey,
  }))
}

/** What policies add to the TLS of a gateway's listeners. */
export function gatewayTlsPolicies(graph: Graph, gateway: string) {
  return { certificates: certificatesOf(graph, gateway), passthrough: passthroughsOf(graph, gateway) }
}

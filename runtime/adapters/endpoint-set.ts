import { createHash } from 'node:crypto'
import { BlockList, isIP, isIPv4 } from 'node:net'
import type { Endpoint, EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { ProxyReport, ReportedProxy } from '../ports.ts'

/** What all endpoint directories ask of a report, and how they make endpoints of it. */

type Instance = ProxyReport['instance']

/** So many characters that the set of the largest node fits into an item of the table, whatever its proxies say. */
const MAX_NAME = 64
const MAX_VERSION = 32
const MAX_PROTOCOL = 12
const MAX_PROTOCOLS = 6
/** Operators see them in terminals, where others would be commands. */
const PLAIN = /^[\x21-\x7e]+$/

/**
 * Addresses that no peer can dial, or must not: the unspecified ones; 127.64.0.0/10, where the loopback VIPs live (design,
 * section 4: such an endpoint would dial oneself); and those at which a machine tells itself the credentials of its roles
 * (EC2 User Guide, instance metadata; ECS Developer Guide, task IAM role), which a gateway would hand to whoever asks.
 * IPv4 rules also hold for IPv4-mapped IPv6 addresses.
 */
const UNDIALABLE = new BlockList()
UNDIALABLE.addSubnet('127.64.0.0', 10, 'ipv4')
UNDIALABLE.addSubnet('0.0.0.0', 8, 'ipv4')
UNDIALABLE.addSubnet('169.254.0.0', 16, 'ipv4')
UNDIALABLE.addSubnet('224.0.0.0', 3, 'ipv4')
UNDIALABLE.addAddress('::', 'ipv6')
UNDIALABLE.addSubnet('fd00:ec2::', 32, 'ipv6')
UNDIALABLE.addSubnet('fe80::', 10, 'ipv6')
UNDIALABLE.addSubnet('ff00::', 8, 'ipv6')

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/**
 * Whether an address leads each peer to itself. A proxy may report one, on a host that is a mesh of its own: who it is, mTLS
 * decides. Nobody else may, for behind it are doors that are for the peer's own host, such as that of its admin.
 */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

/** Why nobody can dial an address; undefined for one that can be dialled. */
export function addressProblem(address: string): string | undefined {
  if (isIP(address) === 0 || address.includes('%')) {
    return 'An instance must report an IPv4 or IPv6 literal without zone as its address.'
  }
  if (!UNDIALABLE.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')) return undefined
  return `No peer can dial ${address}; report the address of the task or host.`
}

/** @throws MeshError `invalid` for an address that nobody can dial, and for texts that every peer would have to carry. */
export function checkInstance(instance: Instance): void {
  const problem = addressProblem(instance.address)
  if (problem !== undefined) throw new MeshError('invalid', problem)
  const { id, version, zone, protocols } = instance
  const isPlain = (text: string, longest: number) => text.length <= longest && PLAIN.test(text)
  const named =
    isPlain(id, MAX_NAME) && isPlain(version, MAX_VERSION) && (zone === undefined || isPlain(zone, MAX_NAME))
  if (named && protocols.length <= MAX_PROTOCOLS && protocols.every((text) => isPlain(text, MAX_PROTOCOL))) return
  throw new MeshError(
    'invalid',
    `An instance reports an id and a zone of up to ${MAX_NAME} characters, a version of up to ${MAX_VERSION} and up to ${MAX_PROTOCOLS} protocols of up to ${MAX_PROTOCOL}, all in printable ASCII without spaces.`,
  )
}

/** Undefined for an instance that nobody should dial: it has no inbound port, or is not up yet. */
export function endpointOf({ id, address, meshPort, protocols, version, state }: Instance): Endpoint | undefined {
  if (meshPort === null || state === 'starting') return undefined
  return { id, address, port: meshPort, sidecar: { port: meshPort, protocols: [...protocols], version }, state }
}

/**
 * One process at a time can hold an address and port: of two instances that claim the same, the younger is the process
 * that was restarted in place, the older is dead and only waits for its lapse. `byAge` begins with the oldest.
 */
export function holders<T extends { readonly instance: Instance }>(byAge: Iterable<T>): readonly T[] {
  const places = new Map<string, T>()
  for (const report of byAge) places.set(`${report.instance.address} ${report.instance.meshPort}`, report)
  return [...places.values()]
}

/** The set of a node: ordered by id, with the digest of its content as revision. */
export function endpointSet(node: string, found: readonly Endpoint[]): EndpointSet {
  const endpoints = [...found].sort((a, b) => (a.id < b.id ? -1 : 1))
  const revision = createHash('sha256')
    .update(JSON.stringify([node, endpoints]))
    .digest('base64url')
  return { node, revision, endpoints }
}

/** Whether two reports lead to the same endpoint. */
export function sameInstance(a: Instance, b: Instance): boolean {
  return (
    a.address === b.address &&
    a.meshPort === b.meshPort &&
    a.state === b.state &&
    a.version === b.version &&
    a.selfRegistered === b.selfRegistered &&
    a.protocols.length === b.protocols.length &&
    a.protocols.every((protocol, index) => protocol === b.protocols[index])
  )
}

/** A report as operators see it. */
export function reportedProxy(
  subject: Subject,
  { instance, status, ...times }: ProxyReport & Pick<ReportedProxy, 'firstSeenMs' | 'lastSeenMs' | 'lapsesAtMs'>,
): ReportedProxy {
  const { id, address, meshPort, version, state, metricsPort, zone } = instance
  return {
    subject,
    instance: id,
    address,
    meshPort,
    version,
    state,
    ...(metricsPort === undefined ? {} : { metricsPort }),
    ...(zone === undefined ? {} : { zone }),
    firstSeenMs: times.firstSeenMs,
    lastSeenMs: times.lastSeenMs,
    lapsesAtMs: times.lapsesAtMs,
    ...status,
  }
}

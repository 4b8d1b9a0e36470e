import { createHash } from 'node:crypto'
import { BlockList, isIP, isIPv4 } from 'node:net'
import type { Endpoint, EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { Clock, EndpointDirectory } from '../ports.ts'

/** Instances that one virtual node or gateway may have at a time. */
const MAX_INSTANCES = 1_000
const MAX_TEXT = 256
const MAX_PROTOCOLS = 16

/**
 * Addresses that no peer can dial: the unspecified ones, and 127.64.0.0/10, where the loopback VIPs live (design,
 * section 4: such an endpoint would dial oneself). IPv4 rules also hold for IPv4-mapped IPv6 addresses.
 */
const UNDIALABLE = new BlockList()
UNDIALABLE.addSubnet('127.64.0.0', 10, 'ipv4')
UNDIALABLE.addSubnet('0.0.0.0', 8, 'ipv4')
UNDIALABLE.addSubnet('224.0.0.0', 3, 'ipv4')
UNDIALABLE.addAddress('::', 'ipv6')
UNDIALABLE.addSubnet('ff00::', 8, 'ipv6')

type Report = Parameters<EndpointDirectory['report']>[1]

interface Instance {
  readonly report: Report
  readonly firstSeenMs: number
  /** Breaks ties of `firstSeenMs`. */
  readonly order: number
  readonly lastSeenMs: number
  readonly lapsesAtMs: number
}

interface Group {
  readonly subject: Subject
  readonly instances: Map<string, Instance>
  /** No instance lapses before this. */
  nextLapseMs: number
  set: EndpointSet
}

/** What an operator sees of one proxy, gateways included. */
export interface ReportedInstance {
  readonly subject: Subject
  readonly id: string
  readonly address: string
  readonly meshPort: number | null
  readonly version: string
  readonly state: 'starting' | 'ready' | 'draining'
  readonly firstSeenMs: number
  readonly lastSeenMs: number
}

/**
 * The control plane's own endpoint directory, in memory: instances report themselves and lapse when they stop. Lapses
 * are seen by the next read of the node, or by `sweep()`, which the wiring calls on a timer so that held polls hear of
 * an instance that died. After a restart it is empty until the proxies' next reports.
 */
export class Registry implements EndpointDirectory {
  readonly #clock: Clock
  /** By mesh, then by kind and name of the subject. */
  readonly #meshes = new Map<string, Map<string, Group>>()
  readonly #listeners = new Set<(mesh: string, node: string) => void>()
  #order = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Calls back whenever the endpoint set of a virtual node has become another one; heartbeats that change nothing are
   * silent. Returns the function that ends it. Listeners must not throw.
   */
  onChange(listener: (mesh: string, node: string) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Throws MeshError `invalid` for an address that is no dialable IP literal, `limit-exceeded` for too many instances. */
  async report(subject: Subject, instance: Report, ttlMs: number): Promise<void> {
    checkReport(instance)
    const now = this.#clock.now()
    const group = this.#group(subject)
    this.#lapse(group, now)
    const known = group.instances.get(instance.id)
    if (known === undefined && group.instances.size >= MAX_INSTANCES) {
      throw new MeshError(
        'limit-exceeded',
        `${subject.kind} ${subject.name} has ${MAX_INSTANCES} instances already; stop some, or split the node.`,
      )
    }
    group.instances.set(instance.id, {
      report: { ...instance, protocols: [...instance.protocols] },
      firstSeenMs: known?.firstSeenMs ?? now,
      order: known?.order ?? this.#order++,
      lastSeenMs: now,
      lapsesAtMs: now + ttlMs,
    })
    group.nextLapseMs = Math.min(group.nextLapseMs, now + ttlMs)
    if (known === undefined || !sameReport(known.report, instance)) this.#refresh(group)
  }

  async remove(subject: Subject, instanceId: string): Promise<void> {
    const group = this.#meshes.get(subject.mesh)?.get(groupKey(subject))
    if (group?.instances.delete(instanceId)) this.#settle(group)
  }

  async endpoints(mesh: string, node: string): Promise<EndpointSet> {
    const group = this.#meshes.get(mesh)?.get(groupKey({ kind: 'virtual-node', mesh, name: node }))
    if (group === undefined) return endpointSet(node, [])
    this.#lapse(group, this.#clock.now())
    return group.set
  }

  /** Everything that reported itself in a mesh and has not lapsed, ordered by subject and id. */
  instances(mesh: string): readonly ReportedInstance[] {
    const groups = [...(this.#meshes.get(mesh)?.entries() ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
    return groups.flatMap(([, group]) => {
      this.#lapse(group, this.#clock.now())
      return [...group.instances.values()]
        .sort((a, b) => (a.report.id < b.report.id ? -1 : 1))
        .map(({ report, firstSeenMs, lastSeenMs }) => ({
          subject: group.subject,
          id: report.id,
          address: report.address,
          meshPort: report.meshPort,
          version: report.version,
          state: report.state,
          firstSeenMs,
          lastSeenMs,
        }))
    })
  }

  /** Takes out whatever has lapsed, in all meshes. */
  sweep(): void {
    const now = this.#clock.now()
    for (const groups of [...this.#meshes.values()]) for (const group of [...groups.values()]) this.#lapse(group, now)
  }

  #group(subject: Subject): Group {
    let groups = this.#meshes.get(subject.mesh)
    if (groups === undefined) {
      groups = new Map()
      this.#meshes.set(subject.mesh, groups)
    }
    const key = groupKey(subject)
    let group = groups.get(key)
    if (group === undefined) {
      const { kind, mesh, name } = subject
      const set = endpointSet(name, [])
      group = { subject: { kind, mesh, name }, instances: new Map(), nextLapseMs: Number.POSITIVE_INFINITY, set }
      groups.set(key, group)
    }
    return group
  }

  #lapse(group: Group, now: number): void {
    if (now < group.nextLapseMs) return
    const before = group.instances.size
    let next = Number.POSITIVE_INFINITY
    for (const [id, instance] of group.instances) {
      if (instance.lapsesAtMs <= now) group.instances.delete(id)
      else next = Math.min(next, instance.lapsesAtMs)
    }
    group.nextLapseMs = next
    if (group.instances.size !== before) this.#settle(group)
  }

  /** After instances went: an empty group is forgotten, so that the names of past nodes do not pile up. */
  #settle(group: Group): void {
    const { mesh } = group.subject
    const groups = this.#meshes.get(mesh)
    if (group.instances.size === 0) groups?.delete(groupKey(group.subject))
    if (groups?.size === 0) this.#meshes.delete(mesh)
    this.#refresh(group)
  }

  #refresh(group: Group): void {
    if (group.subject.kind !== 'virtual-node') return
    const set = endpointSet(group.subject.name, [...group.instances.values()])
    if (set.revision === group.set.revision) return
    group.set = set
    for (const listener of this.#listeners) listener(group.subject.mesh, group.subject.name)
  }
}

/** The kind comes first and holds no slash, so that names with slashes stay apart. */
function groupKey(subject: Subject): string {
  return `${subject.kind}/${subject.name}`
}

function checkReport(instance: Report): void {
  const family = isIP(instance.address)
  if (family === 0 || instance.address.includes('%')) {
    throw new MeshError('invalid', 'An instance must report an IPv4 or IPv6 literal without zone as its address.')
  }
  if (UNDIALABLE.check(instance.address, isIPv4(instance.address) ? 'ipv4' : 'ipv6')) {
    throw new MeshError('invalid', `No peer can dial ${instance.address}; report the address of the task or host.`)
  }
  const texts = [instance.id, instance.version, ...instance.protocols]
  if (instance.protocols.length > MAX_PROTOCOLS || texts.some((text) => text === '' || text.length > MAX_TEXT)) {
    throw new MeshError(
      'invalid',
      `An instance reports an id, a version and up to ${MAX_PROTOCOLS} protocols of 1 to ${MAX_TEXT} characters each.`,
    )
  }
}

function sameReport(a: Report, b: Report): boolean {
  return (
    a.address === b.address &&
    a.meshPort === b.meshPort &&
    a.state === b.state &&
    a.version === b.version &&
    a.protocols.length === b.protocols.length &&
    a.protocols.every((protocol, index) => protocol === b.protocols[index])
  )
}

/**
 * One process at a time can hold an address and port: of two instances that claim the same, the younger is the process
 * that was restarted in place, the older is dead and only waits for its lapse.
 */
function endpointSet(node: string, instances: readonly Instance[]): EndpointSet {
  const holders = new Map<string, Instance>()
  for (const instance of instances) {
    const place = `${instance.report.address} ${instance.report.meshPort}`
    const other = holders.get(place)
    if (other === undefined || other.order < instance.order) holders.set(place, instance)
  }
  const endpoints = [...holders.values()]
    .map(({ report }) => toEndpoint(report))
    .filter((endpoint) => endpoint !== undefined)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
  const revision = createHash('sha256')
    .update(JSON.stringify([node, endpoints]))
    .digest('base64url')
  return { node, revision, endpoints }
}

/** Undefined for an instance that nobody should dial: it has no inbound port, or is not up yet. */
function toEndpoint(report: Report): Endpoint | undefined {
  const { id, address, meshPort, protocols, version, state } = report
  if (meshPort === null || state === 'starting') return undefined
  return { id, address, port: meshPort, sidecar: { port: meshPort, protocols, version }, state }
}

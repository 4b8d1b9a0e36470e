import type { EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { Clock, DirectoryRefresh, EndpointDirectory, ProxyReport, ReportedProxy } from '../ports.ts'
import { checkInstance, endpointOf, endpointSet, holders, reportedProxy, sameInstance } from './endpoint-set.ts'

/** Instances that one virtual node or gateway may have at a time. */
const MAX_INSTANCES = 1_000

interface Entry extends ProxyReport {
  readonly firstSeenMs: number
  /** Breaks ties of `firstSeenMs`. */
  readonly order: number
  readonly lastSeenMs: number
  readonly lapsesAtMs: number
}

interface Group {
  readonly subject: Subject
  readonly entries: Map<string, Entry>
  /** No instance lapses before this. */
  nextLapseMs: number
  set: EndpointSet
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

  async report(subject: Subject, { instance, status }: ProxyReport, ttlMs: number): Promise<void> {
    checkInstance(instance)
    const now = this.#clock.now()
    const group = this.#group(subject)
    this.#lapse(group, now)
    const known = group.entries.get(instance.id)
    if (known === undefined && group.entries.size >= MAX_INSTANCES) {
      throw new MeshError(
        'limit-exceeded',
        `${subject.kind} ${subject.name} has ${MAX_INSTANCES} instances already; stop some, or split the node.`,
      )
    }
    group.entries.set(instance.id, {
      instance: { ...instance, protocols: [...instance.protocols] },
      status,
      firstSeenMs: known?.firstSeenMs ?? now,
      order: known?.order ?? this.#order++,
      lastSeenMs: now,
      lapsesAtMs: now + ttlMs,
    })
    group.nextLapseMs = Math.min(group.nextLapseMs, now + ttlMs)
    if (known === undefined || !sameInstance(known.instance, instance)) this.#refresh(group)
  }

  async remove(subject: Subject, instanceId: string): Promise<void> {
    const group = this.#meshes.get(subject.mesh)?.get(groupKey(subject))
    if (group?.entries.delete(instanceId)) this.#settle(group)
  }

  async endpoints(mesh: string, node: string): Promise<EndpointSet> {
    const group = this.#meshes.get(mesh)?.get(groupKey({ kind: 'virtual-node', mesh, name: node }))
    if (group === undefined) return endpointSet(node, [])
    this.#lapse(group, this.#clock.now())
    return group.set
  }

  /** Proxies' reports are all there is. */
  async refresh(): Promise<readonly DirectoryRefresh[]> {
    return []
  }

  async proxies(mesh: string): Promise<readonly ReportedProxy[]> {
    const groups = [...(this.#meshes.get(mesh)?.entries() ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
    return groups.flatMap(([, group]) => {
      this.#lapse(group, this.#clock.now())
      return [...group.entries.values()]
        .sort((a, b) => (a.instance.id < b.instance.id ? -1 : 1))
        .map((entry) => reportedProxy(group.subject, entry))
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
      group = { subject: { kind, mesh, name }, entries: new Map(), nextLapseMs: Number.POSITIVE_INFINITY, set }
      groups.set(key, group)
    }
    return group
  }

  #lapse(group: Group, now: number): void {
    if (now < group.nextLapseMs) return
    const before = group.entries.size
    let next = Number.POSITIVE_INFINITY
    for (const [id, entry] of group.entries) {
      if (entry.lapsesAtMs <= now) group.entries.delete(id)
      else next = Math.min(next, entry.lapsesAtMs)
    }
    group.nextLapseMs = next
    if (group.entries.size !== before) this.#settle(group)
  }

  /** After instances went: an empty group is forgotten, so that the names of past nodes do not pile up. */
  #settle(group: Group): void {
    const { mesh } = group.subject
    const groups = this.#meshes.get(mesh)
    if (group.entries.size === 0) groups?.delete(groupKey(group.subject))
    if (groups?.size === 0) this.#meshes.delete(mesh)
    this.#refresh(group)
  }

  #refresh(group: Group): void {
    if (group.subject.kind !== 'virtual-node') return
    const byAge = [...group.entries.values()].sort((a, b) => a.order - b.order)
    const endpoints = holders(byAge).map(({ instance }) => endpointOf(instance))
    const set = endpointSet(
      group.subject.name,
      endpoints.filter((endpoint) => endpoint !== undefined),
    )
    if (set.revision === group.set.revision) return
    group.set = set
    for (const listener of this.#listeners) listener(group.subject.mesh, group.subject.name)
  }
}

/** The kind comes first and holds no slash, so that names with slashes stay apart. */
function groupKey(subject: Subject): string {
  return `${subject.kind}/${subject.name}`
}

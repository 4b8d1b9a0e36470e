import type { Problem } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { SyncRequest } from '../model/sync.ts'

/** What one proxy last said of itself. Times are epoch milliseconds. */
export interface ProxyStatus {
  readonly subject: Subject
  readonly instance: string
  readonly address: string
  readonly meshPort: number | null
  readonly version: string
  readonly state: SyncRequest['instance']['state']
  readonly firstSeenMs: number
  readonly lastSeenMs: number
  /** Revision of the snapshot in force. */
  readonly applied: string | null
  readonly rejected: { readonly revision: string; readonly problems: readonly Problem[] } | null
  readonly certificateNotAfterMs: number | null
}

/** A proxy that was silent for so long is forgotten: well over the longest held poll. */
const FORGET_AFTER_MS = 120_000
/** Bounds the memory that one identity can take with made-up instance ids. */
const MAX_INSTANCES_PER_SUBJECT = 2_000

/** The last status of every proxy instance, in memory: a restarted control plane hears all of it again within one sync. */
export class ProxyStatuses {
  /** mesh -> `kind/name` -> instance id, the longest silent first. */
  readonly #meshes = new Map<string, Map<string, Map<string, ProxyStatus>>>()

  record(subject: Subject, address: string, request: SyncRequest, atMs: number): void {
    const subjects = getOrAdd(this.#meshes, subject.mesh, () => new Map<string, Map<string, ProxyStatus>>())
    const instances = getOrAdd(subjects, `${subject.kind}/${subject.name}`, () => new Map<string, ProxyStatus>())
    const { id, meshPort, version, state } = request.instance
    const firstSeenMs = instances.get(id)?.firstSeenMs ?? atMs
    const status = { subject, instance: id, address, meshPort, version, state, firstSeenMs, lastSeenMs: atMs }
    instances.delete(id)
    instances.set(id, { ...status, ...request.status })
    const [oldest] = instances.keys()
    if (instances.size > MAX_INSTANCES_PER_SUBJECT && oldest !== undefined) instances.delete(oldest)
  }

  forget(subject: Subject, instanceId: string): void {
    this.#meshes.get(subject.mesh)?.get(`${subject.kind}/${subject.name}`)?.delete(instanceId)
  }

  /** The proxies of a mesh by kind, name and instance; those that went silent are dropped. */
  list(mesh: string, nowMs: number): readonly ProxyStatus[] {
    const subjects = this.#meshes.get(mesh) ?? new Map<string, Map<string, ProxyStatus>>()
    for (const [key, instances] of subjects) {
      for (const [id, status] of instances) if (status.lastSeenMs < nowMs - FORGET_AFTER_MS) instances.delete(id)
      if (instances.size === 0) subjects.delete(key)
    }
    return [...subjects.keys()]
      .sort()
      .flatMap((key) => [...subjects.get(key)!.values()].sort((a, b) => (a.instance < b.instance ? -1 : 1)))
  }
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

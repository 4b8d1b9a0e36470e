import type { EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import { SNAPSHOT_SCHEMA, type Snapshot } from '../model/snapshot.ts'
import type { SyncRequest, SyncResponse } from '../model/sync.ts'
import type { EndpointDirectory, Issuer } from '../ports.ts'
import { type Changes, endpointsTopic, meshTopic, type Watch } from './changes.ts'
import type { MeshState, MeshStates } from './mesh-states.ts'
import type { SyncPace } from './pace.ts'
import { discoveryOf } from './refresh-endpoints.ts'
import type { SnapshotCache } from './snapshot-cache.ts'

export interface SyncDeps {
  readonly states: MeshStates
  readonly snapshots: SnapshotCache
  readonly directory: EndpointDirectory
  readonly issuer: Issuer
  readonly changes: Changes
  readonly pace: SyncPace
  /** Aborted when the control plane stops: ends every held call. */
  readonly stopping: AbortSignal
}

export interface SyncInput {
  /** As proven by the caller's credentials. */
  readonly subject: Subject
  readonly request: SyncRequest
  /** The address that the call came from; used when the instance does not name its own. */
  readonly peerAddress: string
  /** How long the answer may be held when nothing changed; at most what the pace allows. 0 answers at once. */
  readonly waitMs: number
  /** Aborted when the client went away. */
  readonly signal: AbortSignal
}

/** While a call is held, its open connection speaks for the instance. */
const HEARTBEAT_MS = 5_000
/** Writes often come in bursts (a directory of files applied): one answer for all of them. */
const COALESCE_MS = 5
/** Endpoints in one answer: Lambda carries 6 MB, and the longest takes some 350 bytes. */
const MAX_ENDPOINTS = 10_000

/**
 * The one call of a proxy: takes its report, answers what differs from the revisions it knows. When nothing does, the
 * answer is held until something changes, `waitMs` is over or `signal` aborts.
 * @throws MeshError `not-found` when the subject does not exist in its mesh, `invalid` when the proxy can't read any
 * snapshot shape of this control plane or reports an address that nobody can dial, `unavailable` when there is no
 * snapshot and none can be compiled.
 */
export function sync(deps: SyncDeps): (input: SyncInput) => Promise<SyncResponse> {
  const held = new HeldCalls(deps.stopping)
  const warmFromMs = performance.now() + deps.pace.warmUpMs
  return async (input) => {
    const { subject, request } = input
    if (!request.schemas.includes(SNAPSHOT_SCHEMA)) {
      throw new MeshError(
        'invalid',
        `this control plane writes snapshots of schema ${SNAPSHOT_SCHEMA}, the proxy reads ${request.schemas.join(', ') || 'none'}; update the older of the two`,
      )
    }
    const { signal, release } = held.enter(subject, request.instance.id, input.signal)
    const waitMs = Math.min(Math.max(input.waitMs, 0), deps.pace.maxWaitMs)
    const deadline = performance.now() + waitMs
    try {
      await report(deps, input)
      for (;;) {
        const watch = deps.changes.watch()
        try {
          const { answer, settling, whole } = await whatChanged(deps, input, watch, performance.now() < warmFromMs)
          const leftMs = deadline - performance.now()
          if (!isEmpty(answer) || leftMs <= 0 || signal.aborted) {
            const soon = !whole || (waitMs > 0 && !signal.aborted)
            return { ...answer, nextSyncMs: soon ? 0 : deps.pace.nextSyncMs(settling) }
          }
          if (await hold(watch, Math.min(leftMs, HEARTBEAT_MS), signal)) await sleep(COALESCE_MS)
        } finally {
          watch.close()
        }
        if (!signal.aborted) await report(deps, input)
      }
    } finally {
      release()
      // A draining instance that closed its connection has ended: no reason to wait for its lapse.
      const ended = input.signal.aborted && request.instance.state === 'draining'
      if (ended) await deps.directory.remove(subject, request.instance.id)
    }
  }
}

async function report(deps: SyncDeps, { subject, request, peerAddress }: SyncInput): Promise<void> {
  const instance = { ...request.instance, address: request.instance.address ?? peerAddress }
  await deps.directory.report(subject, { instance, status: request.status }, deps.pace.instanceTtlMs)
}

/**
 * Every topic is watched before its state is read, so that a change in between wakes the caller. A control plane that is
 * warming up knows too little to say of a set that a proxy has at hand that it became empty (design, section 4).
 */
async function whatChanged(
  deps: SyncDeps,
  input: SyncInput,
  watch: Watch,
  warmingUp: boolean,
): Promise<{ readonly answer: Omit<SyncResponse, 'nextSyncMs'>; readonly settling: boolean; readonly whole: boolean }> {
  const { subject, request } = input
  const { known, status } = request
  const { mesh } = subject
  watch.add(meshTopic(mesh))
  const state = await deps.states.current(mesh, deps.pace.maxStateAgeMs)
  const { snapshot } = await deps.snapshots.at(state, subject)
  const nodes = [...nodesOf(snapshot)]
  for (const name of nodes) watch.add(endpointsTopic({ mesh, name }))
  const settling = await refresh(deps, state, subject, nodes)
  const sets = await Promise.all(nodes.map((node) => deps.directory.endpoints(mesh, node)))
  const changed = sets.filter((set) => {
    const revision = known.endpoints[set.node]
    const doubtful = warmingUp && set.endpoints.length === 0 && revision !== undefined
    return set.revision !== revision && !doubtful
  })
  const trust = await deps.issuer.trust()
  // A snapshot that this proxy could not take is not sent again: it has reported why and waits for another one.
  const news = snapshot.revision !== known.snapshot && snapshot.revision !== status.rejected?.revision
  const endpoints = firstOf(changed)
  const whole = endpoints.length === changed.length
  const answer = {
    // Last of all: what it refers to is at hand when it comes in force.
    ...(news && whole ? { snapshot } : {}),
    endpoints,
    ...(trust.revision === known.trust ? {} : { trust }),
  }
  return { answer, settling, whole }
}

/** As many sets as one answer carries, one at least; the proxy's next call brings the others. */
function firstOf(sets: readonly EndpointSet[]): EndpointSet[] {
  let count = 0
  return sets.filter((set, position) => {
    count += set.endpoints.length
    return position === 0 || count <= MAX_ENDPOINTS
  })
}

/** Looks at registrations of the nodes that the subject calls, and at its own. True: its peers don't see it yet. */
async function refresh(deps: SyncDeps, state: MeshState, subject: Subject, nodes: readonly string[]): Promise<boolean> {
  const { kind, mesh, name } = subject
  const own = kind === 'virtual-node' ? name : undefined
  const wanted = new Set(own === undefined ? nodes : [...nodes, own])
  const discoveries = [...wanted].map((node) => discoveryOf(state.graph, mesh, node))
  const looked = await deps.directory.refresh(
    mesh,
    discoveries.filter((found) => found !== undefined),
    'due',
  )
  return looked.some(({ node, settled }) => node === own && !settled)
}

function isEmpty(answer: Omit<SyncResponse, 'nextSyncMs'>): boolean {
  return answer.snapshot === undefined && answer.trust === undefined && answer.endpoints.length === 0
}

/** The nodes whose instances the clusters of a snapshot name. */
function nodesOf(snapshot: Snapshot): ReadonlySet<string> {
  const nodes = new Set<string>()
  for (const { discovery } of snapshot.clusters) {
    if (discovery.kind === 'endpoints' || discovery.kind === 'dns') nodes.add(discovery.node)
  }
  return nodes
}

/** Waits for a change, `ms`, or an abort; true when it was a change. */
async function hold(watch: Watch, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const stop = () => resolve(false)
  const timer = setTimeout(stop, ms)
  signal.addEventListener('abort', stop, { once: true })
  watch.changed.then(() => resolve(true))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** One held call an instance: a new one ends the one before, so that nobody can pile them up. */
class HeldCalls {
  readonly #calls = new Map<string, AbortController>()
  readonly #stopping: AbortSignal

  constructor(stopping: AbortSignal) {
    this.#stopping = stopping
    stopping.addEventListener('abort', () => {
      for (const call of this.#calls.values()) call.abort()
    })
  }

  /** Plain listeners, no AbortSignal.any: on a signal that lives as long as the process that leaks with every call. */
  enter(subject: Subject, instanceId: string, client: AbortSignal): { signal: AbortSignal; release: () => void } {
    const key = JSON.stringify([subject.kind, subject.mesh, subject.name, instanceId])
    this.#calls.get(key)?.abort()
    const call = new AbortController()
    this.#calls.set(key, call)
    const end = () => call.abort()
    client.addEventListener('abort', end)
    if (client.aborted || this.#stopping.aborted) end()
    return {
      signal: call.signal,
      release: () => {
        client.removeEventListener('abort', end)
        if (this.#calls.get(key) === call) this.#calls.delete(key)
      },
    }
  }
}

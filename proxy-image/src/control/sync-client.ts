import type { EndpointSet } from '../../../runtime/model/endpoints.ts'
import type { Problem } from '../../../runtime/model/problem.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { decodeSnapshot, SNAPSHOT_SCHEMA, type Snapshot } from '../../../runtime/model/snapshot.ts'
import { type SyncRequest, type SyncResponse, SyncResponseSchema } from '../../../runtime/model/sync.ts'
import type { Log } from '../log.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { BackOff, pause } from './back-off.ts'
import { CallError, createAgent, post } from './call.ts'
import { decode } from './decode.ts'
import { issuedUnder } from './issued-under.ts'
import type { Connection, Proof } from './proof.ts'
import type { StateDirectory } from './state.ts'

type InstanceState = SyncRequest['instance']['state']

export interface SyncClientOptions {
  readonly controlPlaneUrl: string
  readonly subject: Subject
  readonly identity: WorkloadIdentity
  /** Shown where it goes with every call; otherwise the certificate is. */
  readonly proof: Proof | null
  readonly state: StateDirectory
  readonly log: Log
  /** What this proxy says of itself; asked before each call, since ports are known only once they are bound. */
  readonly describe: () => Omit<SyncRequest['instance'], 'state'>
  /** Puts a snapshot in force. Throwing (or rejecting) refuses it whole, and the control plane hears why. */
  readonly onSnapshot: (snapshot: Snapshot) => void | Promise<void>
  /** The instances of one node. May come before the snapshot whose clusters name that node. */
  readonly onEndpoints: (set: EndpointSet) => void
  /** This certificate is not taken any more, by the control plane or by peers, or shows nobody to trust: time for another. */
  readonly onRefused: () => void
  /** Whether news come by themselves now. */
  readonly listening: () => boolean
  /** A call failed and will be tried again; for metrics. */
  readonly onFailure: () => void
}

const WAIT_MS = 30_000
/** An empty answer that was not held, without a hint when to come back, must not make a tight loop. */
const EMPTY_PAUSE_MS = 1_000
/** The way there and back; a held call has its wait beside it. */
const CALL_TIMEOUT_MS = 10_000
const RETRY_FIRST_MS = 100
const RETRY_CAP_MS = 10_000
/** Where each call has its price. */
const PAID_RETRY_CAP_MS = 30_000
/** A shorter hint has a reason of its own, such as that peers do not see this proxy yet. A longer one is the interval at rest. */
const AT_REST_MS = 10_000
const MAX_PROBLEMS = 20
const MAX_PROBLEM_CHARACTERS = 500

/** The one call that carries everything both ways, in a loop. */
export class SyncClient {
  readonly #options: SyncClientOptions
  readonly #stopped = new AbortController()
  readonly #endpoints = new Map<string, EndpointSet>()
  /** Aborted to break off a held call or a pause because there is something to say. */
  #interrupt = new AbortController()
  #instanceState: InstanceState = 'starting'
  /** Those who wait until the state they set was heard. */
  #unheard: (() => void)[] = []
  #applied: Snapshot | undefined
  #rejected: { revision: string; problems: Problem[] } | null = null
  #connection: (Connection & { readonly revision: string }) | undefined
  /** Somebody asked for a sync while one was under way, which may have been too early to bring what is meant. */
  #again = false
  #calling = false

  constructor(options: SyncClientOptions) {
    this.#options = options
  }

  /**
   * Puts the saved snapshot and endpoints in force, so that a restart serves without the control plane. False when
   * there are none, or the snapshot was refused. Call it once, before {@link run}.
   */
  async startFromState(): Promise<boolean> {
    const { state, subject, log } = this.#options
    const snapshot = await state.readSnapshot(subject)
    if (snapshot === undefined) return false
    for (const set of await state.readEndpoints()) this.#takeEndpoints(set)
    try {
      await this.#options.onSnapshot(snapshot)
    } catch (error) {
      log.warning('the saved snapshot could not be put in force and was ignored', { error: (error as Error).message })
      return false
    }
    this.#applied = snapshot
    log.info('serves the saved snapshot', { revision: snapshot.revision })
    return true
  }

  /** Syncs until closed; needs a ready identity. Never rejects: failures are logged, and tried again. */
  async run(): Promise<void> {
    const { log } = this.#options
    const stopped = this.#stopped.signal
    const backOff = new BackOff(RETRY_FIRST_MS, this.#held ? RETRY_CAP_MS : PAID_RETRY_CAP_MS)
    while (!stopped.aborted) {
      this.#interrupt = new AbortController()
      const interrupted = AbortSignal.any([stopped, this.#interrupt.signal])
      try {
        const nextMs = await this.#syncOnce(interrupted)
        backOff.reset()
        await pause(this.#again ? 0 : nextMs, interrupted)
      } catch (error) {
        if (interrupted.aborted) continue
        this.#options.onFailure()
        const retryMs = Math.round(backOff.next())
        log.warning('sync with the control plane failed; the last good state stays in force', {
          error: (error as Error).message,
          retryMs,
        })
        if (error instanceof CallError && error.refused && this.#held) this.#options.onRefused()
        await this.#pauseUnlessRenewed(retryMs, interrupted)
      }
    }
  }

  /**
   * Reports another state at once, breaking off a held call. Resolves when the control plane heard it (or the client
   * was closed): after `draining`, peers are being told.
   */
  setState(state: InstanceState): Promise<void> {
    if (state === this.#instanceState || this.#stopped.signal.aborted) return Promise.resolve()
    this.#instanceState = state
    const heard = new Promise<void>((resolve) => this.#unheard.push(resolve))
    this.#interrupt.abort()
    return heard
  }

  /** Syncs now instead of at the next interval; once more when a call is under way. */
  syncSoon(): void {
    if (this.#calling) this.#again = true
    else this.#interrupt.abort()
  }

  /** Ends a call under way at once. The control plane takes a draining instance out when its connection ends. */
  close(): void {
    this.#stopped.abort()
    this.#connection?.agent.destroy()
    for (const resolve of this.#unheard.splice(0)) resolve()
  }

  /** A new certificate may be just what the failed call lacked: no reason to wait any longer. */
  async #pauseUnlessRenewed(ms: number, interrupted: AbortSignal): Promise<void> {
    const renewed = new AbortController()
    const stop = this.#options.identity.onChange(() => renewed.abort())
    await pause(ms, AbortSignal.any([interrupted, renewed.signal]))
    stop()
  }

  /** Calls are held until there is news where nothing stands in between that asks its price by the second. */
  get #held(): boolean {
    return this.#options.proof?.everyCall !== true
  }

  /** One call; returns milliseconds to wait before the next. Throws when it failed or its content made no sense. */
  async #syncOnce(signal: AbortSignal): Promise<number> {
    const unheard = this.#unheard.splice(0)
    // A report is answered at once, so that it is known to have arrived; without one the call is held.
    const report = unheard.length > 0
    const held = this.#held && !report
    const startedMs = performance.now()
    this.#again = false
    this.#calling = true
    try {
      const answer = await post({
        connection: await this.#connect(signal),
        url: `${this.#options.controlPlaneUrl}/v1/dataplane/sync${held ? `?wait=${WAIT_MS / 1000}s` : ''}`,
        body: this.#request(),
        timeoutMs: CALL_TIMEOUT_MS + (held ? WAIT_MS : 0),
        signal,
      })
      for (const resolve of unheard.splice(0)) resolve()
      const response = decode(SyncResponseSchema, 'the answer to the sync', answer) as SyncResponse
      await this.#take(response)
      const { nextSyncMs } = response
      if (!this.#held) return Math.max(pauseAfter(nextSyncMs, this.#options.listening()), EMPTY_PAUSE_MS)
      if (report) return 0
      const early = isEmpty(response) && performance.now() - startedMs < EMPTY_PAUSE_MS
      return Math.max(nextSyncMs, early ? EMPTY_PAUSE_MS : 0)
    } finally {
      this.#calling = false
      if (this.#stopped.signal.aborted) for (const resolve of unheard) resolve()
      else this.#unheard.unshift(...unheard)
    }
  }

  #request(): SyncRequest {
    const { identity, describe } = this.#options
    const applied = this.#applied?.revision ?? null
    return {
      schemas: [SNAPSHOT_SCHEMA],
      instance: { ...describe(), state: this.#instanceState },
      known: {
        // A refused revision counts as known: it would only be refused again.
        snapshot: this.#rejected?.revision ?? applied,
        endpoints: Object.fromEntries([...this.#endpoints].map(([node, set]) => [node, set.revision])),
        trust: identity.trust.revision,
      },
      status: { applied, rejected: this.#rejected, certificateNotAfterMs: identity.notAfterMs },
    }
  }

  /** Trust first, snapshot last: what it refers to is there when it comes in force. */
  async #take({ trust, endpoints, snapshot }: SyncResponse): Promise<void> {
    const { identity, state } = this.#options
    if (trust !== undefined) {
      identity.updateTrust(trust)
      // Peers hear of it as well, and would not take this certificate any more: its CA is gone, not rotated.
      if (!issuedUnder(identity.credentials.chainPem, trust)) this.#options.onRefused()
      await state.saveTrust(trust)
    }
    for (const set of endpoints) this.#takeEndpoints(set)
    if (endpoints.length > 0) state.saveEndpointsSoon(() => [...this.#endpoints.values()])
    if (snapshot !== undefined) await this.#takeSnapshot(snapshot)
  }

  #takeEndpoints(set: EndpointSet): void {
    this.#endpoints.set(set.node, set)
    this.#options.onEndpoints(set)
  }

  async #takeSnapshot(input: unknown): Promise<void> {
    const { state, log, onSnapshot } = this.#options
    const checked = decodeSnapshot(input)
    if (!checked.ok) return this.#reject(revisionOf(input), checked.problems)
    const snapshot = checked.value
    const foreign = foreignSubject(snapshot.subject, this.#options.subject)
    if (foreign !== undefined) return this.#reject(snapshot.revision, [foreign])
    try {
      await onSnapshot(snapshot)
    } catch (error) {
      return this.#reject(snapshot.revision, problemsOf(error))
    }
    this.#applied = snapshot
    this.#rejected = null
    this.#forgetUnusedEndpoints(snapshot)
    log.info('applied a snapshot', { revision: snapshot.revision })
    await state.saveSnapshot(snapshot)
  }

  #reject(revision: string | undefined, problems: readonly Problem[]): void {
    const shown = problems.slice(0, MAX_PROBLEMS).map((problem) => ({
      path: problem.path.slice(0, MAX_PROBLEM_CHARACTERS),
      code: problem.code,
      message: problem.message.slice(0, MAX_PROBLEM_CHARACTERS),
    }))
    const first = shown[0]
    const inForce = this.#applied === undefined ? 'none is in force yet' : 'the last good one stays in force'
    this.#options.log.error(`refused a snapshot; ${inForce}`, {
      revision,
      problems: problems.length,
      first: first && `${first.path} ${first.message}`.trimStart(),
    })
    // Without a revision it can't be called known, so the next answer would bring it again: that is a failed call.
    if (revision === undefined) throw new Error('the control plane sent a snapshot without a readable revision')
    this.#rejected = { revision, problems: shown }
  }

  #forgetUnusedEndpoints(snapshot: Snapshot): void {
    const used = new Set(snapshot.clusters.map(({ discovery }) => ('node' in discovery ? discovery.node : undefined)))
    for (const node of this.#endpoints.keys()) if (!used.has(node)) this.#endpoints.delete(node)
  }

  /** The connection of the current credentials; the one before ends with the call that it carries. */
  async #connect(signal: AbortSignal): Promise<Connection> {
    const { identity, proof } = this.#options
    const { everyCall = false } = proof ?? {}
    const revision = everyCall ? 'proof' : `${identity.trust.revision} ${identity.credentials.chainPem}`
    if (this.#connection?.revision !== revision) {
      // Calls come one after another, so nothing is under way here.
      this.#connection?.agent.destroy()
      const connection =
        proof !== null && everyCall ? await proof.connect(signal) : { agent: createAgent(identity.serverOptions()) }
      this.#connection = { ...connection, revision }
    }
    return this.#connection
  }
}

/**
 * Milliseconds to the next call that is paid for: twice as long as the control plane says at rest, where news come by
 * themselves. What the push misses is then seen later, and all calls together cost half.
 */
export function pauseAfter(nextSyncMs: number, listening: boolean): number {
  return listening && nextSyncMs >= AT_REST_MS ? 2 * nextSyncMs : nextSyncMs
}

function isEmpty({ snapshot, endpoints, trust }: SyncResponse): boolean {
  return snapshot === undefined && trust === undefined && endpoints.length === 0
}

function foreignSubject(found: Subject, own: Subject): Problem | undefined {
  if (found.kind === own.kind && found.mesh === own.mesh && found.name === own.name) return undefined
  const message = `The snapshot is for ${found.kind} ${found.mesh}/${found.name}, but this proxy is ${own.kind} ${own.mesh}/${own.name}.`
  return { path: 'subject', code: 'foreign-subject', message }
}

/** The revision of something that is no snapshot. */
function revisionOf(input: unknown): string | undefined {
  const revision = (input as { revision?: unknown } | null)?.revision
  return typeof revision === 'string' && revision.length > 0 && revision.length <= 1024 ? revision : undefined
}

/** Whatever `onSnapshot` threw: a list of problems stays one. */
function problemsOf(error: unknown): readonly Problem[] {
  const { problems, message } = error as { problems?: readonly Problem[]; message?: string }
  if (Array.isArray(problems) && problems.length > 0) return problems
  return [{ path: '', code: 'not-applicable', message: message ?? String(error) }]
}

import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { EndpointSet } from '../model/endpoints.ts'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { Clock, DirectoryRefresh, EndpointDirectory, NodeDiscovery, ProxyReport, ReportedProxy } from '../ports.ts'
import { type CloudMap, type CloudMapAnswer, canonical } from './cloud-map.ts'
import { asMeshError } from './dynamodb-calls.ts'
import { DynamoDbLooks } from './dynamodb-looks.ts'
import { DynamoDbReports } from './dynamodb-reports.ts'
import { DynamoDbSets, type KeptSet } from './dynamodb-sets.ts'
import { EMPTY_GRACE_MS, join, takeAnswer, UNREGISTERED, without } from './endpoint-join.ts'
import { checkInstance, endpointSet, reportedProxy } from './endpoint-set.ts'
import { remember } from './remember.ts'

export interface DynamoDbEndpointsOptions {
  readonly client: DynamoDBClient
  /** Name of a table with the keys of `DYNAMODB_TABLE`. */
  readonly table: string
  readonly cloudMap: Pick<CloudMap, 'discover'>
  readonly clock: Clock
}

/** A node at rest is looked at so often; reports and ECS's events come in between. */
const AT_REST_MS = 300_000
const UNSETTLED_MS = 5_000
const EMPTY_MS = 15_000
const FAILED_MS = 30_000
/** Who looks has so long to do it before another one may. */
const LEASE_MS = 30_000
/** Nodes looked at side by side: an account has 1,000 DiscoverInstances a second for all it runs. */
const CONCURRENCY = 8
/** A proxy waits for its poll no longer than 10 s: what is not begun by then is left to the next one, still due. */
const BEGIN_WITHIN_MS = 2_000
/** Nodes whose changed reports are remembered: those that are taken away before anybody looks at them stay until then. */
const MAX_CHANGED = 10_000

/**
 * The endpoint directory on AWS, for any number of processes that share nothing but a table: instances are those of
 * Cloud Map, joined by address with what their proxies reported (see `join`). An idle poll writes nothing and reads one
 * small item at most four times a second. Calls throw MeshError `throttled` or `unavailable` when the table can't be used.
 */
export class DynamoDbEndpoints implements EndpointDirectory {
  readonly #table: string
  readonly #cloudMap: Pick<CloudMap, 'discover'>
  readonly #clock: Clock
  readonly #reports: DynamoDbReports
  readonly #sets: DynamoDbSets
  readonly #looks: DynamoDbLooks
  /** Nodes whose reports changed since their set was made, and the address that did: due at once in this process. */
  readonly #changed = new Map<string, string>()

  constructor({ client, table, cloudMap, clock }: DynamoDbEndpointsOptions) {
    this.#table = table
    this.#cloudMap = cloudMap
    this.#clock = clock
    this.#reports = new DynamoDbReports(client, table)
    this.#sets = new DynamoDbSets(client, table, clock)
    this.#looks = new DynamoDbLooks(client, table)
  }

  /** Peers see a new or changed instance after the next `refresh` of its node, which is due now. */
  async report(subject: Subject, report: ProxyReport, ttlMs: number): Promise<void> {
    checkInstance(report.instance)
    const changed = await this.#call(() => this.#reports.write(subject, report, ttlMs, this.#clock.now()))
    if (changed && subject.kind === 'virtual-node') {
      remember(this.#changed, nodeKey(subject.mesh, subject.name), report.instance.address, MAX_CHANGED)
    }
  }

  async remove(subject: Subject, instanceId: string): Promise<void> {
    const { kind, mesh, name } = subject
    await this.#call(async () => {
      const removed = await this.#reports.remove(subject, instanceId)
      if (removed === undefined || kind !== 'virtual-node') return
      await this.#sets.rewrite(mesh, name, async (before) => {
        const { address } = removed.instance
        const reports = await this.#reports.list(mesh, subject)
        const restarted = reports.some(({ instance }) => instance.address === address)
        const registration = restarted ? before : without(before, address)
        const { endpoints } = join(before.rule, registration, reports, this.#clock.now())
        return { ...before, ...registration, set: endpointSet(name, endpoints) }
      })
    })
  }

  endpoints(mesh: string, node: string): Promise<EndpointSet> {
    return this.#call(() => this.#sets.current(mesh, node))
  }

  async proxies(mesh: string, lapsed?: 'lapsed'): Promise<readonly ReportedProxy[]> {
    const reports = await this.#call(() => this.#reports.list(mesh))
    const now = this.#clock.now()
    const order = ({ subject, instance }: ReportedProxy) => [subject.kind, subject.name, instance] as const
    return reports
      .filter(({ lapsesAtMs }) => lapsed !== undefined || lapsesAtMs > now)
      .map((report) => reportedProxy(report.subject, report))
      .sort((a, b) => compare(order(a), order(b)))
  }

  async refresh(
    mesh: string,
    nodes: readonly NodeDiscovery[],
    when: 'due' | 'now',
  ): Promise<readonly DirectoryRefresh[]> {
    const looked: DirectoryRefresh[] = []
    const waiting = [...nodes]
    const deadline = performance.now() + BEGIN_WITHIN_MS
    const worker = async () => {
      while (waiting.length > 0 && (when === 'now' || performance.now() < deadline)) {
        const discovery = waiting.shift()!
        const result = await this.#call(() => this.#look(mesh, discovery, when))
        if (result !== undefined) looked.push(result)
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
    return looked
  }

  async #look(mesh: string, discovery: NodeDiscovery, when: 'due' | 'now'): Promise<DirectoryRefresh | undefined> {
    const { node, cloudMap } = discovery
    const now = this.#clock.now()
    const reported = this.#changed.get(nodeKey(mesh, node))
    const until = now + (cloudMap === null ? spread(AT_REST_MS) : LEASE_MS)
    const leased = when === 'now' || (await this.#looks.lease(mesh, node, now, until))
    if (!leased && reported === undefined) return undefined
    const ask = cloudMap !== null && (leased || !(await this.#isRegistered(mesh, node, reported!)))
    const { answer, failure } = ask ? await this.#discover(mesh, node, cloudMap) : {}
    const { settled, emptySinceMs } = await this.#make(mesh, discovery, answer)
    // Another report may have come while this one was taken in.
    if (this.#changed.get(nodeKey(mesh, node)) === reported) this.#changed.delete(nodeKey(mesh, node))
    const failed = ask && answer === undefined
    const pauseMs = failed ? spread(FAILED_MS) : !settled ? UNSETTLED_MS : spread(AT_REST_MS)
    const graceMs = emptySinceMs === null ? pauseMs : Math.min(EMPTY_MS, emptySinceMs + EMPTY_GRACE_MS - now)
    const readAtMs = answer === undefined ? undefined : now
    if (ask || !settled) await this.#looks.schedule(mesh, node, now + Math.min(pauseMs, graceMs), readAtMs)
    return { node, settled, ...(failure === undefined ? {} : { failure }) }
  }

  /** Makes the set anew of what is known now. */
  async #make(
    mesh: string,
    { node, cloudMap, plainPort }: NodeDiscovery,
    answer: CloudMapAnswer | undefined,
  ): Promise<{ readonly settled: boolean; readonly emptySinceMs: number | null }> {
    const rule = { registers: cloudMap !== null, plainPort }
    let settled = true
    let emptySinceMs: number | null = null
    await this.#sets.rewrite(mesh, node, async (before): Promise<KeptSet> => {
      const now = this.#clock.now()
      const known = answer === undefined ? before : takeAnswer(before, answer, now)
      const reports = await this.#reports.list(mesh, { kind: 'virtual-node', mesh, name: node })
      const registration = { ...(rule.registers ? known : UNREGISTERED), meshed: known.meshed || reports.length > 0 }
      const joined = join(rule, registration, reports, now)
      settled = joined.settled
      emptySinceMs = registration.emptySinceMs
      return { ...registration, rule, set: endpointSet(node, joined.endpoints) }
    })
    return { settled, emptySinceMs }
  }

  async #isRegistered(mesh: string, node: string, address: string): Promise<boolean> {
    const { kept } = await this.#sets.read(mesh, node)
    return kept.found.some(({ addresses }) => addresses.includes(canonical(address)))
  }

  async #discover(
    mesh: string,
    node: string,
    cloudMap: NonNullable<NodeDiscovery['cloudMap']>,
  ): Promise<{ readonly answer?: CloudMapAnswer; readonly failure?: string }> {
    try {
      const answer = await this.#cloudMap.discover(cloudMap)
      return { answer, ...(answer.problem === undefined ? {} : { failure: answer.problem }) }
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      const readAtMs = await this.#looks.readAt(mesh, node)
      const age = readAtMs === undefined ? undefined : Math.round((this.#clock.now() - readAtMs) / 1000)
      const kept = age === undefined ? 'it was never read before' : `what it held ${age} s ago stays in force`
      return { failure: `${error.message}; ${kept}` }
    }
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asMeshError(error, this.#table)
    }
  }
}

/** By up to a fifth shorter or longer, so that what began together drifts apart. */
function spread(ms: number): number {
  return Math.round(ms * (0.8 + 0.4 * Math.random()))
}

function nodeKey(mesh: string, node: string): string {
  return JSON.stringify([mesh, node])
}

function compare(a: readonly string[], b: readonly string[]): number {
  const differs = a.findIndex((text, index) => text !== b[index])
  return differs === -1 ? 0 : a[differs]! < b[differs]! ? -1 : 1
}

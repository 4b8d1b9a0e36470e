import {
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  QueryCommand,
  type QueryCommandInput,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { ProxyReport } from '../ports.ts'
import type { Item } from './dynamodb-calls.ts'
import { fitsKey, key } from './dynamodb-commit.ts'
import { endpointsPartition, REPORTS, reportKey } from './dynamodb-table.ts'
import type { KeptReport } from './endpoint-join.ts'
import { sameInstance } from './endpoint-set.ts'
import { remember } from './remember.ts'

/** A report is written again when so much of its life is over: with 50 minutes, each 20. */
const HEARTBEAT_AFTER = 0.4
/** DynamoDB may take a report away so long after it lapsed: that of a registered instance counts until then. */
const KEEP_LAPSED_MS = 7 * 24 * 3_600_000
/** A Cloud Map service holds 1,000 instances, and a rolling deployment doubles them. */
const MAX_INSTANCES = 2_000
/** Instances of a subject are counted so often at most: reading a thousand reports for each that begins would be dear. */
const COUNT_AGAIN_MS = 10_000
/** Reports remembered as they were last written, each about 1 KB. */
const MAX_REMEMBERED = 10_000
/** What operators are shown of a refused snapshot: an item holds 400 KB, and each write is paid by the KB. */
const MAX_PROBLEMS = 5
const MAX_PROBLEM_CHARACTERS = 300

/**
 * A change is news so long to each process that hears of it for the first time: the one that wrote it may have failed before
 * peers were told. Longer than a node at rest waits for its next look, which tells them in any case.
 */
const LATELY_MS = 400_000

export interface SubjectReport extends KeptReport {
  readonly subject: Subject
  /** When the instance became what its peers see, in epoch milliseconds. */
  readonly changedAtMs: number
}

/**
 * What proxies said last, in the one table. A report that says the same again is written only as a rare heartbeat, so
 * that idle proxies cost nothing but their calls.
 */
export class DynamoDbReports {
  readonly #client: DynamoDBClient
  readonly #table: string
  /** Least recently used first. Other processes may have written since: a heartbeat looks before it writes. */
  readonly #written = new Map<string, Omit<SubjectReport, 'subject'>>()
  /** Instances by subject: those that were there at a time, and those that came to this process since. */
  readonly #counts = new Map<string, { count: number; readonly atMs: number }>()

  constructor(client: DynamoDBClient, table: string) {
    this.#client = client
    this.#table = table
  }

  /**
   * True when the instance is new or another one than before, as its peers see it, or became so lately and nobody told this
   * process. Throws as EndpointDirectory says.
   */
  async write(subject: Subject, given: ProxyReport, ttlMs: number, nowMs: number): Promise<boolean> {
    const report = { instance: given.instance, status: shortened(given.status) }
    const at = key(endpointsPartition(subject.mesh), reportKey(subject, report.instance.id))
    if (!fitsKey(at.pk!.S!) || !fitsKey(at.sk!.S!)) {
      throw new MeshError('invalid', 'The names of the mesh, the node and the instance are too long together.')
    }
    const cacheKey = cacheKeyOf(at)
    const isCurrent = (known: KeptReport | undefined) =>
      known !== undefined && sameReport(known, report) && nowMs - known.lastSeenMs < ttlMs * HEARTBEAT_AFTER
    let known = this.#written.get(cacheKey)
    if (isCurrent(known)) return false
    const isHeard = known !== undefined && sameInstance(known.instance, report.instance)
    const isNews = (changedAtMs: number) => !isHeard && nowMs - changedAtMs < LATELY_MS
    if (known === undefined || sameReport(known, report)) {
      known = await this.#read(at)
      if (known !== undefined) remember(this.#written, cacheKey, known, MAX_REMEMBERED)
      if (known !== undefined && isCurrent(known)) return isNews(known.changedAtMs)
      if (known === undefined) await this.#refuseTooMany(subject, nowMs)
    }
    const isSame = (before: KeptReport | undefined): before is KeptReport =>
      before !== undefined && before.lapsesAtMs > nowMs && sameInstance(before.instance, report.instance)
    const changedAtMs = isSame(known) ? known.changedAtMs : nowMs
    const times = { lastSeenMs: nowMs, lapsesAtMs: nowMs + ttlMs, changedAtMs }
    const before = await this.#put(at, subject, { ...report, ...times })
    const firstSeenMs = before?.firstSeenMs ?? nowMs
    remember(this.#written, cacheKey, { ...report, ...times, firstSeenMs }, MAX_REMEMBERED)
    return !isSame(before) || isNews(before.changedAtMs)
  }

  /** Takes a report out; the one that was there. */
  async remove(subject: Subject, instanceId: string): Promise<SubjectReport | undefined> {
    const at = key(endpointsPartition(subject.mesh), reportKey(subject, instanceId))
    this.#written.delete(cacheKeyOf(at))
    const request = new DeleteItemCommand({ TableName: this.#table, Key: at, ReturnValues: 'ALL_OLD' })
    const { Attributes: old } = await this.#client.send(request)
    return old && reportOf(old)
  }

  /**
   * Reports of one subject, or of all of a mesh, which may lag a second behind: that costs half, and every task that ECS starts
   * or stops in the account asks for it. Lapsed ones too as far as they are still there.
   */
  async list(mesh: string, subject?: Subject): Promise<readonly SubjectReport[]> {
    const found: SubjectReport[] = []
    const prefix = subject === undefined ? REPORTS : reportKey(subject, '')
    for await (const { Items: items } of this.#query(mesh, prefix, {}, { ConsistentRead: subject !== undefined })) {
      found.push(...(items ?? []).map(reportOf))
    }
    return found
  }

  async #read(at: Item): Promise<SubjectReport | undefined> {
    const { Item: item } = await this.#client.send(new GetItemCommand({ TableName: this.#table, Key: at }))
    return item && reportOf(item)
  }

  /** Returns what was there before. A slower process with an older report does not undo a newer one. */
  async #put(
    at: Item,
    subject: Subject,
    { instance, status, lastSeenMs, lapsesAtMs, changedAtMs }: Omit<SubjectReport, 'subject' | 'firstSeenMs'>,
  ): Promise<SubjectReport | undefined> {
    const request = new UpdateItemCommand({
      TableName: this.#table,
      Key: at,
      UpdateExpression:
        'SET report = :report, #at = :now, lapses = :lapses, expires = :expires, changed = :changed, since = if_not_exists(since, :now)',
      ConditionExpression: 'attribute_not_exists(#at) OR #at <= :now',
      ExpressionAttributeNames: { '#at': 'at' },
      ExpressionAttributeValues: {
        ':report': { S: JSON.stringify({ subject, instance, status }) },
        ':now': { N: String(lastSeenMs) },
        ':lapses': { N: String(lapsesAtMs) },
        ':expires': { N: String(Math.ceil((lapsesAtMs + KEEP_LAPSED_MS) / 1000)) },
        ':changed': { N: String(changedAtMs) },
      },
      ReturnValues: 'ALL_OLD',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    })
    try {
      const { Attributes: old } = await this.#client.send(request)
      return old && reportOf(old)
    } catch (error) {
      const { name, Item: newer } = error as Error & { Item?: Item }
      if (name !== 'ConditionalCheckFailedException' || newer === undefined) throw error
      return reportOf(newer)
    }
  }

  async #refuseTooMany(subject: Subject, nowMs: number): Promise<void> {
    const counter = key(endpointsPartition(subject.mesh), reportKey(subject, ''))
    let known = this.#counts.get(cacheKeyOf(counter))
    if (known === undefined || nowMs - known.atMs >= COUNT_AGAIN_MS) {
      known = { count: await this.#count(subject, nowMs), atMs: nowMs }
      remember(this.#counts, cacheKeyOf(counter), known, MAX_REMEMBERED)
    }
    if (known.count++ < MAX_INSTANCES) return
    throw new MeshError(
      'limit-exceeded',
      `${subject.kind} ${subject.name} has ${MAX_INSTANCES} instances already; stop some, or split the node.`,
    )
  }

  async #count(subject: Subject, nowMs: number): Promise<number> {
    let count = 0
    const counted = { Select: 'COUNT', FilterExpression: 'lapses > :now' } as const
    const values = { ':now': { N: String(nowMs) } }
    for await (const { Count } of this.#query(subject.mesh, reportKey(subject, ''), values, counted))
      count += Count ?? 0
    return count
  }

  async *#query(mesh: string, prefix: string, values: Item, more: Omit<QueryCommandInput, 'TableName'>) {
    let from: Item | undefined
    do {
      const answer = await this.#client.send(
        new QueryCommand({
          TableName: this.#table,
          KeyConditionExpression: 'pk = :pk AND begins_with(sk, :sk)',
          ExpressionAttributeValues: { ':pk': { S: endpointsPartition(mesh) }, ':sk': { S: prefix }, ...values },
          ...more,
          ...(from && { ExclusiveStartKey: from }),
        }),
      )
      yield answer
      from = answer.LastEvaluatedKey
    } while (from !== undefined)
  }
}

function cacheKeyOf(at: Item): string {
  return `${at.pk!.S}\n${at.sk!.S}`
}

function reportOf(item: Item): SubjectReport {
  const { subject, instance, status } = JSON.parse(item.report!.S!)
  const [firstSeenMs, lastSeenMs, lapsesAtMs] = [Number(item.since!.N), Number(item.at!.N), Number(item.lapses!.N)]
  return { subject, instance, status, firstSeenMs, lastSeenMs, lapsesAtMs, changedAtMs: Number(item.changed?.N ?? 0) }
}

function sameReport(a: ProxyReport, b: ProxyReport): boolean {
  // What peers do not see counts too: Prometheus and operators do.
  const shown = ({ instance: { metricsPort, zone }, status }: ProxyReport) =>
    JSON.stringify([metricsPort, zone, status])
  return sameInstance(a.instance, b.instance) && shown(a) === shown(b)
}

function shortened({ applied, rejected, certificateNotAfterMs }: ProxyReport['status']): ProxyReport['status'] {
  if (rejected === null) return { applied, rejected, certificateNotAfterMs }
  const problems = rejected.problems.slice(0, MAX_PROBLEMS).map(({ path, code, message }) => ({
    path: path.slice(0, MAX_PROBLEM_CHARACTERS),
    code: code.slice(0, MAX_PROBLEM_CHARACTERS),
    message: message.slice(0, MAX_PROBLEM_CHARACTERS),
  }))
  return { applied, rejected: { revision: rejected.revision, problems }, certificateNotAfterMs }
}

import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda'
import { ENDPOINTS_HEAD, endpointsPartition, HEADS } from '../adapters/dynamodb-table.ts'
import { errorFields, log } from './log.ts'

export interface StreamDeps {
  readonly publishNames: (mesh: string) => Promise<void>
  readonly announce: (mesh: string) => Promise<void>
}

/** What a batch says of one mesh. */
interface News {
  /** The first record of a commit: where the stream goes on when names could not be published. Undefined: endpoints alone changed. */
  committed?: string
}

/**
 * After commits: names are published and proxies told. After a change of endpoints: proxies are told. A mesh that fails does not
 * hold up others; names are tried again, news are not, for they would be old by then.
 */
export async function onTableChange(
  deps: StreamDeps,
  records: readonly DynamoDBRecord[],
): Promise<DynamoDBBatchResponse> {
  const failed: string[] = []
  const works = [...newsOf(records)].flatMap(([mesh, { committed }]) => {
    const announced = deps
      .announce(mesh)
      .catch((error) => log('warn', 'news not told', { mesh, ...errorFields(error) }))
    if (committed === undefined) return [announced]
    const published = deps.publishNames(mesh).catch((error) => {
      log('error', 'names not published', { mesh, ...errorFields(error) })
      failed.push(committed)
    })
    return [announced, published]
  })
  await Promise.all(works)
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) }
}

/** By mesh. Records of anything else are nobody's business here. */
function newsOf(records: readonly DynamoDBRecord[]): ReadonlyMap<string, News> {
  const news = new Map<string, News>()
  for (const { dynamodb } of records) {
    const { pk, sk } = dynamodb?.Keys ?? {}
    const partition = pk?.S ?? ''
    const isCommit = partition === HEADS
    const mesh = isCommit ? sk?.S : meshOfEndpoints(partition, sk?.S)
    if (mesh === undefined) continue
    const known = news.get(mesh) ?? {}
    const sequence = dynamodb?.SequenceNumber
    if (isCommit && known.committed === undefined && sequence !== undefined) known.committed = sequence
    news.set(mesh, known)
  }
  return news
}

/** The mesh whose endpoints changed, if that is what an item tells. */
function meshOfEndpoints(partition: string, sortKey: string | undefined): string | undefined {
  const prefix = endpointsPartition('')
  return sortKey === ENDPOINTS_HEAD && partition.startsWith(prefix) ? partition.slice(prefix.length) : undefined
}

import type { DynamoDBBatchResponse, DynamoDBRecord } from 'aws-lambda'
import { ENDPOINTS_HEAD, endpointsPartition, HEADS } from '../adapters/dynamodb-table.ts'
import { errorFields, log } from './log.ts'

/**
 * After commits: names are published. A mesh that fails does not hold up others, and comes again from its first commit on,
 * with all that follows: so nobody else may wait in this line.
 */
export async function publishCommitted(
  publishNames: (mesh: string) => Promise<void>,
  records: readonly DynamoDBRecord[],
): Promise<DynamoDBBatchResponse> {
  const first = new Map<string, string>()
  for (const { dynamodb } of records) {
    const mesh = committedMesh(dynamodb)
    const sequence = dynamodb?.SequenceNumber
    if (mesh !== undefined && sequence !== undefined && !first.has(mesh)) first.set(mesh, sequence)
  }
  const failed: string[] = []
  const works = [...first].map(async ([mesh, sequence]) => {
    try {
      await publishNames(mesh)
    } catch (error) {
      log('error', 'names not published', { mesh, ...errorFields(error) })
      failed.push(sequence)
    }
  })
  await Promise.all(works)
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) }
}

/** After commits and changes of endpoints: proxies are told, once a mesh. Never again what failed: it would be old by then. */
export async function announceChanges(
  announce: (mesh: string) => Promise<void>,
  records: readonly DynamoDBRecord[],
): Promise<void> {
  const changed = records.map(({ dynamodb }) => committedMesh(dynamodb) ?? meshOfEndpoints(dynamodb))
  const works = [...new Set(changed)].map(async (mesh) => {
    if (mesh === undefined) return
    await announce(mesh).catch((error) => log('warn', 'news not told', { mesh, ...errorFields(error) }))
  })
  await Promise.all(works)
}

/** The mesh that a commit changed, if that is what an item tells. */
function committedMesh(change: DynamoDBRecord['dynamodb']): string | undefined {
  return change?.Keys?.pk?.S === HEADS ? change.Keys.sk?.S : undefined
}

/** The mesh whose endpoints changed, if that is what an item tells. */
function meshOfEndpoints(change: DynamoDBRecord['dynamodb']): string | undefined {
  const partition = change?.Keys?.pk?.S ?? ''
  const prefix = endpointsPartition('')
  const isHead = change?.Keys?.sk?.S === ENDPOINTS_HEAD && partition.startsWith(prefix)
  return isHead ? partition.slice(prefix.length) : undefined
}

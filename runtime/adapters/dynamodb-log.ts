import { type DynamoDBClient, QueryCommand } from '@aws-sdk/client-dynamodb'
import type { ResourceRef } from '../model/reference.ts'
import type { ChangeLogEntry } from '../ports.ts'
import type { BlobBatch, BlobReader, BlobRef } from './dynamodb-blobs.ts'
import type { Item } from './dynamodb-calls.ts'
import { commitKey, meshPartition } from './dynamodb-table.ts'

/** One change as the log holds it: what the resource was and became, as JSON. */
export interface LoggedChange {
  readonly ref: ResourceRef
  readonly before: string | null
  readonly after: string | null
}

/** Pieces of a commit's log: position of the first change in each, and its blob. */
type LogIndex = readonly (readonly [first: number, blob: BlobRef])[]

/** Characters in one piece of log: a page of history never has to read far more than it shows. */
const PIECE_SIZE = 64 * 1024
/** About how many pieces a commit has at most: their places are listed in its one item. */
const MAX_PIECES = 1000
/** Commits looked at in one read. */
const COMMITS_A_READ = 100

/** Adds the log of a commit to its blobs, and returns what its `commit#` item says of it. */
export function addLog(batch: BlobBatch, changes: readonly LoggedChange[]): Item {
  const index: [number, BlobRef][] = []
  let piece: LoggedChange[] = []
  let size = 0
  const pieceSize = Math.max(PIECE_SIZE, changes.reduce((sum, change) => sum + sizeOf(change), 0) / MAX_PIECES)
  for (const [position, change] of changes.entries()) {
    piece.push(change)
    size += sizeOf(change)
    if (size < pieceSize && position < changes.length - 1) continue
    index.push([position + 1 - piece.length, batch.add(JSON.stringify(piece))])
    piece = []
    size = 0
  }
  return { log: { S: JSON.stringify(index) }, count: { N: String(changes.length) } }
}

function sizeOf({ before, after }: LoggedChange): number {
  return (before?.length ?? 0) + (after?.length ?? 0)
}

/** Where an entry stands: entries before it have a lower generation, or the same and a lower position. */
export interface LogPosition {
  readonly generation: number
  readonly position: number
}

interface Placed extends LogPosition {
  readonly entry: ChangeLogEntry
}

/** The changes of a mesh before `end`, newest first, at most `limit`. */
export async function readLog(
  { client, table, blobs }: { client: DynamoDBClient; table: string; blobs: BlobReader },
  query: { readonly mesh: string; readonly end: LogPosition | undefined; readonly limit: number },
): Promise<readonly Placed[]> {
  const { mesh, end, limit } = query
  const found: Placed[] = []
  let from: Item | undefined
  do {
    const answer = await client.send(
      new QueryCommand({
        TableName: table,
        ConsistentRead: true,
        ScanIndexForward: false,
        Limit: Math.min(limit, COMMITS_A_READ),
        KeyConditionExpression: 'pk = :pk AND sk BETWEEN :first AND :last',
        ExpressionAttributeValues: {
          ':pk': { S: meshPartition(mesh) },
          ':first': { S: commitKey(0) },
          ':last': { S: commitKey(end?.generation ?? Number.MAX_SAFE_INTEGER) },
        },
        ...(from && { ExclusiveStartKey: from }),
      }),
    )
    found.push(...(await expand(blobs, mesh, answer.Items ?? [], end, limit - found.length)))
    from = answer.LastEvaluatedKey
  } while (from !== undefined && found.length < limit)
  return found
}

/** The changes of some commits, reading only the pieces of log that hold the first `limit` of them. */
async function expand(
  blobs: BlobReader,
  mesh: string,
  commits: readonly Item[],
  end: LogPosition | undefined,
  limit: number,
): Promise<Placed[]> {
  let wanted = limit
  const parts = commits.map((item) => {
    const generation = Number(item.generation!.N)
    const count = Number(item.count!.N)
    const top = generation === end?.generation ? Math.min(count, end.position) : count
    const bottom = Math.max(0, top - wanted)
    wanted -= Math.max(0, top - bottom)
    const index: LogIndex = JSON.parse(item.log!.S!)
    const pieces = index.filter(([first], n) => first < top && (index[n + 1]?.[0] ?? count) > bottom)
    return { item, generation, top, bottom, pieces }
  })
  const texts = await blobs.read(
    mesh,
    parts.flatMap(({ pieces }) => pieces.map(([, blob]) => blob)),
  )
  let next = 0
  return parts.flatMap(({ item, generation, top, bottom, pieces }) => {
    const placed = pieces.flatMap(([first]) => {
      const changes: LoggedChange[] = JSON.parse(texts[next++]!)
      return changes.map((change, n) => ({ position: first + n, change }))
    })
    const about = {
      generation,
      atMs: Number(item.atMs!.N),
      actor: item.actor!.S!,
      ...(item.rolledBackTo && { rolledBackTo: Number(item.rolledBackTo.N) }),
    }
    return placed
      .filter(({ position }) => position >= bottom && position < top)
      .reverse()
      .map(({ position, change }) => ({ generation, position, entry: { ...about, ...decoded(change) } }))
  })
}

function decoded({ ref, before, after }: LoggedChange) {
  return { ref, before: before && JSON.parse(before), after: after && JSON.parse(after) }
}

import type { DynamoDBRecord } from 'aws-lambda'
import { describe, expect, it } from 'vitest'
import { announceChanges, publishCommitted } from '../../../runtime/lambda/stream.ts'

/** A record as DynamoDB streams hand it to Lambda (Lambda Developer Guide, "Using AWS Lambda with Amazon DynamoDB"). */
function record(pk: string, sk: string, sequence: number): DynamoDBRecord {
  return {
    eventID: `e${sequence}`,
    eventName: 'MODIFY',
    eventVersion: '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion: 'us-east-1',
    dynamodb: {
      Keys: { pk: { S: pk }, sk: { S: sk } },
      SequenceNumber: String(sequence),
      SizeBytes: 59,
      StreamViewType: 'NEW_AND_OLD_IMAGES',
    },
  }
}

/** What both readers of the stream make of a batch; `failing`: the mesh for which AWS does not do it. */
async function run(records: readonly DynamoDBRecord[], failing?: string) {
  const done = async (into: string[], mesh: string) => {
    if (mesh === failing) throw new Error('AWS is away')
    into.push(mesh)
  }
  const [published, announced]: [string[], string[]] = [[], []]
  const response = await publishCommitted((mesh) => done(published, mesh), records)
  await announceChanges((mesh) => done(announced, mesh), records)
  return { published: published.sort(), announced: announced.sort(), failed: response.batchItemFailures }
}

describe('records of the table', () => {
  it('of commits have names published and proxies told, once a mesh', async () => {
    const records = [record('heads', 'a', 1), record('heads', 'b', 2), record('heads', 'a', 3)]
    expect(await run(records)).toEqual({ published: ['a', 'b'], announced: ['a', 'b'], failed: [] })
  })

  it('of endpoints have proxies told, and no names published', async () => {
    const records = [record('e#a', 'head', 1), record('e#x#y', 'head', 2)]
    expect(await run(records)).toEqual({ published: [], announced: ['a', 'x#y'], failed: [] })
  })

  it('of anything else are passed over', async () => {
    const records = [
      record('m#a', 'commit#1', 1),
      record('e#a', 'set#n', 2),
      record('push', 'head', 3),
      record('ca', 'a', 4),
    ]
    expect(await run(records)).toEqual({ published: [], announced: [], failed: [] })
    expect(await run([{ eventName: 'REMOVE' }])).toEqual({ published: [], announced: [], failed: [] })
  })

  it('of a mesh whose names can not be published come again from its first commit on; news do not; others are done', async () => {
    const records = [
      record('heads', 'a', 1),
      record('e#b', 'head', 2),
      record('heads', 'b', 3),
      record('heads', 'b', 4),
    ]
    expect(await run(records, 'b')).toEqual({ published: ['a'], announced: ['a'], failed: [{ itemIdentifier: '3' }] })
  })
})

import type { DynamoDBRecord } from 'aws-lambda'
import { describe, expect, it } from 'vitest'
import { onTableChange } from '../../../runtime/lambda/stream.ts'

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

async function run(records: readonly DynamoDBRecord[], failing: { publish?: string; announce?: string } = {}) {
  const published: string[] = []
  const announced: string[] = []
  const response = await onTableChange(
    {
      publishNames: async (mesh) => {
        if (mesh === failing.publish) throw new Error('Route 53 is away')
        published.push(mesh)
      },
      announce: async (mesh) => {
        if (mesh === failing.announce) throw new Error('API Gateway is away')
        announced.push(mesh)
      },
    },
    records,
  )
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

  it('of a mesh whose names can not be published come again from its first commit on; others are done', async () => {
    const records = [
      record('heads', 'a', 1),
      record('e#b', 'head', 2),
      record('heads', 'b', 3),
      record('heads', 'b', 4),
    ]
    expect(await run(records, { publish: 'b' })).toEqual({
      published: ['a'],
      announced: ['a', 'b'],
      failed: [{ itemIdentifier: '3' }],
    })
  })

  it('are not repeated for news that could not be told: they would be old by then', async () => {
    expect(await run([record('heads', 'a', 1)], { announce: 'a' })).toEqual({
      published: ['a'],
      announced: [],
      failed: [],
    })
  })
})

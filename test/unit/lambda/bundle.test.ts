import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bundleLambdas } from '../../../scripts/bundle.ts'
import { ACCOUNT, cloudFormationEvent, functionUrlEvent, ORDERS_TASK } from '../../support/lambda-events.ts'

const MAX_BYTES = 1_000_000
const MAX_START_MS = 250
const RUNS = 6

/** The first request of each function: as far as an empty table lets it go. */
const FIRST: Readonly<Record<string, (url: string) => object>> = {
  api: () => functionUrlEvent({ method: 'GET', path: '/v20190125/meshes/shop' }),
  dataplane: () => {
    const instance = { id: 'i', address: '10.0.0.9', meshPort: 15000, protocols: ['h2'], version: '0', state: 'ready' }
    const known = { snapshot: null, endpoints: {}, trust: null }
    const status = { applied: null, rejected: null, certificateNotAfterMs: null }
    const body = JSON.stringify({ schemas: [1], instance, known, status })
    return functionUrlEvent({ method: 'POST', path: '/v1/dataplane/sync', userArn: ORDERS_TASK, body })
  },
  'custom-resource': (url) => {
    const call = { type: 'Custom::WeftMesh', properties: { MeshName: 'shop' } }
    return cloudFormationEvent(url, call, {
      request: 'Delete',
      physicalId: `arn:aws:appmesh:us-east-1:${ACCOUNT}:mesh/shop`,
    })
  },
  events: () => {
    const detail = { lastStatus: 'RUNNING', taskArn: `arn:aws:ecs:us-east-1:${ACCOUNT}:task/shop/i` }
    return { source: 'aws.ecs', 'detail-type': 'ECS Task State Change', detail }
  },
  news: () => ({ Records: [{ dynamodb: { Keys: { pk: { S: 'heads' }, sk: { S: 'shop' } }, SequenceNumber: '1' } }] }),
  push: () => {
    const identity = { accountId: ACCOUNT, userArn: ORDERS_TASK }
    return { requestContext: { routeKey: '$connect', connectionId: 'c', identity } }
  },
}
const STATUS: Readonly<Record<string, number | null>> = { api: 404, dataplane: 404, push: 200 }

/** A DynamoDB whose table holds nothing but a role binding; takes CloudFormation's answers, too. */
function emptyTable() {
  return createServer(async (request, response) => {
    const body = await text(request)
    const isRole = request.method === 'POST' && JSON.parse(body).Key?.sk?.S === `${ACCOUNT}/orders-task`
    const binding = {
      accountId: ACCOUNT,
      roleName: 'orders-task',
      mesh: 'shop',
      kind: 'virtual-node',
      subject: 'orders',
    }
    const item = Object.fromEntries(Object.entries(binding).map(([name, value]) => [name, { S: value }]))
    const answer = isRole ? { Item: item } : { Items: [], Count: 0 }
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(answer))
  })
}

describe('the bundle of', () => {
  const server = emptyTable()
  let folder: string
  let url: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-bundles-'))
    await bundleLambdas(folder)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  }, 60_000)
  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })

  async function start(name: string): Promise<{ init: number; first: number; cpu: number; status: number | null }> {
    const scenario = fileURLToPath(new URL('./first-request-scenario.ts', import.meta.url))
    const env = {
      PATH: process.env.PATH,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL: url,
      WEFT_TABLE_NAME: 'weft',
      WEFT_TRUST_DOMAIN: 'weft.internal',
      WEFT_CA: `kms:arn:aws:kms:us-east-1:${ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab`,
    }
    const args = [scenario, join(folder, name, 'index.mjs'), JSON.stringify(FIRST[name]!(url))]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    return JSON.parse(stdout.trim().split('\n').at(-1)!)
  }

  it.each(Object.keys(FIRST))(
    '%s has at most 1 MB, and starts and answers its first request in 250 ms',
    async (name) => {
      expect((await stat(join(folder, name, 'index.mjs'))).size).toBeLessThanOrEqual(MAX_BYTES)
      const times: number[] = []
      while (times.length < RUNS && !times.some((ms) => ms <= MAX_START_MS)) {
        const { init, first, cpu, status } = await start(name)
        expect(status).toBe(STATUS[name] ?? null)
        // Of a machine that is shared with others: time that they had is not ours.
        times.push(Math.min(init + first, cpu))
      }
      expect(Math.min(...times)).toBeLessThanOrEqual(MAX_START_MS)
    },
    60_000,
  )
})

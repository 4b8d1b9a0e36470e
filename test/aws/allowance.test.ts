import { ACMPCAClient } from '@aws-sdk/client-acm-pca'
import { afterAll, describe, expect, it } from 'vitest'
import { AcmPca } from '../../runtime/adapters/acm-pca.ts'
import { DynamoDbAllowance } from '../../runtime/adapters/dynamodb-allowance.ts'
import { dynamoDbClient, writeAll } from '../../runtime/adapters/dynamodb-calls.ts'
import { issuedKey } from '../../runtime/adapters/dynamodb-table.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { EMULATED } from '../support/emulator.ts'
import { unbounded } from '../support/free-pca.ts'
import { MemoryRootLog } from '../support/memory-root-log.ts'
import { startStandInPca } from '../support/stand-in-pca.ts'
import { certificateRequest, obtain } from '../support/workload.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
const why = 'missing' in database ? `, where there is one: ${database.missing}` : ''
const HOUR_MS = 3_600_000
/** Of now: what is long past, DynamoDB deletes. */
const hour = Math.floor(Date.now() / HOUR_MS)
const ID = 'spiffe://weft.internal/shop/orders'
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
afterAll(() => here?.[Symbol.asyncDispose]())

describe.skipIf(here === undefined)(`what a workload may have made in an hour, on DynamoDB${why}`, () => {
  it('is counted by all functions together, for each workload apart, and anew in the next hour', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    const [one, other] = [new DynamoDbAllowance(client, table), new DynamoDbAllowance(client, table)]
    const nowMs = hour * HOUR_MS + 1_800_000
    await one.take(orders, nowMs)
    const Item = { pk: { S: 'e#shop' }, sk: { S: issuedKey(orders, hour) }, n: { N: '3998' } }
    await writeAll(client, table, [{ PutRequest: { Item } }])
    const results = await Promise.allSettled([one, other, one, other].map((by) => by.take(orders, nowMs)))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    await expect(one.take(orders, nowMs)).rejects.toMatchObject({
      code: 'throttled',
      message: expect.stringMatching(/'orders' of mesh 'shop' had 4000 .* next hour/),
    })
    await one.take({ ...orders, name: 'cart' }, nowMs)
    await one.take({ ...orders, kind: 'virtual-gateway' }, nowMs)
    await one.take(orders, nowMs + 1_800_000)
    client.destroy()
  })

  it('counts nothing that was given back, in the hour that it was taken in', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    const allowance = new DynamoDbAllowance(client, table)
    const Item = { pk: { S: 'e#shop' }, sk: { S: issuedKey(orders, hour) }, n: { N: '3999' } }
    await writeAll(client, table, [{ PutRequest: { Item } }])
    const nowMs = hour * HOUR_MS
    await allowance.take(orders, nowMs)
    await allowance.giveBack(orders, nowMs + HOUR_MS)
    await expect(allowance.take(orders, nowMs)).rejects.toMatchObject({ code: 'throttled' })
    await allowance.giveBack(orders, nowMs)
    await allowance.take(orders, nowMs)
    await expect(allowance.take(orders, nowMs)).rejects.toMatchObject({ code: 'throttled' })
    client.destroy()
  })

  it('is not used up by an ACM PCA that is disabled for a while', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    const Item = { pk: { S: 'e#shop' }, sk: { S: issuedKey(orders, hour) }, n: { N: '3960' } }
    await writeAll(client, table, [{ PutRequest: { Item } }])
    const allowance = new DynamoDbAllowance(client, table)
    await using pca = await startStandInPca()
    pca.pending = 0
    const issuer = new AcmPca({
      client: new ACMPCAClient({ ...EMULATED, endpoint: pca.endpoint, maxAttempts: 1 }),
      caArn: 'arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/one',
      log: new MemoryRootLog(),
      trustDomain: 'weft.internal',
      clock: Date,
      ...unbounded(),
      allowance: {
        take: (subject) => allowance.take(subject, hour * HOUR_MS),
        giveBack: (subject) => allowance.giveBack(subject, hour * HOUR_MS),
      },
    })
    const { csr } = await certificateRequest()
    await issuer.trust()
    pca.failures.push(...Array<string>(120).fill('InvalidStateException'))
    for (let n = 0; n < 120; n += 40) {
      const results = await Promise.allSettled(Array.from({ length: 40 }, () => issuer.issue(csr, ID)))
      expect(results.map((result) => (result.status === 'rejected' ? result.reason.code : 'issued'))).toEqual(
        Array(40).fill('unavailable'),
      )
    }
    await Promise.all(Array.from({ length: 40 }, () => obtain(issuer, ID)))
    await expect(obtain(issuer, ID)).rejects.toThrow(/had 4000 certificates made/)
    client.destroy()
  })
})

import { afterAll, describe, expect, it, vi } from 'vitest'
import { dynamoDbClient, writeAll } from '../../runtime/adapters/dynamodb-calls.ts'
import { PushConnections } from '../../runtime/adapters/push-connections.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
/** Of all connections once a minute, in which eight proxies connect (test/support/cost-model.ts). */
const UNITS_A_RECONNECT = 1.5
const why = 'missing' in database ? `, where there is one: ${database.missing}` : ''
afterAll(() => here?.[Symbol.asyncDispose]())

describe.skipIf(here === undefined)(`connections of the push on DynamoDB${why}`, () => {
  it('are bounded for each subject, so that one task can not make every change dear', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    const subject = (name: string): Subject => ({ kind: 'virtual-node', mesh: 'shop', name })
    let now = Date.now()
    const open = () => new PushConnections(client, table, { now: () => now })
    const expires = (inS: number) => ({ N: String(Math.floor(now / 1000) + inS) })
    const item = (n: number) => ({
      pk: { S: 'push' },
      sk: { S: `c${n}=` },
      mesh: { S: 'shop' },
      kind: { S: 'virtual-node' },
      subject: { S: 'orders' },
      // Some have ended, and DynamoDB has not taken them away yet.
      expires: expires(n < 100 ? -60 : 3_600),
    })
    await writeAll(
      client,
      table,
      Array.from({ length: 2_599 }, (_, n) => ({ PutRequest: { Item: item(n) } })),
    )
    const [one, other] = [open(), open()]
    await one.add('last=', subject('orders'))
    await expect(one.add('more=', subject('orders'))).rejects.toMatchObject({ code: 'limit-exceeded' })
    await expect(other.add('more=', subject('orders'))).rejects.toMatchObject({ code: 'limit-exceeded' })
    await one.add('cart=', subject('cart'))
    expect(await one.list('shop')).toHaveLength(2_501)
    await one.add('stranger=', { ...subject('orders'), mesh: 'bazaar' })
    expect([await one.list('bazaar'), (await other.list('shop')).includes('stranger=')]).toEqual([['stranger='], false])
    await one.remove('last=')
    now += 60_000
    await one.add('again=', subject('orders'))
    client.destroy()
  })

  it('are counted again by the next one when a count failed', async () => {
    const client = dynamoDbClient(here!.config)
    const connections = new PushConnections(client, await here!.createTable(), Date)
    const send = vi.spyOn(client, 'send').mockRejectedValueOnce(new Error('away'))
    const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
    await expect(connections.add('one=', orders)).rejects.toMatchObject({ code: 'unavailable' })
    await connections.add('two=', orders)
    expect(await connections.list('shop')).toEqual(['two='])
    send.mockRestore()
    client.destroy()
  })

  it('cost few reads to keep bounded: a thousand proxies connect again every two hours', async () => {
    const client = dynamoDbClient(here!.config)
    const table = await here!.createTable()
    let units = 0
    client.middlewareStack.add(
      (next) => async (args) => {
        Object.assign(args.input, { ReturnConsumedCapacity: 'TOTAL' })
        const result = await next(args)
        const { ConsumedCapacity: consumed } = result.output as { ConsumedCapacity?: { CapacityUnits?: number } }
        if ('KeyConditionExpression' in args.input) units += consumed?.CapacityUnits ?? 0
        return result
      },
      { step: 'initialize' },
    )
    let now = Date.now()
    const connections = new PushConnections(client, table, { now: () => now })
    const subject = (n: number): Subject => ({ kind: 'virtual-node', mesh: 'shop', name: `orders-${n % 50}` })
    const ids = Array.from({ length: 1_000 }, (_, n) => `${String(n).padStart(14, 'L')}=`)
    for (let from = 0; from < 1_000; from += 50) {
      await Promise.all(ids.slice(from, from + 50).map((id, n) => connections.add(id, subject(from + n))))
    }
    units = 0
    // One of a thousand each 7.2 s: ten minutes of that.
    for (let n = 0; n < 84; n++) {
      now += 7_200
      await connections.add(`again${n}=`, subject(n))
    }
    expect(units).toBeGreaterThan(0)
    expect(units / 84).toBeLessThanOrEqual(UNITS_A_RECONNECT)
    client.destroy()
  })
})

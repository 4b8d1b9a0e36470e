import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { join, type Registration } from '../../../runtime/adapters/endpoint-join.ts'
import { checkInstance, endpointSet } from '../../../runtime/adapters/endpoint-set.ts'

/** DynamoDB's limit of an item. */
const MAX_ITEM = 400 * 1024

const noise = (length: number) => randomBytes(length).toString('base64url').slice(0, length)
const address = (n: number) => `10.${n >> 8}.${n & 255}.${(n * 37) & 255}`

it('holds the worst that as many proxies as a node may have can say of themselves, in one item of the table', () => {
  const reports = Array.from({ length: 2_000 }, (_, n) => {
    const protocols = Array.from({ length: 6 }, () => noise(12))
    const fixed = { meshPort: 1_000 + n, state: 'ready' as const, selfRegistered: true }
    const instance = { id: noise(64), address: address(n), protocols, version: noise(32), ...fixed }
    checkInstance(instance)
    const status = { applied: null, rejected: null, certificateNotAfterMs: null }
    return { instance, status, firstSeenMs: n, lastSeenMs: n, lapsesAtMs: 10_000_000 }
  })
  const found = Array.from({ length: 1_000 }, (_, n) => {
    return { id: noise(64), addresses: [address(n)], port: 1_000 + n, firstSeenMs: 1_700_000_000_000 + n * 7_919 }
  })
  const registration: Registration = { found, emptySinceMs: null, meshed: true }
  const rule = { registers: true, plainPort: 8080 }
  const { endpoints } = join(rule, registration, reports, 3_000)
  expect(endpoints).toHaveLength(2_000)
  const kept = { ...registration, rule, set: endpointSet('orders', endpoints) }
  expect(gzipSync(JSON.stringify(kept)).length).toBeLessThan(MAX_ITEM - 4_096)
})

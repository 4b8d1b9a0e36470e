import { describe, expect, it } from 'vitest'
import { retriesPeerReason } from '../../../../proxy-image/src/attempts/retry.ts'
import type { RetryPolicy } from '../../../../runtime/model/snapshot.ts'

const policy = { on: ['connect-failure', 'reset'], methods: 'idempotent' } as unknown as RetryPolicy

describe("a peer's own answer", () => {
  it('is retried for any method when its app never saw the request', () => {
    for (const method of ['GET', 'POST']) expect(retriesPeerReason(policy, 'connect_failed', method)).toBe(true)
  })

  it('is retried when the connection to its app broke, as an app closes idle ones while it stops, but for no POST', () => {
    for (const reason of ['upstream_closed', 'upstream_reset']) {
      expect(retriesPeerReason(policy, reason, 'GET')).toBe(true)
      expect(retriesPeerReason(policy, reason, 'POST')).toBe(false)
      expect(retriesPeerReason({ ...policy, on: ['503'] }, reason, 'GET')).toBe(false)
    }
  })

  it('is not retried for another reason, or none', () => {
    expect(retriesPeerReason(policy, 'upstream_timeout', 'GET')).toBe(false)
    expect(retriesPeerReason(policy, undefined, 'GET')).toBe(false)
  })
})

import type { ResourceRecordSet } from '@aws-sdk/client-route-53'
import { describe, expect, it } from 'vitest'
import { changesOf } from '../../../runtime/adapters/route53-changes.ts'

/** As Route 53 makes it for a private hosted zone. */
const SOA: ResourceRecordSet = {
  Name: 'shop.internal.',
  Type: 'SOA',
  TTL: 900,
  ResourceRecords: [{ Value: 'ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400' }],
}

describe('names that are not there yet', () => {
  it('are remembered as missing for five seconds at most, whatever Route 53 began with', () => {
    const { changes } = changesOf([SOA], new Map())
    const Value = 'ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 5'
    const record = { Name: 'shop.internal.', Type: 'SOA', TTL: 5, ResourceRecords: [{ Value }] }
    expect(changes).toEqual([{ Action: 'UPSERT', ResourceRecordSet: record }])
  })

  it('leave a SOA record alone that is short already, by its TTL or by its last field', () => {
    expect(changesOf([{ ...SOA, TTL: 5 }], new Map()).changes).toEqual([])
    const [changed] = changesOf([SOA], new Map()).changes
    expect(changesOf([changed!.ResourceRecordSet!], new Map()).changes).toEqual([])
    expect(changesOf([{ ...SOA, ResourceRecords: [{ Value: 'not a SOA record' }] }], new Map()).changes).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import { type TaskChange, tasksOf } from '../../../runtime/lambda/task-change.ts'

/** From the ECS Developer Guide, "Amazon ECS task state change events", shortened. */
function change(lastStatus: string, type = 'eni'): TaskChange {
  const details = [
    { name: 'subnetId', value: 'subnet-0123' },
    { name: 'networkInterfaceId', value: 'eni-0123' },
    { name: 'macAddress', value: '0a:98:eb:a7:29:ba' },
    { name: 'privateIPv4Address', value: '10.0.0.139' },
  ]
  return { lastStatus, attachments: [{ type, details }] }
}

describe('a changed task', () => {
  it.each(['RUNNING', 'DEACTIVATING'])('that is %s has an address to look at', (status) => {
    expect(tasksOf(change(status))).toEqual([{ address: '10.0.0.139', stopped: false }])
  })

  it('that is STOPPED has ended', () => {
    expect(tasksOf(change('STOPPED', 'ElasticNetworkInterface'))).toEqual([{ address: '10.0.0.139', stopped: true }])
  })

  it('without a network interface of its own is nobody that we know', () => {
    expect(tasksOf({ lastStatus: 'RUNNING', attachments: [] })).toEqual([])
    expect(tasksOf({})).toEqual([])
    expect(tasksOf(change('RUNNING', 'sdi'))).toEqual([])
    expect(tasksOf({ attachments: [{ type: 'eni', details: [{ name: 'privateIPv4Address' }] }] })).toEqual([])
  })
})

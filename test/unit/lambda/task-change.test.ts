import { describe, expect, it } from 'vitest'
import { taskOf } from '../../../runtime/lambda/task-change.ts'

const id = 'c13b4cb40f1f4fe4a2971f76ae5a47ad'

describe('a changed task', () => {
  it.each(['RUNNING', 'DEACTIVATING'])('that is %s is looked at by the id that its sidecar reports', (lastStatus) => {
    const taskArn = `arn:aws:ecs:us-west-2:111122223333:task/FargateCluster/${id}`
    expect(taskOf({ taskArn, lastStatus })).toEqual({ id, stopped: false })
  })

  it('that is STOPPED has ended, whichever form its ARN has', () => {
    for (const taskArn of [`arn:aws-cn:ecs:cn-north-1:1:task/shop/${id}`, `arn:aws:ecs:us-east-1:1:task/${id}`]) {
      expect(taskOf({ taskArn, lastStatus: 'STOPPED' })).toEqual({ id, stopped: true })
    }
  })

  it('without an ARN of a task is nobody that we know', () => {
    expect(taskOf({ lastStatus: 'RUNNING' })).toBeUndefined()
    expect(taskOf({ taskArn: 'arn:aws:ecs:us-east-1:1:service/shop/orders' })).toBeUndefined()
    expect(taskOf({ taskArn: 'arn:aws:ecs:us-east-1:1:task/' })).toBeUndefined()
  })
})

import { describe, expect, it } from 'vitest'
import { arnOf, isArnOf, refOfArn } from '../../../runtime/http/arn.ts'
import { ownerOf } from '../../../runtime/lambda/function-owner.ts'

const ref = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const

describe('an ARN', () => {
  it.each(['aws', 'aws-cn', 'aws-us-gov'])('is of the partition %s of the function that writes it', (partition) => {
    const owner = ownerOf(`arn:${partition}:lambda:some-region-1:111122223333:function:api`)
    expect(arnOf(owner, ref)).toBe(`arn:${partition}:appmesh:some-region-1:111122223333:mesh/shop/virtualNode/orders`)
  })

  it('is known in any partition, and in no other account or region', () => {
    const owner = { accountId: '111122223333', region: 'us-gov-west-1', partition: 'aws-us-gov' }
    const arn = (partition: string, region = owner.region) =>
      `arn:${partition}:appmesh:${region}:111122223333:mesh/shop/virtualNode/orders`
    for (const partition of ['aws', 'aws-us-gov']) {
      expect(refOfArn(owner, arn(partition))).toEqual(ref)
      expect(isArnOf(owner, ref, arn(partition))).toBe(true)
    }
    expect(() => refOfArn(owner, arn('aws', 'us-east-1'))).toThrow(/the ARN names account 111122223333 in us-east-1/)
    expect(isArnOf(owner, { ...ref, name: 'other' }, arn('aws'))).toBe(false)
    expect(isArnOf(owner, ref, 'weft-failed/Orders/1')).toBe(false)
  })
})

import { describe, expect, it } from 'vitest'
import { IamIdentity } from '../../../runtime/adapters/iam-identity.ts'
import type { Subject } from '../../../runtime/model/reference.ts'

const ACCOUNT = '111122223333'
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }
const caller = (role: string, account = ACCOUNT, partition = 'aws') => ({
  iam: { accountId: account, arn: `arn:${partition}:sts::${account}:assumed-role/${role}/0123456789abcdef` },
})

function identity(bound: Readonly<Record<string, Subject>> = { [`${ACCOUNT}/orders-task`]: orders }) {
  const now = { ms: 0 }
  const bindings = new Map(Object.entries(bound))
  const asked: string[] = []
  const subjectOf = async (account: string, role: string) => {
    asked.push(`${account}/${role}`)
    return bindings.get(`${account}/${role}`)
  }
  return { callers: new IamIdentity({ subjectOf }, { now: () => now.ms }), now, bindings, asked }
}

describe('an IAM caller', () => {
  it.each(['aws', 'aws-cn', 'aws-us-gov', 'aws-eusc'])(
    'is the node that its role is bound to (partition %s)',
    async (partition) => {
      const { callers } = identity()
      expect(await callers.identify(caller('orders-task', ACCOUNT, partition))).toEqual(orders)
    },
  )

  it('of a role that is bound to nothing is told which role that is, and who makes bindings', async () => {
    const { callers } = identity()
    await expect(callers.identify(caller('cart-task'))).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/role cart-task of account 111122223333 is bound to no .*MeshService/),
    })
  })

  it('of another account is a stranger, though its role has the same name', async () => {
    const { callers } = identity()
    await expect(callers.identify(caller('orders-task', '999988887777'))).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('with another role of the mesh is that other node, whatever it says of itself', async () => {
    const cart: Subject = { ...orders, name: 'cart' }
    const { callers } = identity({ [`${ACCOUNT}/orders-task`]: orders, [`${ACCOUNT}/cart-task`]: cart })
    expect(await callers.identify(caller('cart-task'))).toEqual(cart)
  })

  it.each([
    `arn:aws:iam::${ACCOUNT}:user/orders-task`,
    `arn:aws:iam::${ACCOUNT}:root`,
    `arn:aws:iam::${ACCOUNT}:role/orders-task`,
    `arn:aws:sts::${ACCOUNT}:federated-user/orders-task`,
    `arn:aws:sts::${ACCOUNT}:assumed-role/orders-task`,
    `arn:aws:sts::${ACCOUNT}:assumed-role/orders-task/a/b`,
    `arn:aws-x:sts::${ACCOUNT}:assumed-role/orders-task/a`,
    `arn:aws:sts::${ACCOUNT}:assumed-role/orders-task/a\nb`,
    '',
  ])('that is no session of a role is refused: %j', async (arn) => {
    const { callers, asked } = identity()
    const refused = callers.identify({ iam: { accountId: ACCOUNT, arn } })
    await expect(refused).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringMatching(/task role/),
    })
    expect(asked).toEqual([])
  })

  it('whose account and ARN contradict each other is refused', async () => {
    const { callers } = identity()
    const { iam } = caller('orders-task')
    const refused = callers.identify({ iam: { ...iam, accountId: '999988887777' } })
    await expect(refused).rejects.toMatchObject({ code: 'unauthenticated' })
  })

  it('is not looked up again for a minute, and after that a binding that was taken away counts no more', async () => {
    const { callers, now, bindings, asked } = identity()
    await callers.identify(caller('orders-task'))
    now.ms = 59_999
    await callers.identify(caller('orders-task'))
    expect(asked).toHaveLength(1)
    bindings.clear()
    now.ms = 60_000
    await expect(callers.identify(caller('orders-task'))).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('that was refused is looked up each time, so that a new binding counts at once', async () => {
    const { callers, bindings } = identity({})
    await expect(callers.identify(caller('orders-task'))).rejects.toMatchObject({ code: 'forbidden' })
    bindings.set(`${ACCOUNT}/orders-task`, orders)
    expect(await callers.identify(caller('orders-task'))).toEqual(orders)
  })

  it('must have been verified by AWS: a token or a certificate is no proof here', async () => {
    const { callers } = identity()
    for (const shown of [{}, { bearer: 'weft1.a.b.c' }, { verifiedUris: ['spiffe://weft.internal/shop/orders'] }]) {
      await expect(callers.identify(shown)).rejects.toMatchObject({ code: 'unauthenticated' })
    }
  })
})

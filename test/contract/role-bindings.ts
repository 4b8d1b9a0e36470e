import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RoleBinding, RoleBindings } from '../../runtime/ports.ts'

const orders = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
const entry = { kind: 'virtual-gateway', mesh: 'shop', name: 'orders' } as const
const binding: RoleBinding = { accountId: '111122223333', roleName: 'orders-task', subject: orders }

/** What every adapter of RoleBindings does. */
export function roleBindingsContract(name: string, open: () => Promise<RoleBindings>): void {
  describe(name, () => {
    let bindings: RoleBindings

    beforeEach(async () => {
      bindings = await open()
    })
    afterEach(async () => {
      await (bindings as { close?(): unknown }).close?.()
    })

    const subjectOf = () => bindings.subjectOf(binding.accountId, binding.roleName)

    it('finds whom a bound role stands for', async () => {
      await bindings.bind(binding)
      expect(await subjectOf()).toEqual(orders)
    })

    it('binds the same twice without complaint', async () => {
      await bindings.bind(binding)
      await bindings.bind(binding)
      expect(await bindings.list('shop')).toEqual([binding])
    })

    it('keeps a role from standing for two, and names both', async () => {
      await bindings.bind(binding)
      const error = await bindings.bind({ ...binding, subject: entry }).catch((thrown) => thrown)
      expect(error).toMatchObject({ code: 'conflict' })
      expect(error.message).toContain("virtual-node 'orders' of mesh 'shop'")
      expect(error.message).toContain("virtual-gateway 'orders' of mesh 'shop'")
      expect(await subjectOf()).toEqual(orders)
    })

    it('follows its owner to another subject and back: a node that is renamed keeps its task role', async () => {
      const renamed = { ...orders, name: 'sales' }
      await bindings.bind({ ...binding, owner: 'stack Orders' })
      await bindings.bind({ ...binding, owner: 'stack Orders', subject: renamed })
      await bindings.unbind({ ...binding, owner: 'stack Orders' })
      expect(await subjectOf()).toEqual(renamed)
      for (const owner of [{ owner: 'stack Cart' }, {}]) {
        await expect(bindings.bind({ ...binding, ...owner })).rejects.toMatchObject({ code: 'conflict' })
      }
      await bindings.bind({ ...binding, owner: 'stack Orders' })
      expect(await bindings.list('shop')).toEqual([{ ...binding, owner: 'stack Orders' }])
    })

    it('lets one of two subjects win that want the same role at once', async () => {
      const results = await Promise.allSettled([bindings.bind(binding), bindings.bind({ ...binding, subject: entry })])
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    })

    it('does not know a role of the same name in another account', async () => {
      await bindings.bind(binding)
      expect(await bindings.subjectOf('444455556666', 'orders-task')).toBeUndefined()
      await bindings.bind({ ...binding, accountId: '444455556666', subject: entry })
      expect(await subjectOf()).toEqual(orders)
    })

    it('takes a binding away, twice without complaint', async () => {
      await bindings.bind(binding)
      await bindings.unbind(binding)
      await bindings.unbind(binding)
      expect(await subjectOf()).toBeUndefined()
      expect(await bindings.list('shop')).toEqual([])
    })

    it('leaves a binding that belongs to another subject by now', async () => {
      await bindings.bind(binding)
      await bindings.unbind({ ...binding, subject: entry })
      expect(await subjectOf()).toEqual(orders)
    })

    it('leaves a binding to who bound it last: a resource that moved in its stack is bound before the old one goes', async () => {
      await bindings.bind({ ...binding, owner: 'old' })
      await bindings.bind({ ...binding, owner: 'new' })
      await bindings.unbind({ ...binding, owner: 'old' })
      await bindings.unbind(binding)
      expect(await bindings.list('shop')).toEqual([{ ...binding, owner: 'new' }])
      await bindings.unbind({ ...binding, owner: 'new' })
      expect(await subjectOf()).toBeUndefined()
    })

    it('lists the bindings of one mesh by account and role name', async () => {
      const more = [
        { accountId: '111122223333', roleName: 'zebra', subject: entry },
        { accountId: '000011112222', roleName: 'orders-task', subject: orders },
      ]
      for (const one of [...more, binding]) await bindings.bind(one)
      await bindings.bind({ ...binding, roleName: 'other', subject: { ...orders, mesh: 'other' } })
      const listed = await bindings.list('shop')
      expect(listed.map(({ accountId, roleName }) => `${accountId} ${roleName}`)).toEqual([
        '000011112222 orders-task',
        '111122223333 orders-task',
        '111122223333 zebra',
      ])
    })
  })
}

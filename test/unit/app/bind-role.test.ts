import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { openSqliteRoleBindings } from '../../../runtime/adapters/sqlite-role-bindings.ts'
import { bindRole, unbindRole } from '../../../runtime/app/bind-role.ts'

const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
const roleArn = 'arn:aws:iam::111122223333:role/orders-task'

describe('binding a task role', () => {
  let bindings: ReturnType<typeof openSqliteRoleBindings>
  const store = new MemoryStore()

  beforeEach(async () => {
    bindings = openSqliteRoleBindings(':memory:')
    const about = { spec: {}, tags: {}, uid: 'u', version: 1, createdAtMs: 0, updatedAtMs: 0 }
    if ((await store.generation('shop')) > 0) return
    const changes = [{ kind: 'put', resource: { ref: subject, ...about } }] as const
    const mesh = { kind: 'put', resource: { ref: { kind: 'mesh', mesh: 'shop', name: 'shop' }, ...about } } as const
    await store.commit({ mesh: 'shop', expectedGeneration: 0, changes: [mesh, ...changes], actor: 'test', atMs: 0 })
  })
  afterEach(() => bindings.close())

  it.each([
    [roleArn, 'orders-task'],
    ['arn:aws:iam::111122223333:role/service/team-a/x.y@z', 'x.y@z'],
    ['arn:aws-cn:iam::111122223333:role/orders', 'orders'],
  ])('takes %s for what its sessions will show', async (arn, roleName) => {
    await bindRole({ store, bindings })({ subject, roleArn: arn })
    expect(await bindings.subjectOf('111122223333', roleName)).toEqual(subject)
    await unbindRole({ bindings })({ subject, roleArn: arn })
    expect(await bindings.subjectOf('111122223333', roleName)).toBeUndefined()
  })

  it.each([
    'orders-task',
    'arn:aws:iam::111122223333:user/ann',
    'arn:aws:sts::111122223333:assumed-role/orders-task/x',
    'arn:aws:iam::1:role/x',
    'arn:aws:iam::111122223333:role/',
    'arn:aws:iam::111122223333:role/*',
  ])('refuses %s', async (arn) => {
    await expect(bindRole({ store, bindings })({ subject, roleArn: arn })).rejects.toMatchObject({ code: 'invalid' })
  })

  it('refuses a node that is not there', async () => {
    const missing = bindRole({ store, bindings })({ subject: { ...subject, name: 'nobody' }, roleArn })
    await expect(missing).rejects.toMatchObject({ code: 'not-found' })
    expect(await bindings.list('shop')).toEqual([])
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openSqliteRoleBindings } from '../../runtime/adapters/sqlite-role-bindings.ts'
import { openSqliteStore } from '../../runtime/adapters/sqlite-store.ts'
import { roleBindingsContract } from './role-bindings.ts'

roleBindingsContract('SqliteRoleBindings', async () => openSqliteRoleBindings(':memory:'))

describe('role bindings in the file of a store', () => {
  it('are there after a restart, beside the store', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-roles-'))
    const path = join(directory, 'mesh.db')
    const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const
    try {
      const store = openSqliteStore(path)
      const first = openSqliteRoleBindings(path)
      await first.bind({ accountId: '111122223333', roleName: 'orders-task', subject })
      first.close()
      const second = openSqliteRoleBindings(path)
      expect(await second.subjectOf('111122223333', 'orders-task')).toEqual(subject)
      second.close()
      await store.close()
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

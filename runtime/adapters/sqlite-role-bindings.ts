import type { DatabaseSync } from 'node:sqlite'
import type { Subject } from '../model/reference.ts'
import type { RoleBinding, RoleBindings } from '../ports.ts'
import { boundElsewhere, sameSubject } from './role-binding-rules.ts'
import { asMeshError, openDatabase } from './sqlite-database.ts'

/** Role bindings of a self-hosted control plane, in the file of its store: {@link openDatabase} says what may go wrong. */
export function openSqliteRoleBindings(path: string): RoleBindings & { close(): void } {
  return new SqliteRoleBindings(openDatabase(path), path)
}

const COLUMNS = 'account_id, role_name, mesh, kind, name, owner'
const BIND = `INSERT INTO role_binding (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (account_id, role_name) DO UPDATE
  SET mesh = excluded.mesh, kind = excluded.kind, name = excluded.name, owner = excluded.owner
  WHERE (mesh = excluded.mesh AND kind = excluded.kind AND name = excluded.name) OR owner = excluded.owner`
const UNBIND = `DELETE FROM role_binding
  WHERE account_id = ? AND role_name = ? AND mesh = ? AND kind = ? AND name = ? AND owner IS ?`

class SqliteRoleBindings implements RoleBindings {
  readonly #database: DatabaseSync
  readonly #path: string

  constructor(database: DatabaseSync, path: string) {
    this.#database = database
    this.#path = path
  }

  async bind(binding: RoleBinding): Promise<void> {
    await this.#call(() => this.#database.prepare(BIND).run(...columns(binding)))
    const holder = await this.subjectOf(binding.accountId, binding.roleName)
    if (holder !== undefined && !sameSubject(holder, binding.subject)) throw boundElsewhere(binding, holder)
  }

  async unbind(binding: RoleBinding): Promise<void> {
    await this.#call(() => this.#database.prepare(UNBIND).run(...columns(binding)))
  }

  async subjectOf(accountId: string, roleName: string): Promise<Subject | undefined> {
    const sql = `SELECT ${COLUMNS} FROM role_binding WHERE account_id = ? AND role_name = ?`
    const row = await this.#call(() => this.#database.prepare(sql).get(accountId, roleName))
    return row && bindingOf(row).subject
  }

  async list(mesh: string): Promise<readonly RoleBinding[]> {
    const sql = `SELECT ${COLUMNS} FROM role_binding WHERE mesh = ? ORDER BY account_id, role_name`
    return (await this.#call(() => this.#database.prepare(sql).all(mesh))).map(bindingOf)
  }

  close(): void {
    this.#database.close()
  }

  async #call<T>(query: () => T): Promise<T> {
    try {
      return query()
    } catch (error) {
      throw asMeshError(error, this.#path)
    }
  }
}

function columns({
  accountId,
  roleName,
  subject,
  owner = null,
}: Omit<RoleBinding, 'owner'> & { owner?: string | null }) {
  return [accountId, roleName, subject.mesh, subject.kind, subject.name, owner]
}

function bindingOf(row: Readonly<Record<string, unknown>>): RoleBinding {
  const { account_id, role_name, mesh, kind, name, owner } = row
  return {
    accountId: String(account_id),
    roleName: String(role_name),
    subject: { kind: kind as Subject['kind'], mesh: String(mesh), name: String(name) },
    ...(owner !== null && { owner: String(owner) }),
  }
}

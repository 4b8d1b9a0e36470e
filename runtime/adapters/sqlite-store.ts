import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { ResourceKind, ResourceRef } from '../model/reference.ts'
import type { ChangedResource, ChangeLogEntry, Page, Receipt, ResourceStore, StoredResource } from '../ports.ts'
import { decodePageToken, encodePageToken } from './page-token.ts'
import { asMeshError, openDatabase } from './sqlite-database.ts'
import {
  checkChanges,
  checkGeneration,
  checkWanted,
  conflict,
  notThere,
  pageSize,
  parentKey,
  refOf,
} from './store-rules.ts'

/** Opens the store of a self-hosted control plane: {@link openDatabase} says what may go wrong. */
export function openSqliteStore(path: string): ResourceStore {
  const database = openDatabase(path)
  try {
    return new SqliteStore(database, path)
  } catch (error) {
    database.close()
    throw asMeshError(error, path)
  }
}

const RESOURCE = 'FROM live JOIN resource_version USING (mesh, kind, parent, name, generation)'
const STATEMENTS = {
  generation: 'SELECT generation FROM head WHERE mesh = ?',
  get: `SELECT body ${RESOURCE} WHERE mesh = ? AND kind = ? AND parent = ? AND name = ?`,
  load: `SELECT body ${RESOURCE} WHERE mesh = ?`,
  // Of the columns beside max() SQLite takes those of the row that holds the maximum (sqlite.org/lang_select.html).
  loadAt: `SELECT body FROM (SELECT body, max(generation) FROM resource_version WHERE mesh = ? AND generation <= ?
    GROUP BY kind, parent, name) WHERE body IS NOT NULL`,
  // Ends with the page: the order of the groups is that of the primary key.
  loadPage: `SELECT body, max(generation) FROM resource_version
    WHERE mesh = ? AND (kind, parent, name) > (?, ?, ?) AND generation <= ?
    GROUP BY kind, parent, name HAVING body IS NOT NULL ORDER BY kind, parent, name LIMIT ?`,
  changed: `SELECT kind, parent, name FROM change_log
    WHERE mesh = ? AND generation > ? AND generation <= ? AND (kind, parent, name) > (?, ?, ?)
    GROUP BY kind, parent, name ORDER BY kind, parent, name`,
  bodyAt: `SELECT body FROM resource_version WHERE mesh = ? AND kind = ? AND parent = ? AND name = ? AND generation <= ?
    ORDER BY generation DESC LIMIT 1`,
  list: `SELECT name, body ${RESOURCE} WHERE mesh = ? AND kind = ? AND parent = ? AND name > ? ORDER BY name LIMIT ?`,
  listMeshes: `SELECT name, body ${RESOURCE} WHERE kind = 'mesh' AND name > ? ORDER BY name LIMIT ?`,
  live: 'SELECT generation FROM live WHERE mesh = ? AND kind = ? AND parent = ? AND name = ?',
  addHead: 'INSERT OR IGNORE INTO head (mesh, generation) VALUES (?, 0)',
  addVersion: 'INSERT INTO resource_version (mesh, kind, parent, name, generation, body) VALUES (?, ?, ?, ?, ?, ?)',
  addLive: 'INSERT OR REPLACE INTO live (mesh, kind, parent, name, generation) VALUES (?, ?, ?, ?, ?)',
  dropLive: 'DELETE FROM live WHERE mesh = ? AND kind = ? AND parent = ? AND name = ?',
  addChange: `INSERT INTO change_log (mesh, kind, parent, name, generation, position, at_ms, actor, before_generation,
      rolled_back_to)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  addReceipt: 'INSERT OR REPLACE INTO receipt (mesh, token, expires_at_ms, body) VALUES (?, ?, ?, ?)',
  dropReceipts: 'DELETE FROM receipt WHERE expires_at_ms <= ?',
  receipt: 'SELECT body FROM receipt WHERE mesh = ? AND token = ? AND expires_at_ms > ?',
  moveHead: 'UPDATE head SET generation = ? WHERE mesh = ? AND generation = ?',
  history: `SELECT log.generation, position, at_ms, actor, log.kind, log.parent, log.name, rolled_back_to,
      before.body AS before, after.body AS after
    FROM change_log AS log
    JOIN resource_version AS after USING (mesh, kind, parent, name, generation)
    LEFT JOIN resource_version AS before ON before.mesh = log.mesh AND before.kind = log.kind
      AND before.parent = log.parent AND before.name = log.name AND before.generation = log.before_generation
    WHERE log.mesh = ? AND (log.generation, position) < (?, ?)
    ORDER BY log.generation DESC, position DESC LIMIT ?`,
} as const

class SqliteStore implements ResourceStore {
  readonly #database: DatabaseSync
  readonly #path: string
  readonly #sql: Readonly<Record<keyof typeof STATEMENTS, StatementSync>>

  constructor(database: DatabaseSync, path: string) {
    this.#database = database
    this.#path = path
    const prepared = Object.entries(STATEMENTS).map(([name, sql]) => [name, database.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
  }

  async generation(mesh: string): Promise<number> {
    return this.#read(() => this.#generation(mesh))
  }

  async get(ref: ResourceRef): Promise<StoredResource | undefined> {
    const key = columns(ref)
    // SQLite would look up another name: the one with the replacement character.
    if (!key.every((name) => name.isWellFormed())) return undefined
    const row = this.#read(() => this.#sql.get.get(...key))
    return row && parse(row.body)!
  }

  async list(query: Parameters<ResourceStore['list']>[0]): Promise<Page<StoredResource>> {
    const { kind, mesh } = query
    const parent = parentKey(kind, query.parent)
    const size = pageSize(query.limit)
    const after = query.after === undefined ? '' : decodePageToken('list', query.after, ['string'])[0]
    const rows = this.#read(() =>
      kind === 'mesh'
        ? this.#sql.listMeshes.all(after, size + 1)
        : this.#sql.list.all(mesh, kind, parent, after, size + 1),
    )
    const items = rows.slice(0, size)
    return {
      items: items.map((row) => parse(row.body)!),
      ...(rows.length > size && { next: encodePageToken('list', [String(items.at(-1)!.name)]) }),
    }
  }

  async load(mesh: string, at?: number): Promise<{ generation: number; resources: StoredResource[] }> {
    return this.#transaction('BEGIN', () => {
      const head = this.#generation(mesh)
      const generation = at ?? head
      checkGeneration(mesh, generation, head)
      // The head has an index of its own: it is read far more often than the past.
      const rows = generation === head ? this.#sql.load.all(mesh) : this.#sql.loadAt.all(mesh, generation)
      return { generation, resources: rows.map((row) => parse(row.body)!) }
    })
  }

  async loadPage(query: Parameters<ResourceStore['loadPage']>[0]): Promise<StoredResource[]> {
    const { mesh, generation, after } = query
    const size = pageSize(query.limit)
    return this.#read(() => {
      checkGeneration(mesh, generation, this.#generation(mesh))
      const rows = this.#sql.loadPage.all(mesh, ...placeOf(after), generation, size)
      return rows.map((row) => parse(row.body)!)
    })
  }

  async changed(query: Parameters<ResourceStore['changed']>[0]): Promise<ChangedResource[]> {
    const { mesh, from, to, after } = query
    const size = pageSize(query.limit)
    return this.#read(() => {
      const head = this.#generation(mesh)
      for (const generation of [from, to]) checkGeneration(mesh, generation, head)
      const found: ChangedResource[] = []
      const range = [Math.min(from, to), Math.max(from, to)] as const
      for (const row of this.#sql.changed.iterate(mesh, ...range, ...placeOf(after))) {
        const key = [mesh, String(row.kind), String(row.parent), String(row.name)] as const
        const [before, is] = [from, to].map((generation) => this.#sql.bodyAt.get(...key, generation)?.body ?? null)
        if (before !== is) found.push({ before: parse(before), after: parse(is) })
        if (found.length === size) break
      }
      return found
    })
  }

  async commit(input: Parameters<ResourceStore['commit']>[0]): Promise<number> {
    const { mesh, expectedGeneration, changes, actor, atMs, rolledBackTo = null, receipt, stopped } = input
    checkChanges(mesh, changes)
    checkWanted(stopped)
    const generation = expectedGeneration + 1
    // The write lock comes first: a transaction that read before it wrote could fail half-way as out of date.
    return this.#transaction('BEGIN IMMEDIATE', () => {
      const actual = this.#generation(mesh)
      if (actual !== expectedGeneration) throw conflict(mesh, expectedGeneration, actual)
      this.#sql.addHead.run(mesh)
      for (const [position, change] of changes.entries()) {
        const key = columns(refOf(change))
        const before = this.#sql.live.get(...key)?.generation ?? null
        if (change.kind === 'put') {
          this.#sql.addVersion.run(...key, generation, JSON.stringify(change.resource))
          this.#sql.addLive.run(...key, generation)
        } else {
          if (before === null) throw notThere(change.ref)
          this.#sql.addVersion.run(...key, generation, null)
          this.#sql.dropLive.run(...key)
        }
        this.#sql.addChange.run(...key, generation, position, atMs, actor, before, rolledBackTo)
      }
      if (receipt !== undefined) {
        this.#sql.dropReceipts.run(atMs)
        this.#sql.addReceipt.run(mesh, receipt.token, receipt.expiresAtMs, JSON.stringify(receipt))
      }
      this.#sql.moveHead.run(generation, mesh, expectedGeneration)
      return generation
    })
  }

  async receipt(mesh: string, token: string, nowMs: number): Promise<Receipt | undefined> {
    const row = this.#read(() => this.#sql.receipt.get(mesh, token, nowMs))
    return row && JSON.parse(String(row.body))
  }

  async history(query: Parameters<ResourceStore['history']>[0]): Promise<Page<ChangeLogEntry>> {
    const { mesh, after } = query
    const size = pageSize(query.limit)
    const end =
      after === undefined ? [Number.MAX_SAFE_INTEGER, 0] : decodePageToken('history', after, ['number', 'number'])
    const rows = this.#read(() => this.#sql.history.all(mesh, end[0]!, end[1]!, size + 1))
    const items = rows.slice(0, size)
    const last = items.at(-1)
    return {
      items: items.map((row) => entry(mesh, row)),
      ...(rows.length > size &&
        last !== undefined && {
          next: encodePageToken('history', [Number(last.generation), Number(last.position)]),
        }),
    }
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }

  #generation(mesh: string): number {
    return Number(this.#sql.generation.get(mesh)?.generation ?? 0)
  }

  #read<T>(query: () => T): T {
    try {
      return query()
    } catch (error) {
      throw asMeshError(error, this.#path)
    }
  }

  #transaction<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => T): T {
    return this.#read(() => {
      this.#database.exec(begin)
      try {
        const result = work()
        this.#database.exec('COMMIT')
        return result
      } finally {
        // After a failure; some of SQLite's own errors have rolled back already.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      }
    })
  }
}

type Row = Record<string, unknown>

function columns(ref: ResourceRef): [mesh: string, kind: string, parent: string, name: string] {
  return [ref.mesh, ref.kind, parentKey(ref.kind, ref.parent), ref.name]
}

/** The key to begin behind. No kind sorts before the empty one. */
function placeOf(after: ResourceRef | undefined): [kind: string, parent: string, name: string] {
  return after === undefined ? ['', '', ''] : [after.kind, parentKey(after.kind, after.parent), after.name]
}

function parse(body: unknown): StoredResource | null {
  return typeof body === 'string' ? JSON.parse(body) : null
}

function entry(mesh: string, row: Row): ChangeLogEntry {
  const parent = String(row.parent)
  return {
    generation: Number(row.generation),
    atMs: Number(row.at_ms),
    actor: String(row.actor),
    ref: { kind: row.kind as ResourceKind, mesh, name: String(row.name), ...(parent !== '' && { parent }) },
    before: parse(row.before),
    after: parse(row.after),
    ...(row.rolled_back_to !== null && { rolledBackTo: Number(row.rolled_back_to) }),
  }
}

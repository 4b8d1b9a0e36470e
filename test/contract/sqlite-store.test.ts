import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteStore } from '../../runtime/adapters/sqlite-store.ts'
import type { ResourceStore } from '../../runtime/ports.ts'
import { resourceStoreContract } from './resource-store.ts'
import { node, put } from './stored.ts'

resourceStoreContract('SqliteStore in memory', async () => openSqliteStore(':memory:'))

let directory: string
let path: string
const opened: { close(): unknown }[] = []
const children: ChildProcess[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-store-'))
  path = join(directory, 'mesh.db')
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const store of opened.splice(0)) await store.close()
  rmSync(directory, { recursive: true })
})

function open(): ResourceStore {
  const store = openSqliteStore(path)
  opened.push(store)
  return store
}

/** Starts a process that commits pairs; `lines` are the generations it was told are durable. */
function writer(count: number): { child: ChildProcess; lines: AsyncIterable<string> } {
  const script = fileURLToPath(new URL('./sqlite-writer.ts', import.meta.url))
  const child = spawn(process.execPath, [script, path, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return { child, lines: createInterface({ input: child.stdout! }) }
}

async function write(store: ResourceStore, name: string, expectedGeneration: number): Promise<number> {
  return store.commit({ mesh: 'm', expectedGeneration, changes: put(node('m', name)), actor: 'x', atMs: 1 })
}

resourceStoreContract('SqliteStore in a file', async () => openSqliteStore(path))

describe('a SQLite store file', () => {
  it('holds everything after it was closed and opened again', async () => {
    const first = open()
    await write(first, 'a', 0)
    await write(first, 'b', 1)
    const before = { loaded: await first.load('m'), log: await first.history({ mesh: 'm', limit: 10 }) }
    await first.close()
    const second = open()
    expect({ loaded: await second.load('m'), log: await second.history({ mesh: 'm', limit: 10 }) }).toEqual(before)
  })

  it('is readable for its owner only, with its write-ahead log', async () => {
    await write(open(), 'a', 0)
    for (const name of [path, `${path}-wal`, `${path}-shm`]) expect(statSync(name).mode & 0o777).toBe(0o600)
  })

  it('lets one of two connections with the same expected generation win, and shows both the result', async () => {
    const [one, two] = [open(), open()]
    await write(one, 'a', 0)
    await expect(write(two, 'b', 0)).rejects.toMatchObject({ code: 'conflict' })
    await write(two, 'b', 1)
    expect(await one.generation('m')).toBe(2)
    expect(await one.load('m')).toEqual(await two.load('m'))
  })

  it('loses and doubles no write when two processes race, and readers see whole commits', async () => {
    const reader = open()
    const ended = [writer(150), writer(150)].map(async ({ child, lines }) => {
      const won: number[] = []
      for await (const line of lines) won.push(Number(line))
      if (child.exitCode === null) await once(child, 'exit')
      expect(child.exitCode).toBe(0)
      return won
    })
    let racing = true
    const all = Promise.all(ended).finally(() => {
      racing = false
    })
    let reads = 0
    while (racing) {
      const { generation, resources } = await reader.load('m')
      if (generation > 0) expect(resources.map((item) => item.version)).toEqual([generation, generation])
      reads++
      // Reads as fast as it can: a torn read needs a commit between its two queries.
      await new Promise(setImmediate)
    }
    const won = (await all).flat().sort((a, b) => a - b)
    expect(won).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
    expect(reads).toBeGreaterThan(100)
  })

  it('keeps every acknowledged commit whole after SIGKILL of the process that writes', async () => {
    for (const kills of [1, 2, 3]) {
      const { child, lines } = writer(1_000_000)
      let acknowledged = 0
      let count = 0
      for await (const line of lines) {
        acknowledged = Number(line)
        if (++count === 40) child.kill('SIGKILL')
      }
      expect(count, `round ${kills}`).toBeGreaterThanOrEqual(40)
      const store = open()
      const { generation, resources } = await store.load('m')
      expect(generation).toBeGreaterThanOrEqual(acknowledged)
      expect(resources.map((item) => item.version)).toEqual([generation, generation])
      const log = await store.history({ mesh: 'm', limit: 2 })
      expect(log.items.map((entry) => entry.generation)).toEqual([generation, generation])
      await store.close()
    }
    const database = new DatabaseSync(path)
    opened.push(database)
    expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
    expect(database.prepare('PRAGMA foreign_key_check').all()).toEqual([])
  })

  it('is made once when several processes open it for the first time together', async () => {
    const exits = await Promise.all([1, 2, 3, 4].map(() => once(writer(5).child, 'exit')))
    expect(exits.map(([code]) => code)).toEqual([0, 0, 0, 0])
    expect(await open().generation('m')).toBe(20)
  })

  it('keeps old versions, so that a past generation can be read later', async () => {
    const store = open()
    for (const version of [1, 2, 3]) {
      const changes = put(node('m', 'a', { version }))
      await store.commit({ mesh: 'm', expectedGeneration: version - 1, changes, actor: 'x', atMs: 1 })
    }
    await store.commit({
      mesh: 'm',
      expectedGeneration: 3,
      changes: [{ kind: 'remove', ref: node('m', 'a').ref }],
      actor: 'x',
      atMs: 1,
    })
    const database = new DatabaseSync(path)
    opened.push(database)
    const rows = database.prepare('SELECT generation, body FROM resource_version ORDER BY generation').all()
    const version = (body: unknown) => (typeof body === 'string' ? JSON.parse(body).version : null)
    expect(rows.map((row) => [row.generation, version(row.body)])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
      [4, null],
    ])
  })

  it('of an older Weft is brought up to date, with all that is in it', async () => {
    await write(open(), 'a', 0)
    const older = new DatabaseSync(path)
    older.exec('ALTER TABLE change_log DROP COLUMN rolled_back_to; DROP TABLE receipt; DROP TABLE role_binding')
    older.exec('PRAGMA user_version = 1')
    older.close()
    const store = open()
    await write(store, 'b', 1)
    expect((await store.load('m')).resources).toHaveLength(2)
    expect((await store.history({ mesh: 'm', limit: 10 })).items.map(({ ref }) => ref.name)).toEqual(['b', 'a'])
    expect(await store.receipt('m', 't', 0)).toBeUndefined()
  })

  it('of a newer Weft is refused with both layouts named, and left alone', async () => {
    await open().close()
    const database = new DatabaseSync(path)
    database.exec('PRAGMA user_version = 99')
    database.close()
    expect(() => openSqliteStore(path)).toThrow(/newer Weft \(layout 99; this version knows up to \d+\)/)
    const after = new DatabaseSync(path)
    opened.push(after)
    expect(after.prepare('PRAGMA user_version').get()).toEqual({ user_version: 99 })
  })

  it('of somebody else is refused and left alone', () => {
    const other = new DatabaseSync(path)
    opened.push(other)
    other.exec('CREATE TABLE theirs (x)')
    expect(() => openSqliteStore(path)).toThrow(/something else than Weft/)
    expect(other.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }])
  })

  it('that is no database is refused by name', () => {
    writeFileSync(
      path,
      'this is a text file, and quite a long one, so that it can not pass for an empty database\n'.repeat(20),
    )
    expect(() => openSqliteStore(path)).toThrow(/mesh\.db failed: file is not a database/)
  })

  it('in a directory that is not there is refused by name', () => {
    expect(() => openSqliteStore(join(directory, 'none', 'mesh.db'))).toThrow(/none\/mesh\.db can't be opened/)
  })

  it('that may not be written is refused', async (context) => {
    if (process.getuid?.() === 0) context.skip('root may write every file')
    await open().close()
    chmodSync(path, 0o400)
    expect(() => openSqliteStore(path)).toThrow(/can't be opened/)
  })

  it('answers unavailable, with a reason, once it is closed', async () => {
    const store = open()
    await store.close()
    await store.close()
    await expect(store.generation('m')).rejects.toMatchObject({ code: 'unavailable' })
    await expect(write(store, 'a', 0)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

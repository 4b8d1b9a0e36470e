import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { MeshError } from '../model/problem.ts'
import { migrate } from './sqlite-schema.ts'

/** How long a write waits for another process's, in milliseconds. */
const BUSY_TIMEOUT_MS = 5_000

/**
 * Opens the database of a self-hosted control plane in its current layout; the file is created with mode 0600. `:memory:`
 * ends with the process. The file must be on a local disk: WAL does not work over a network (sqlite.org/wal.html).
 * @throws MeshError `unavailable` for a file that can't be opened, that is no database of ours, or that a newer Weft wrote.
 */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync
  try {
    // SQLite would create it readable for all; its -wal and -shm files take over the mode of this one.
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600))
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true })
  } catch (cause) {
    throw new MeshError('unavailable', `The store ${path} can't be opened: ${(cause as Error).message}`, { cause })
  }
  try {
    // FULL, not NORMAL: with NORMAL a power failure can take back the last commits. A mesh would then give a generation
    // that proxies have seen to another content, and forget a write that it acknowledged. People write a mesh, so one
    // fsync a commit costs nothing that anybody feels.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF')
    migrate(database, path)
    return database
  } catch (error) {
    database.close()
    throw asMeshError(error, path)
  }
}

/** What went wrong with a database, in the words of the ports' callers. */
export function asMeshError(error: unknown, path: string): MeshError {
  if (error instanceof MeshError) return error
  const { errcode, message } = error as Error & { readonly errcode?: number }
  // The low byte is the primary result code; 5 is SQLITE_BUSY (sqlite.org/rescode.html).
  const why =
    ((errcode ?? 0) & 0xff) === 5
      ? `is held by another process for more than ${BUSY_TIMEOUT_MS} ms; try again, and look for a stuck one`
      : `failed: ${message}`
  return new MeshError('unavailable', `The store ${path} ${why}`, { cause: error })
}

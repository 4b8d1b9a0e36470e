import type { DatabaseSync } from 'node:sqlite'
import { MeshError } from '../model/problem.ts'

/** `WEFT` in ASCII: tells our files from other SQLite databases. */
const APPLICATION_ID = 0x57454654
/** The table layout that this version writes. A change appends a step to MIGRATIONS; steps are never edited. */
const SCHEMA_VERSION = 4

/**
 * `resource_version` and `change_log` are only ever added to: what a mesh was at generation G is, for each key, the
 * version with the highest generation up to G. `live` is the index of that answer for the head. `parent` is '' for kinds
 * that have none.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE head (
    mesh TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE resource_version (
    mesh TEXT NOT NULL REFERENCES head (mesh),
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    body TEXT, -- JSON of the StoredResource; NULL: removed
    PRIMARY KEY (mesh, kind, parent, name, generation)
  ) STRICT;

  CREATE TABLE live (
    mesh TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (mesh, kind, parent, name),
    FOREIGN KEY (mesh, kind, parent, name, generation) REFERENCES resource_version
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX live_mesh ON live (name) WHERE kind = 'mesh';

  CREATE TABLE change_log (
    mesh TEXT NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL, -- inside the commit, from 0
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    name TEXT NOT NULL,
    before_generation INTEGER, -- of the version that this one replaced; NULL: there was none
    PRIMARY KEY (mesh, generation, position),
    FOREIGN KEY (mesh, kind, parent, name, generation) REFERENCES resource_version,
    FOREIGN KEY (mesh, kind, parent, name, before_generation) REFERENCES resource_version
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE receipt (
    mesh TEXT NOT NULL REFERENCES head (mesh),
    token TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    body TEXT NOT NULL, -- JSON of the Receipt
    PRIMARY KEY (mesh, token)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX receipt_expiry ON receipt (expires_at_ms);
  `,
  // Of a rollback: the generation that it went back to.
  'ALTER TABLE change_log ADD COLUMN rolled_back_to INTEGER;',
  `
  CREATE TABLE role_binding (
    account_id TEXT NOT NULL,
    role_name TEXT NOT NULL,
    mesh TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT, -- NULL: nobody in particular
    PRIMARY KEY (account_id, role_name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX role_binding_mesh ON role_binding (mesh);
  `,
]

/**
 * Brings a database to the current layout; several processes may do so at once. Throws MeshError `unavailable`, and
 * changes nothing, when the file belongs to a newer Weft or to something else.
 */
export function migrate(database: DatabaseSync, path: string): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    const version = pragma(database, 'user_version')
    const tables = database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n
    const owner = pragma(database, 'application_id')
    if (owner !== APPLICATION_ID && (owner !== 0 || version !== 0 || tables !== 0)) {
      throw new MeshError('unavailable', `${path} is a database of something else than Weft; give another file.`)
    }
    if (version > SCHEMA_VERSION) {
      throw new MeshError(
        'unavailable',
        `${path} was written by a newer Weft (layout ${version}; this version knows up to ${SCHEMA_VERSION}). Start the newer version, or give another file.`,
      )
    }
    for (const step of MIGRATIONS.slice(version)) database.exec(step)
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function pragma(database: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name])
}

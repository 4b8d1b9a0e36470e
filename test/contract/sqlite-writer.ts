/**
 * A process of its own that writes pairs: `node sqlite-writer.ts FILE COUNT`. Prints the generation after each commit.
 * Every commit puts `left` and `right` with the generation as version, so that a torn one would show.
 */
import { writeSync } from 'node:fs'
import { openSqliteStore } from '../../runtime/adapters/sqlite-store.ts'
import { MeshError } from '../../runtime/model/problem.ts'
import { node, put } from './stored.ts'

const [path, count] = process.argv.slice(2)
const store = openSqliteStore(path!)
for (let won = 0; won < Number(count); ) {
  const expectedGeneration = await store.generation('m')
  const version = expectedGeneration + 1
  const changes = put(node('m', 'left', { version }), node('m', 'right', { version }))
  try {
    const actor = String(process.pid)
    const generation = await store.commit({ mesh: 'm', expectedGeneration, changes, actor, atMs: 1 })
    won++
    writeSync(1, `${generation}\n`)
  } catch (error) {
    if (!(error instanceof MeshError && error.code === 'conflict')) throw error
  }
}
await store.close()

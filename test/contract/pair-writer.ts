import { writeSync } from 'node:fs'
import { MeshError } from '../../runtime/model/problem.ts'
import type { ResourceStore } from '../../runtime/ports.ts'
import { node, put } from './stored.ts'

/**
 * Commits `count` pairs against rivals, and prints the generation after each. Every commit puts `left` and `right` with
 * the generation as version, so that a torn one would show.
 */
export async function writePairs(store: ResourceStore, count: number): Promise<void> {
  for (let won = 0; won < count; ) {
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
}

import type { Subject } from '../model/reference.ts'

/** What a waiting sync may look at: every resource of a mesh, or the instances of one virtual node. */
export type Topic = `mesh:${string}` | `endpoints:${string}/${string}`

/** Topic of every write to a mesh. */
export function meshTopic(mesh: string): Topic {
  return `mesh:${mesh}`
}

/** Topic of the instances of one virtual node. */
export function endpointsTopic(node: Pick<Subject, 'mesh' | 'name'>): Topic {
  // Names may hold slashes: the lengths before them keep two different pairs apart.
  return `endpoints:${node.mesh.length}/${node.mesh}/${node.name}`
}

/** One waiting party. Topics are added before the state behind them is read, so that no change is lost in between. */
export interface Watch {
  /** Wakes this watch on a change of the topic too. */
  add(topic: Topic): void
  /** Resolves once a topic changed, also when that was before the call. Rejects never. */
  readonly changed: Promise<void>
  /** Must be called when the party stops waiting. */
  close(): void
}

/** In-process news: a commit or a changed endpoint set wakes those who wait for it, and nobody else. */
export class Changes {
  readonly #watchers = new Map<Topic, Set<() => void>>()

  notify(topic: Topic): void {
    const watchers = this.#watchers.get(topic)
    if (watchers !== undefined) for (const wake of [...watchers]) wake()
  }

  watch(): Watch {
    const topics = new Set<Topic>()
    const { promise, resolve } = Promise.withResolvers<void>()
    return {
      changed: promise,
      add: (topic) => {
        topics.add(topic)
        const watchers = this.#watchers.get(topic)
        if (watchers === undefined) this.#watchers.set(topic, new Set([resolve]))
        else watchers.add(resolve)
      },
      close: () => {
        for (const topic of topics) {
          const watchers = this.#watchers.get(topic)
          watchers?.delete(resolve)
          if (watchers?.size === 0) this.#watchers.delete(topic)
        }
      },
    }
  }
}

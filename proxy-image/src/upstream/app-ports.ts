import { connect } from 'node:net'
import type { Cluster } from '../../../runtime/model/snapshot.ts'

const PAUSE_MS = 100
const CONNECT_MS = 1_000

/**
 * Waits until the app of this node accepts connections on all of its ports, which is when peers can use this instance:
 * ECS starts an app after its sidecar is healthy, and some apps take their time. Once is enough, and a node without
 * listeners has nothing to wait for. Never resolves for an app that does not come up.
 */
export class AppPorts {
  readonly #actualPort: (designed: number) => number
  readonly #seen = new Set<number>()

  /** @param actualPort where a port of the app really is on this host */
  constructor(actualPort: (designed: number) => number) {
    this.#actualPort = actualPort
  }

  async listening(clusters: readonly Cluster[], signal: AbortSignal): Promise<void> {
    const local = clusters.filter(({ discovery }) => discovery.kind === 'local')
    await Promise.all(local.map(({ port }) => this.#listens(port, signal)))
  }

  async #listens(port: number, signal: AbortSignal): Promise<void> {
    while (!this.#seen.has(port) && !signal.aborted) {
      if (await accepts(this.#actualPort(port))) this.#seen.add(port)
      else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS).unref())
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: CONNECT_MS })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

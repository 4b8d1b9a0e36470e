import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { freePort } from '../support/free-port.ts'
import { startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

/**
 * A gateway before an app, in a process of its own whose memory and CPU are looked at by test/wire/idle.test.ts. Sends its port
 * when it is ready, and a {@link Usage} for every message; started with --expose-gc.
 */

export interface Usage {
  readonly rssBytes: number
  readonly cpuMs: number
  /** Connections from downstream that are open. */
  readonly open: number
}

const app = createServer((_request, response) => response.end('ok'))
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
const port = await freePort()
const proxy = await startServing(oneWay(port, (app.address() as AddressInfo).port))

process.on('message', (wish: 'collected' | 'as it is') => {
  // Garbage is not held by connections. Twice: what the first run finalizes, the second one frees.
  if (wish === 'collected') for (let i = 0; i < 2; i++) globalThis.gc!()
  const { user, system } = process.cpuUsage()
  const usage: Usage = {
    rssBytes: process.memoryUsage.rss(),
    cpuMs: (user + system) / 1000,
    open: proxy.count('weft_downstream_connections'),
  }
  process.send!(usage)
})
process.send!(port)

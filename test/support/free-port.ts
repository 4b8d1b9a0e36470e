import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that systems give to outgoing connections and to `listen(0)`: one of those, once told, may be anybody's
 * before it is used. Each worker has a share of its own.
 */
const FIRST = 20_000
const SHARE = 6_000
const first = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % 2) * SHARE
/** Not where the file before began: processes of its may still be on their way out. */
let next = process.pid % SHARE

/** A port of 127.0.0.1 that nothing listens on, and that nobody else will ask for soon. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + next
    next = (next + 1) % SHARE
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

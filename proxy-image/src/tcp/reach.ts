import { ProxyError } from '../errors.ts'
import { type DialResult, dial } from '../upstream/connect.ts'
import { Http2Pool } from '../upstream/http2-pool.ts'
import type { EndpointPool } from '../upstream/pool.ts'
import { type Reached, SocketEnd } from './end.ts'
import { UpstreamTunnel } from './tunnel.ts'

/**
 * Opens a way for one TCP connection: a stream to the sidecar of an endpoint, a connection of its own to one without.
 * `done` is called once, never before this returns. The returned function gives up silently.
 */
export function reach(pool: EndpointPool, timeoutMs: number, done: (result: Reached | ProxyError) => void): () => void {
  if (pool instanceof Http2Pool) {
    const tunnel = new UpstreamTunnel(pool, timeoutMs, done)
    tunnel.start()
    return () => tunnel.cancel()
  }
  const onDialed = (result: DialResult): void => {
    if (result instanceof ProxyError) return done(result)
    const { socket, lifeMs } = result
    done({ end: new SocketEnd(socket, 'upstream_reset'), endsAtMs: performance.now() + lifeMs })
  }
  return dial(pool.plan, timeoutMs, onDialed, null)
}

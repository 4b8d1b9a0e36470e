import { join } from 'node:path'
import { freePorts, PROXY_CORE, startPinned, waitForAnswer } from '../processes.ts'
import { type Peer, running } from './peer.ts'

/** A hop (never a pair) as one script of `servers/`. */
function script(name: 'node-undici' | 'hono-fetch', file: string, features: string): Peer {
  return {
    name,
    features,
    version: () => undefined,
    start: async ({ directory, backendPort }) => {
      const [port] = await freePorts(1)
      const command = [process.execPath, join(import.meta.dirname, 'servers', file), String(port), String(backendPort)]
      const child = await startPinned(PROXY_CORE, command as [string, ...string[]], { name, directory })
      const url = `http://127.0.0.1:${port}/`
      await waitForAnswer(url, [child])
      return running(url, [child])
    },
  }
}

export const nodeUndici = script(
  'node-undici',
  'undici-proxy.ts',
  'nothing but forwarding (node:http, undici.dispatch)',
)
export const honoFetch = script('hono-fetch', 'hono-proxy.ts', 'nothing but forwarding (Hono, global fetch)')

import { PushConnections } from '../adapters/push-connections.ts'
import type { Announcer } from '../ports.ts'
import { once, type Wiring } from './wire.ts'

/** Tells listening proxies to sync; nobody where there is no push. The client is loaded with the first news. */
export function openAnnouncer({ env, client, clock }: Wiring): Announcer {
  const { pushEndpoint: endpoint } = env
  if (endpoint === undefined) return { announce: async () => {} }
  const open = once(async () => {
    const { PushAnnouncer } = await import('../adapters/push-announcer.ts')
    return new PushAnnouncer({ endpoint, connections: new PushConnections(client, env.table, clock) })
  })
  return { announce: async (mesh) => (await open()).announce(mesh) }
}

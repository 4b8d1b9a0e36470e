import { type Peer, running } from './peer.ts'

/** The load generator straight at the backend: what the machine gives without any proxy. */
export const direct: Peer = {
  name: 'direct',
  features: 'no proxy',
  version: () => undefined,
  start: async ({ backendPort }) => running(`http://127.0.0.1:${backendPort}/`, []),
}

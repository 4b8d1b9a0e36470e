import { type Peer, Unavailable } from './peer.ts'

export const weft: Peer = {
  name: 'weft',
  features: 'tbd',
  version: () => undefined,
  start: async () => {
    throw new Unavailable('not built yet')
  },
}

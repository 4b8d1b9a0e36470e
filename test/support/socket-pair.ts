import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach } from 'vitest'

/** Both ends of one TCP connection. */
export interface SocketPair {
  readonly socket: Socket
  /** The end that was accepted. It reads nothing before it is resumed. */
  readonly peer: Socket
  close(): void
}

async function socketPair(): Promise<SocketPair> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [peer] = (await once(server, 'connection')) as [Socket]
  return {
    socket,
    peer,
    close() {
      server.close()
      socket.destroy()
      peer.destroy()
    },
  }
}

/** Makes pairs for the tests of one file; each test's are closed behind it. */
export function socketPairs(): () => Promise<SocketPair> {
  const made: SocketPair[] = []
  afterEach(() => {
    for (const pair of made.splice(0).reverse()) pair.close()
  })
  return async () => {
    const pair = await socketPair()
    made.push(pair)
    return pair
  }
}

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { AppPorts } from '../../../../proxy-image/src/upstream/app-ports.ts'
import type { Cluster } from '../../../../runtime/model/snapshot.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(port = 0): Promise<number> {
  const server = createServer((socket) => socket.destroy()).listen(port, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const local = (port: number) => ({ port, discovery: { kind: 'local' } }) as Cluster
const never = new AbortController().signal

describe('the ports of an app', () => {
  it('are waited for until the last one accepts connections', async () => {
    const [first, second] = [await listen(), await listen()]
    const [, late] = servers
    late!.close()
    await once(late!, 'close')
    let done = false
    const waiting = new AppPorts((port) => port).listening([local(first), local(second)], never).then(() => {
      done = true
    })
    await delay(150)
    expect(done).toBe(false)
    await listen(second)
    await waiting
  })

  it('are looked at where they really are, and once only', async () => {
    const actual = await listen()
    const app = new AppPorts(() => actual)
    await app.listening([local(8080)], never)
    servers[0]!.close()
    await app.listening([local(8080)], never)
  })

  it('are none of a node without listeners, whatever its other clusters are', async () => {
    const other = { port: 1, discovery: { kind: 'endpoints', node: 'orders' } } as unknown as Cluster
    await new AppPorts((port) => port).listening([other], never)
  })

  it('are not waited for by a proxy that ends', async () => {
    const port = await listen()
    servers[0]!.close()
    await once(servers[0]!, 'close')
    await new AppPorts((designed) => designed).listening([local(port)], AbortSignal.timeout(150))
  })
})

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeAll } from 'vitest'
import { createTestCa, type TestCa } from './certificates.ts'
import { startTcpApp, startTcpCallee, startTcpCaller, type TcpApp, type TcpCallee, type TcpCaller } from './tcp-pair.ts'

type CalleeOptions = Parameters<typeof startTcpCallee>[2]
type CallerOptions = Parameters<typeof startTcpCaller>[2]

/** TCP apps, sidecars and clients for the tests of one file; each test's are closed behind it. */
export function tcpRig() {
  let ca: TestCa
  beforeAll(async () => {
    ca = await createTestCa('mesh')
  })
  const closers: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
  return {
    closers,
    get ca(): TestCa {
      return ca
    },
    async app(onSocket: (socket: Socket) => void): Promise<TcpApp> {
      const started = await startTcpApp(onSocket)
      closers.push(() => started.close())
      return started
    },
    async callee(appPort: number, options: CalleeOptions = {}): Promise<TcpCallee> {
      const started = await startTcpCallee(ca, appPort, options)
      closers.push(() => started.proxy.close())
      return started
    },
    async caller(targets: Parameters<typeof startTcpCaller>[1], options: CallerOptions = {}): Promise<TcpCaller> {
      const started = await startTcpCaller(ca, targets, options)
      closers.push(() => started.proxy.close())
      return started
    },
    client(via: TcpCaller): Socket {
      const socket = via.connect()
      closers.push(() => void socket.destroy())
      return socket
    },
    /** Something between two sidecars that sees their connections. */
    async tap(port: number): Promise<{ port: number; connections: Socket[]; onward: Socket[] }> {
      const connections: Socket[] = []
      const onward: Socket[] = []
      const server = createServer((socket) => {
        connections.push(socket)
        const other = connect(port, '127.0.0.1')
        onward.push(other)
        for (const one of [socket, other]) one.on('error', () => {})
        socket.on('close', () => other.destroy())
        other.on('close', () => socket.destroy())
        socket.pipe(other).pipe(socket)
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      closers.push(() => {
        server.close()
        for (const socket of connections) socket.destroy()
      })
      return { port: (server.address() as AddressInfo).port, connections, onward }
    },
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'

/** What real clients of TLS say first. */

/** All that a client sends by itself to a server that never answers. */
async function captured(start: (port: number) => () => void): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = start((server.address() as AddressInfo).port)
  const [socket] = (await once(server, 'connection')) as [Socket]
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  await once(socket, 'data')
  // A large one may come in two packets.
  await new Promise((resolve) => setTimeout(resolve, 50))
  stop()
  socket.destroy()
  server.close()
  return Buffer.concat(chunks)
}

/** The ClientHello of node:tls. */
export function nodeHello(options: ConnectionOptions): Promise<Buffer> {
  return captured((port) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    socket.on('error', () => {})
    return () => void socket.destroy()
  })
}

/** The ClientHello of `openssl s_client`, with these arguments. */
export function opensslHello(...args: string[]): Promise<Buffer> {
  return captured((port) => {
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], { stdio: 'ignore' })
    return () => void client.kill()
  })
}

/** The same message in records of `size` bytes. */
export function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part)
  }
  return Buffer.concat(records)
}

import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { type RawAnswer, readAnswers } from './raw-answer.ts'

/** How a connection ended, as its client saw it. */
export type Ending = 'open' | 'fin' | 'reset'

/** A TCP client that sends exactly the bytes it is told to, and keeps exactly the bytes it gets. */
export class RawClient {
  readonly socket: Socket
  ending: Ending = 'open'
  private readonly chunks: Buffer[] = []
  private readonly wakers = new Set<() => void>()

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.wake()
    })
    socket.on('end', () => this.finish('fin'))
    socket.on('error', () => this.finish('reset'))
    socket.on('close', () => this.finish('fin'))
  }

  /** Everything received, one latin1 character a byte. */
  get received(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Waits until the peer ended the connection. */
  async ended(timeoutMs = 5_000): Promise<Ending> {
    await this.until(() => this.ending !== 'open', timeoutMs)
    return this.ending
  }

  /** Waits for this many complete final answers to requests of these methods (GET by default). */
  async answers(count: number, methods: readonly string[] = [], timeoutMs = 5_000): Promise<RawAnswer[]> {
    let read: RawAnswer[] = []
    await this.until(() => {
      read = readAnswers(this.received, methods, this.ending !== 'open')
      return read.filter((one) => one.complete).length >= count
    }, timeoutMs)
    return read
  }

  /** Waits for one complete answer. */
  async answer(method = 'GET', timeoutMs = 5_000): Promise<RawAnswer> {
    const [first] = await this.answers(1, [method], timeoutMs)
    return first!
  }

  /** Resolves when `condition` holds; looks again after every event. Rejects with what was received so far. */
  async until(condition: () => boolean, timeoutMs = 5_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!condition()) {
      const left = deadline - performance.now()
      if (left <= 0) {
        throw new Error(
          `waited ${timeoutMs} ms in vain; ${this.ending}, got ${JSON.stringify(this.received.slice(0, 2000))}`,
        )
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, Math.min(left, 250))
        const { wakers } = this
        function done(): void {
          clearTimeout(timer)
          wakers.delete(done)
          resolve()
        }
        wakers.add(done)
      })
    }
  }

  close(): void {
    this.socket.destroy()
  }

  private finish(ending: Ending): void {
    if (this.ending === 'open') this.ending = ending
    this.wake()
  }

  private wake(): void {
    for (const waker of [...this.wakers]) waker()
  }
}

export function connectRaw(port: number): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      resolve(new RawClient(socket))
    })
  })
}

export function connectRawTls(port: number, options: ConnectionOptions): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ...options })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      socket.removeListener('error', reject)
      resolve(new RawClient(socket))
    })
  })
}

/** Sends bytes on a connection of their own and returns everything that came back until the server closed it. */
export async function talk(port: number, bytes: string | Buffer, timeoutMs = 5_000): Promise<RawClient> {
  const client = await connectRaw(port)
  client.send(bytes)
  await client.ended(timeoutMs)
  client.close()
  return client
}

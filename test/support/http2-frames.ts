import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { connectRaw, type RawClient } from './raw-client.ts'

/** HTTP/2 frame by frame, for clients and servers that break its rules. */

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
const SETTINGS = 4
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9
export const END_STREAM = 1
export const END_HEADERS = 4
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

export function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const head = Buffer.alloc(9)
  head.writeUIntBE(bytes.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, bytes])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** A SETTINGS frame of ids and values in turn. */
export function settings(...values: readonly number[]): Buffer {
  const payload = Buffer.alloc((values.length / 2) * 6)
  for (let i = 0; i < values.length; i += 2) {
    payload.writeUInt16BE(values[i]!, i * 3)
    payload.writeUInt32BE(values[i + 1]!, i * 3 + 2)
  }
  return frame(SETTINGS, 0, 0, payload)
}

/** Field lines as literals without indexing, plain. */
export function block(...fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]))
}

/** A string literal of HPACK, plain. */
export function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length = [Math.min(bytes.length, 127)]
  for (let rest = bytes.length - 127; rest >= 0; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

export function requestBlock(method = 'GET', ...more: readonly (readonly [string, string])[]): Buffer {
  return block([':method', method], [':scheme', 'http'], [':path', '/x'], [':authority', 'web.test'], ...more)
}

export function requestHead(
  id: number,
  flags: number,
  method = 'GET',
  ...more: readonly (readonly [string, string])[]
) {
  return frame(HEADERS, END_HEADERS | flags, id, requestBlock(method, ...more))
}

/** The whole frames at the beginning of what was received. */
function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      id: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    })
    at = end
  }
  return frames
}

/** A client that has said who it is, and sends what it is told to. */
export class FrameClient {
  readonly raw: RawClient

  constructor(raw: RawClient) {
    this.raw = raw
  }

  send(...frames: readonly Buffer[]): void {
    this.raw.socket.write(Buffer.concat(frames))
  }

  get frames(): Frame[] {
    return readFrames(Buffer.from(this.raw.received, 'latin1'))
  }

  of(type: number, id?: number): Frame[] {
    return this.frames.filter((one) => one.type === type && (id === undefined || one.id === id))
  }

  /** Waits for a frame of a type, on a stream if one is named. */
  async next(type: number, id?: number, timeoutMs = 5_000): Promise<Frame> {
    await this.raw.until(() => this.of(type, id).length > 0, timeoutMs)
    return this.of(type, id)[0]!
  }

  /** Error code of the GOAWAY that ends the connection. */
  async goaway(timeoutMs = 8_000): Promise<number> {
    return (await this.next(GOAWAY, 0, timeoutMs)).payload.readUInt32BE(4)
  }

  close(): void {
    this.raw.close()
  }
}

export async function connectFrames(port: number, own: Buffer = settings()): Promise<FrameClient> {
  const client = new FrameClient(await connectRaw(port))
  client.send(PREFACE, own)
  return client
}

/** One connection as frames: what a {@link FrameServer} accepted, or, `toServer`, the other side of one. */
export class FrameConnection {
  readonly socket: Socket
  readonly frames: Frame[] = []
  private rest = Buffer.alloc(0)
  private greeted: boolean

  constructor(socket: Socket, toServer = false) {
    this.socket = socket
    this.greeted = toServer
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames))
  }

  /** A head of literals; `:status` and more. */
  head(id: number, flags: number, ...fields: readonly (readonly [string, string])[]): void {
    this.send(frame(HEADERS, END_HEADERS | flags, id, block(...fields)))
  }

  /** Takes what was read; returns the frames that are new. */
  take(chunk: Buffer): Frame[] {
    this.rest = Buffer.concat([this.rest, chunk])
    if (!this.greeted) {
      if (this.rest.length < PREFACE.length) return []
      this.rest = this.rest.subarray(PREFACE.length)
      this.greeted = true
    }
    const fresh = readFrames(this.rest)
    this.rest = this.rest.subarray(fresh.reduce((sum, { payload }) => sum + 9 + payload.length, 0))
    this.frames.push(...fresh)
    return fresh
  }
}

export interface FrameServer {
  readonly port: number
  readonly connections: readonly FrameConnection[]
  close(): void
}

/** A server of HTTP/2 that says hello, and then what `onFrame` says. */
export async function startFrameServer(
  onFrame: (frame: Frame, connection: FrameConnection) => void,
  own: Buffer = settings(),
): Promise<FrameServer> {
  const connections: FrameConnection[] = []
  const server = createServer((socket) => {
    const connection = new FrameConnection(socket)
    connections.push(connection)
    socket.on('error', () => {})
    connection.send(own)
    socket.on('data', (chunk: Buffer) => {
      for (const one of connection.take(chunk)) {
        if (one.type === SETTINGS && one.flags === 0) connection.send(frame(SETTINGS, 1, 0))
        else onFrame(one, connection)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    close: () => {
      for (const { socket } of connections) socket.destroy()
      server.close()
    },
  }
}

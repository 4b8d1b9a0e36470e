import type { OnReadOpts, Socket } from 'node:net'
import { BLOCK_BYTES } from './blocks.ts'

/** Takes what a socket read: `chunk[start, end)`, which is read over as soon as it returns. */
export type ReadSink = (chunk: Buffer, start: number, end: number) => void

/**
 * All sockets read into this one buffer, one after the other: node would allocate one for each read else, and what that
 * costs its garbage collector was a third of all time where bodies are moved. It takes what four frames of HTTP/2 carry, which then
 * fill a block, and four records of TLS.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(BLOCK_BYTES - 4 * 9)

/** The option of `connect` that makes a socket read into the one buffer. */
export function onread(sink: ReadSink): OnReadOpts {
  return {
    buffer: READ_BUFFER,
    callback: (length) => {
      sink(READ_BUFFER, 0, length)
      return true
    },
  }
}

/** What node keeps of the option `onread`, under symbols of its own. */
interface NodeSocket {
  readonly _handle: { useUserBuffer?: (buffer: Buffer) => void } | null
  [key: symbol]: unknown
}

/** Symbols of node's sockets by their names; every socket has the same. */
let symbols: { readonly buffer: symbol; readonly callback: symbol } | undefined

function findSymbols(socket: object): typeof symbols {
  const find = (name: string) => Object.getOwnPropertySymbols(socket).find(({ description }) => description === name)
  const [buffer, callback] = [find('kBuffer'), find('kBufferCb')]
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback }
}

/**
 * Makes a socket that stands, such as an accepted one, read into the one buffer, and hands what comes to `sink`; call it again for another one.
 * Node has `onread` for sockets that connect only, so that this does what its constructor would (ADR 15). Where a
 * node has other insides, and for what was read already, bytes come by the event.
 * @returns whether the socket reads into the one buffer
 */
export function readInto(connected: Socket, sink: ReadSink): boolean {
  connected.removeAllListeners('data')
  connected.on('data', (chunk: Buffer) => sink(chunk, 0, chunk.length))
  symbols ??= findSymbols(connected)
  const socket = connected as unknown as NodeSocket
  if (symbols === undefined || typeof socket._handle?.useUserBuffer !== 'function') return false
  socket[symbols.callback] = onread(sink).callback
  if (socket[symbols.buffer] !== READ_BUFFER) {
    socket[symbols.buffer] = READ_BUFFER
    socket._handle.useUserBuffer(READ_BUFFER)
  }
  return true
}

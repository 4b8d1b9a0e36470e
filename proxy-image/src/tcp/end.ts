import type { Socket } from 'node:net'
import { ProxyError } from '../errors.ts'
import { BlockWriter } from '../socket/block-writer.ts'
import { readInto } from '../socket/reads.ts'

/** What an end tells whoever passes its bytes on. */
export interface EndListener {
  /** `chunk[start, end)` is read over as soon as this returns. */
  onData(chunk: Buffer, start: number, end: number): void
  /** It says no more, and may still listen. */
  onEnd(): void
  /** What it was too slow for has left. */
  onDrain(): void
  /** Called once, last: both of its halves have ended (null), it was reset by us (null), or broke. */
  onClosed(error: ProxyError | null): void
}

/** One end of a TCP connection that is passed on: a socket, or a stream to the next sidecar. */
export interface TcpEnd {
  /** Call it once. Nothing is handed on until {@link open}. */
  attach(listener: EndListener): void
  open(): void
  write(chunk: Buffer, start: number, end: number): void
  /** False: it reads too slowly; stop until `onDrain`. */
  flush(): boolean
  /** Ends our half, behind all that was written. */
  end(): void
  pause(): void
  resume(): void
  /** Breaks it off: its other end sees an error, and not an end. */
  reset(error: ProxyError): void
}

/** The end at an endpoint. */
export interface Reached {
  readonly end: TcpEnd
  /** `performance.now()` when the first certificate of the way to it ends. */
  readonly endsAtMs: number
}

/** A socket as an end. */
export class SocketEnd implements TcpEnd {
  private readonly socket: Socket
  private readonly broken: 'downstream_closed' | 'upstream_reset'
  private readonly output: BlockWriter
  private listener: EndListener | null = null
  private ended = false
  private fault: Error | null = null

  /** `broken` is the reason of an end that breaks. */
  constructor(socket: Socket, broken: SocketEnd['broken']) {
    this.socket = socket
    this.broken = broken
    // Either side may stop sending while the other one goes on.
    socket.allowHalfOpen = true
    this.output = new BlockWriter(socket, () => this.listener!.onDrain())
  }

  attach(listener: EndListener): void {
    this.listener = listener
    this.socket.on('error', (error) => {
      this.fault = error
    })
    this.socket.on('close', () => listener.onClosed(this.verdict()))
  }

  private verdict(): ProxyError | null {
    const { broken, fault } = this
    if (fault === null && this.ended) return null
    const source = broken === 'downstream_closed' ? 'downstream' : 'upstream'
    return new ProxyError(broken, source, fault === null ? {} : { cause: fault, message: fault.message })
  }

  open(): void {
    const { socket } = this
    const listener = this.listener!
    const onEnd = (): void => {
      this.ended = true
      listener.onEnd()
    }
    socket.on('end', onEnd)
    readInto(socket, (chunk, start, end) => listener.onData(chunk, start, end))
    // It ended without a word while nobody listened, and says so once.
    if (socket.readableEnded) onEnd()
  }

  write(chunk: Buffer, start: number, end: number): void {
    this.output.copy(chunk, start, end)
  }

  flush(): boolean {
    return !this.output.blocked
  }

  end(): void {
    this.output.finish()
    this.socket.end()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** With TLS it just ends: node lets nobody reset the socket under one of TLS without a crash (seen with Node 24.21). */
  reset(): void {
    const { socket } = this
    if (socket.destroyed) return
    if ('encrypted' in socket) socket.destroy()
    else socket.resetAndDestroy()
  }
}

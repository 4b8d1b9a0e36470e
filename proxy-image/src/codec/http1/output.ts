import type { Socket } from 'node:net'
import type { FieldSection } from '../field-section.ts'

/** Body runs up to this many bytes are joined to the text before them: one string write beats a vector of two. */
const JOIN_BYTES = 4096

/**
 * Collects what one turn wants to send on a socket, and sends it in one write. Every write system call costs more than
 * all parsing of a small message, and with TLS every write is a record of its own.
 */
export class Output {
  private readonly socket: Socket
  /** Whether the bytes it is given are read over as soon as it returns, so that what waits must be a copy. */
  private readonly borrows: boolean
  private text = ''
  private corked = false

  constructor(socket: Socket, borrows: boolean) {
    this.socket = socket
    this.borrows = borrows
  }

  /** Appends latin1 text. */
  add(text: string): void {
    this.text += text
  }

  /** Appends bytes. */
  addBytes(chunk: Buffer, start: number, end: number): void {
    if (end - start <= JOIN_BYTES) {
      this.text += chunk.toString('latin1', start, end)
      return
    }
    if (!this.corked) {
      this.corked = true
      this.socket.cork()
    }
    this.writeText()
    const bytes = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)
    this.socket.write(this.borrows ? Buffer.from(bytes) : bytes)
  }

  /** Sends what was collected. False: the socket's buffer is full. */
  flush(): boolean {
    if (!this.corked && this.text !== '') return this.writeText()
    this.writeText()
    if (this.corked) {
      this.corked = false
      this.socket.uncork()
    }
    return !this.socket.writableNeedDrain
  }

  /** Body bytes inside chunked framing (RFC 9112, section 7.1). */
  addChunk(chunk: Buffer, start: number, end: number): void {
    this.text += `${(end - start).toString(16)}\r\n`
    this.addBytes(chunk, start, end)
    this.text += '\r\n'
  }

  /** The last chunk and the trailer section. */
  addLastChunk(trailers: FieldSection | null): void {
    this.text += trailers === null ? '0\r\n\r\n' : `0\r\n${trailers.lines()}\r\n`
  }

  private writeText(): boolean {
    if (this.text === '') return true
    const text = this.text
    this.text = ''
    return this.socket.write(text, 'latin1')
  }
}

import type { Socket } from 'node:net'
import { BlockWriter, UNSENT_BYTES } from '../../socket/block-writer.ts'
import type { FieldSection } from '../field-section.ts'

/** Body runs up to this many bytes are joined to the text before them: one string write beats all else. */
const JOIN_BYTES = 4096

/**
 * Collects what one turn wants to send on a socket, and sends it in one write. Every write system call costs more than
 * all parsing of a small message, and with TLS every write is a record of its own. Small messages are one string that
 * leaves with the flush, larger bodies go through blocks.
 */
export class Output {
  private readonly socket: Socket
  private readonly blocks: BlockWriter
  private joined = ''

  /** `onDrain` is called, beside the socket's own event, when the other side has read enough for more. */
  constructor(socket: Socket, onDrain: () => void) {
    this.socket = socket
    this.blocks = new BlockWriter(socket, onDrain)
  }

  /** Too much waits for the other side to read. The socket's drain says nothing of that: it comes after every block. */
  get full(): boolean {
    return this.blocks.blocked || this.socket.writableLength >= UNSENT_BYTES
  }

  /** Appends latin1 text. */
  add(text: string): void {
    if (this.blocks.pending) this.blocks.text(text)
    else this.joined += text
  }

  /** Appends bytes. */
  addBytes(chunk: Buffer, start: number, end: number): void {
    const { blocks } = this
    if (end - start <= JOIN_BYTES && !blocks.pending) {
      this.joined += chunk.toString('latin1', start, end)
      return
    }
    if (this.joined !== '') {
      blocks.text(this.joined)
      this.joined = ''
    }
    blocks.copy(chunk, start, end)
  }

  /** Sends what was collected: text now, blocks at the end of the turn. False: too much waits for the other side to read. */
  flush(): boolean {
    if (this.joined !== '') {
      const { joined } = this
      this.joined = ''
      this.socket.write(joined, 'latin1')
    }
    return !this.full
  }

  /** Sends everything now: the end of the connection follows. */
  finish(): void {
    this.flush()
    this.blocks.finish()
  }

  /** Body bytes inside chunked framing (RFC 9112, section 7.1). */
  addChunk(chunk: Buffer, start: number, end: number): void {
    this.add(`${(end - start).toString(16)}\r\n`)
    this.addBytes(chunk, start, end)
    this.add('\r\n')
  }

  /** The last chunk and the trailer section. */
  addLastChunk(trailers: FieldSection | null): void {
    this.add(trailers === null ? '0\r\n\r\n' : `0\r\n${trailers.lines()}\r\n`)
  }
}

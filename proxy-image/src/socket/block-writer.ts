import type { Duplex } from 'node:stream'
import { BLOCK_BYTES, giveBack, takeBlock } from './blocks.ts'

/** What may wait for the peer to read before its sender is asked to stop, in bytes. Not less than a socket's high-water mark. */
export const UNSENT_BYTES = 256 * 1024

/** Writers that have something to send at the end of this turn. */
let dirty: BlockWriter[] = []

function flushDirty(): void {
  const writers = dirty
  dirty = []
  for (const writer of writers) writer.flush()
}

/**
 * What a socket sends, copied into blocks. A block leaves when it is full, or at the end of the turn, and one at a time: a
 * write costs more than all that is done to the bytes in it, and node puts those that wait together in memory of its own.
 */
export class BlockWriter {
  /** More than enough waits to be sent: stop until `onDrain`. */
  blocked = false
  protected readonly socket: Duplex
  protected block: Buffer | null = null
  /** Where the content of the block ends. */
  protected at = 0
  /** Counts blocks, so that a place in one can be told from the same place in the next without holding on to it. */
  protected blockNumber = 0
  private readonly onDrain: () => void
  /** Blocks behind the one that is being sent. */
  private readonly waiting: { readonly block: Buffer; readonly bytes: number }[] = []
  /** Writes of ours that are not done. */
  private underWay = 0
  private scheduled = false

  /** `onDrain` is called when `blocked` is over. */
  constructor(socket: Duplex, onDrain: () => void) {
    this.socket = socket
    this.onDrain = onDrain
  }

  /** Something waits for the end of the turn, or for what is being sent. */
  get pending(): boolean {
    return this.block !== null || this.waiting.length > 0
  }

  /** Bytes that have not left for the peer. */
  get unsentBytes(): number {
    return this.socket.writableLength + this.waiting.length * BLOCK_BYTES + this.at
  }

  copy(chunk: Buffer, start: number, end: number): void {
    let from = start
    while (from < end) {
      this.room(1)
      const copied = chunk.copy(this.block!, this.at, from, end)
      this.at += copied
      from += copied
      if (this.at === BLOCK_BYTES) this.close()
    }
  }

  /** Appends latin1 text. */
  text(text: string): void {
    let from = 0
    while (from < text.length) {
      this.room(1)
      const written = this.block!.write(from === 0 ? text : text.substring(from), this.at, 'latin1')
      this.at += written
      from += written
    }
  }

  /** Sends what was collected; while something is being sent, collecting goes on. */
  flush(): void {
    this.scheduled = false
    if (this.socket.destroyed) return this.discard()
    if (this.busy) return
    const next = this.waiting.shift()
    if (next !== undefined) this.send(next.block, next.bytes)
    else if (this.block !== null) this.sendCurrent()
  }

  /** Gives everything to the socket at once: its end follows. */
  finish(): void {
    if (this.socket.destroyed) return this.discard()
    for (const { block, bytes } of this.waiting.splice(0)) this.send(block, bytes)
    if (this.block !== null) this.sendCurrent()
  }

  /** Makes room for so many bytes in one piece, at most a block. */
  protected room(bytes: number): void {
    if (this.block !== null && this.at + bytes > BLOCK_BYTES) this.close()
    if (this.block === null) {
      this.block = takeBlock()
      this.blockNumber++
    }
    if (this.scheduled) return
    this.scheduled = true
    if (dirty.push(this) === 1) setImmediate(flushDirty)
  }

  private get busy(): boolean {
    return this.underWay > 0 && this.socket.writableLength > 0
  }

  /** The block takes no more. */
  private close(): void {
    const { socket, waiting } = this
    if (socket.destroyed) return this.discard()
    if (this.busy || waiting.length > 0) {
      waiting.push({ block: this.block!, bytes: this.at })
      this.block = null
      this.at = 0
    } else this.sendCurrent()
    this.blocked ||= this.unsentBytes >= UNSENT_BYTES
  }

  private sendCurrent(): void {
    const { block, at } = this
    this.block = null
    this.at = 0
    this.send(block!, at)
  }

  private send(block: Buffer, bytes: number): void {
    this.underWay++
    // The block goes back when the kernel (or TLS) has its content.
    this.socket.write(block.subarray(0, bytes), () => {
      giveBack(block)
      this.sent()
    })
  }

  private sent(): void {
    this.underWay--
    // What was collected in this turn leaves at its end.
    if (this.waiting.length > 0 || !this.scheduled) this.flush()
    if (!this.blocked || this.waiting.length > 0 || this.socket.writableLength >= UNSENT_BYTES) return
    this.blocked = false
    if (!this.socket.destroyed) this.onDrain()
  }

  private discard(): void {
    for (const { block } of this.waiting.splice(0)) giveBack(block)
    if (this.block !== null) giveBack(this.block)
    this.block = null
    this.at = 0
  }
}

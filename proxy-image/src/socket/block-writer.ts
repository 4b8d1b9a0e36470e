import type { Socket } from 'node:net'

const BLOCK_BYTES = 64 * 1024
/** Blocks that are kept for the next turn; a burst needs more, which are let go. */
const MAX_POOLED = 64
/** What may wait for the peer to read before its sender is asked to stop. Not less than a socket's high-water mark. */
export const UNSENT_BYTES = 256 * 1024
const pool: Buffer[] = []

/** Writers that have something to send at the end of this turn. */
let dirty: BlockWriter[] = []

function flushDirty(): void {
  const writers = dirty
  dirty = []
  for (const writer of writers) writer.flush()
}

/**
 * What a socket sends, copied into blocks of memory that are used again and again; a block leaves when it is full, or at the
 * end of the turn. A write costs more than all that is done to the bytes in it.
 */
export class BlockWriter {
  /** More than enough waits to be sent: stop until the socket's drain. */
  blocked = false
  protected readonly socket: Socket
  protected block: Buffer | null = null
  /** Where the content of the block ends. */
  protected at = 0
  private scheduled = false

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** Something waits for the end of the turn. */
  get pending(): boolean {
    return this.block !== null
  }

  copy(chunk: Buffer, start: number, end: number): void {
    let from = start
    while (from < end) {
      this.room(1)
      const copied = chunk.copy(this.block!, this.at, from, end)
      this.at += copied
      from += copied
      if (this.at === BLOCK_BYTES) this.flush()
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

  /** Sends what was collected. */
  flush(): void {
    this.scheduled = false
    const { block, at, socket } = this
    this.block = null
    this.at = 0
    if (block === null) return
    if (socket.destroyed || at === 0) {
      giveBack(block)
      return
    }
    // A peer that does not read must not make every few bytes hold a whole block.
    if (at < BLOCK_BYTES / 4 && socket.writableLength > 0) {
      socket.write(Buffer.from(block.subarray(0, at)))
      giveBack(block)
      // A block goes back when the kernel (or TLS) has its content.
    } else socket.write(block.subarray(0, at), () => giveBack(block))
    this.blocked = socket.writableLength >= UNSENT_BYTES
  }

  /** Makes room for so many bytes in one piece, at most a block. */
  protected room(bytes: number): void {
    if (this.block !== null && this.at + bytes > BLOCK_BYTES) this.flush()
    this.block ??= pool.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    if (this.scheduled) return
    this.scheduled = true
    if (dirty.push(this) === 1) setImmediate(flushDirty)
  }
}

function giveBack(block: Buffer): void {
  if (pool.length < MAX_POOLED) pool.push(block)
}

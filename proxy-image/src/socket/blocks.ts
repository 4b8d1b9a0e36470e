/** The size of a block, in bytes: what the kernel takes from a fast reader in one go. */
export const BLOCK_BYTES = 64 * 1024
/** The size of a piece, in bytes: of what waits for long there may be much, a little of each. */
const PIECE_BYTES = 16 * 1024
/** Blocks, and pieces, that are kept for later; a burst needs more, which are let go. */
const MAX_POOLED = 64
const blocks: Buffer[] = []
const pieces: Buffer[] = []

/** Memory for bytes on their way, used again and again: allocating it anew is what makes a garbage collector work. */
export function takeBlock(): Buffer {
  return blocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
}

export function takePiece(): Buffer {
  return pieces.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES)
}

/** Nobody reads the block or piece any more. Memory of another size goes the way of all garbage. */
export function giveBack(memory: Buffer): void {
  const pool = memory.length === BLOCK_BYTES ? blocks : memory.length === PIECE_BYTES ? pieces : null
  if (pool !== null && pool.length < MAX_POOLED) pool.push(memory)
}

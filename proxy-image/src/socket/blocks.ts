/** The size of a block, in bytes: what the kernel takes from a fast reader in one go. */
export const BLOCK_BYTES = 64 * 1024
/** Blocks that are kept for later; a burst needs more, which are let go. */
const MAX_POOLED = 64
const pool: Buffer[] = []

/** Memory for bytes on their way, used again and again: allocating it anew is what makes a garbage collector work. */
export function takeBlock(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
}

/** Nobody reads the block any more. */
export function giveBlock(block: Buffer): void {
  if (pool.length < MAX_POOLED) pool.push(block)
}

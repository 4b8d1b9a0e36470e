import { EOS, HUFFMAN_CODES } from './huffman-table.ts'

/**
 * A machine that reads four bits a step (RFC 7541, section 5.2). An entry holds the next state, the byte that the step
 * completes if any, whether a string may end after it, and whether it is an error.
 */
const EMIT = 1 << 16
const ACCEPT = 1 << 17
const FAIL = 1 << 18
const ROOT = 0
/** A complete code in the tree: the byte, as a negative number. */
type Child = number | undefined

const MACHINE = buildMachine()

function buildMachine(): Int32Array {
  const children: [Child, Child][] = [[undefined, undefined]]
  const depths = [0]
  const onlyOnes = [true]
  const add = ([code, bits]: readonly [number, number], symbol: number): void => {
    let node = ROOT
    for (let bit = bits - 1; bit >= 0; bit--) {
      const side = ((code >>> bit) & 1) as 0 | 1
      if (bit === 0) {
        children[node]![side] = ~symbol
        return
      }
      let next = children[node]![side]
      if (next === undefined) {
        next = children.push([undefined, undefined]) - 1
        depths.push(depths[node]! + 1)
        onlyOnes.push(onlyOnes[node]! && side === 1)
        children[node]![side] = next
      }
      node = next
    }
  }
  HUFFMAN_CODES.forEach((code, byte) => {
    add(code, byte)
  })
  add(EOS, 256)
  const machine = new Int32Array(children.length * 16)
  for (let state = 0; state < children.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) machine[(state << 4) | nibble] = step(state, nibble)
  }
  return machine

  function step(state: number, nibble: number): number {
    let node = state
    let entry = 0
    for (let bit = 3; bit >= 0; bit--) {
      const child = children[node]![((nibble >> bit) & 1) as 0 | 1]
      if (child === undefined || child === ~256) return FAIL
      if (child < 0) {
        entry |= EMIT | (~child << 8)
        node = ROOT
      } else node = child
    }
    // Padding is the beginning of EOS, shorter than a byte.
    const mayEnd = depths[node]! <= 7 && onlyOnes[node]!
    return entry | node | (mayEnd ? ACCEPT : 0)
  }
}

/** The shortest code has five bits, so that a string grows by less than two. */
const MAX_GROWTH = 2

/**
 * Decodes `from[start, end)` to the beginning of `to`, which has room for twice as many bytes. Returns the length, or -1
 * for what is no Huffman code: padding of a byte and more, padding that is not all ones, EOS.
 */
export function decodeHuffman(from: Uint8Array, start: number, end: number, to: Uint8Array): number {
  if ((end - start) * MAX_GROWTH > to.length) return -1
  let state = ROOT
  let entry = ACCEPT
  let length = 0
  for (let at = start; at < end; at++) {
    const byte = from[at]!
    entry = MACHINE[(state << 4) | (byte >> 4)]!
    if ((entry & FAIL) !== 0) return -1
    if ((entry & EMIT) !== 0) to[length++] = (entry >> 8) & 0xff
    entry = MACHINE[((entry & 0xff) << 4) | (byte & 15)]!
    if ((entry & FAIL) !== 0) return -1
    if ((entry & EMIT) !== 0) to[length++] = (entry >> 8) & 0xff
    state = entry & 0xff
  }
  return (entry & ACCEPT) === 0 ? -1 : length
}

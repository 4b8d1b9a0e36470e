/** Integers of HPACK (RFC 7541, section 5.1). */

/** Where the integer that was read last ended. */
export const cursor = { at: 0 }

/** Five octets hold 2^28 and more: no length or index is so large. */
const MAX_SHIFT = 21

/** Reads an integer with a prefix of `mask` at `at`, and moves the cursor behind it. Returns -1 for a broken one. */
export function readInteger(from: Uint8Array, at: number, end: number, mask: number): number {
  let next = at
  if (next >= end) return -1
  let value = from[next++]! & mask
  if (value === mask) {
    let shift = 0
    let octet: number
    do {
      if (next >= end || shift > MAX_SHIFT) return -1
      octet = from[next++]!
      value += (octet & 127) << shift
      shift += 7
    } while ((octet & 128) !== 0)
  }
  cursor.at = next
  return value
}

/** Writes an integer; `first` are the bits before the prefix. Returns the position behind it. */
export function writeInteger(to: Uint8Array, at: number, first: number, mask: number, value: number): number {
  let next = at
  if (value < mask) {
    to[next++] = first | value
    return next
  }
  to[next++] = first | mask
  let rest = value - mask
  while (rest > 127) {
    to[next++] = (rest & 127) | 128
    rest >>>= 7
  }
  to[next++] = rest
  return next
}

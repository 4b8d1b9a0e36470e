import { createHash } from 'node:crypto'

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const HASH_CHARACTERS = 32

/**
 * The name under which peers ask a mesh port for one app port of a virtual node: `p<port>.<hash>.weft.internal`. The
 * hash is the first 32 characters of base32 (RFC 4648, lower case) of SHA-256 of `mesh/node`, because App Mesh names are
 * longer than a DNS label may be.
 */
export function sniFor(mesh: string, node: string, port: number): string {
  const digest = createHash('sha256').update(`${mesh}/${node}`).digest()
  return `p${port}.${base32(digest).slice(0, HASH_CHARACTERS)}.weft.internal`
}

function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += BASE32[(value >>> bits) & 31]
    }
    value &= (1 << bits) - 1
  }
  return text
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * A request ID in the form of a version 4 UUID (RFC 9562). It tells requests apart and guards nothing, so it need not
 * come from the system's generator, which would be one in forty instructions of a request.
 */
export function requestId(): string {
  const a = (Math.random() * 0x1_0000_0000) >>> 0
  const b = (Math.random() * 0x1_0000_0000) >>> 0
  const c = (Math.random() * 0x1_0000_0000) >>> 0
  const d = (Math.random() * 0x1_0000_0000) >>> 0
  return (
    `${HEX[a >>> 24]}${HEX[(a >>> 16) & 255]}${HEX[(a >>> 8) & 255]}${HEX[a & 255]}-` +
    `${HEX[b >>> 24]}${HEX[(b >>> 16) & 255]}-${HEX[((b >>> 8) & 15) | 64]}${HEX[b & 255]}-` +
    `${HEX[((c >>> 24) & 63) | 128]}${HEX[(c >>> 16) & 255]}-` +
    `${HEX[(c >>> 8) & 255]}${HEX[c & 255]}${HEX[d >>> 24]}${HEX[(d >>> 16) & 255]}${HEX[(d >>> 8) & 255]}${HEX[d & 255]}`
  )
}

const HEX_DIGITS = Buffer.from('0123456789abcdef')
/** The text of the last ID; every call writes over it and copies it out as one flat string. */
const TEXT = Buffer.alloc(36, '-')

/**
 * A request ID in the form of a version 4 UUID (RFC 9562). It tells requests apart and guards nothing, so it need not
 * come from the system's generator, which costs more than parsing the request.
 */
export function requestId(): string {
  put(0, 8, random32())
  const middle = random32()
  put(9, 4, middle)
  put(14, 4, ((middle >>> 16) & 0x0fff) | 0x4000)
  const tail = random32()
  put(19, 4, (tail & 0x3fff) | 0x8000)
  put(24, 4, tail >>> 16)
  put(28, 8, random32())
  return TEXT.toString('latin1')
}

function random32(): number {
  return (Math.random() * 0x1_0000_0000) >>> 0
}

/** Writes the low `digits` hexadecimal digits of a number. */
function put(at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    TEXT[i] = HEX_DIGITS[rest & 15]!
    rest >>>= 4
  }
}

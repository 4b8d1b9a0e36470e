/**
 * What the first bytes of a connection are. `serverName` is in lower case, null where the client asks for none.
 * `malformed`: they begin as a ClientHello and then break its grammar.
 */
export type Hello =
  | { readonly kind: 'tls'; readonly serverName: string | null }
  | { readonly kind: 'plain' }
  | { readonly kind: 'malformed'; readonly why: string }
  | { readonly kind: 'too-large' }

/** Bytes of a ClientHello, record headers included. One with a post-quantum key share has 2 kB. */
const MAX_HELLO = 16_384

const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
/** RFC 8446, section 5.1 */
const MAX_RECORD = 16_384
/** ContentType handshake, HandshakeType client_hello, ExtensionType server_name, NameType host_name */
const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0

/** RFC 6066 wants a DNS name; what real clients ask for besides (underscores, addresses) names nobody, but breaks nothing. */
const HOST = /^[a-z0-9._-]{1,255}$/

/**
 * Reads the ClientHello at the beginning of a connection (RFC 8446, section 4.1.2), in whatever pieces and records it comes.
 * Its memory is that of the bytes it was given; lengths in them allocate nothing.
 */
export class ClientHelloReader {
  /** What came so far is the first {@link length} bytes of it. */
  private buffer: Buffer = Buffer.alloc(0)
  private length = 0
  /** Where the record begins that is not whole yet, and the bytes of the message in the whole ones before. */
  private recordAt = 0
  private inRecords = 0
  /** Of the message with its header; 0: not known yet. */
  private messageLength = 0

  /** Everything that was pushed. */
  get bytes(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  /** Takes the next bytes; null: more are needed to tell. Not to be called after a verdict. */
  push(chunk: Buffer): Hello | null {
    this.append(chunk)
    try {
      const verdict = this.read()
      return verdict === null && this.length >= MAX_HELLO ? { kind: 'too-large' } : verdict
    } catch (error) {
      if (error instanceof Malformed) return { kind: 'malformed', why: error.message }
      throw error
    }
  }

  private append(chunk: Buffer): void {
    if (this.length === 0) {
      this.buffer = chunk
    } else {
      const needed = this.length + chunk.length
      if (needed > this.buffer.length) {
        const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.buffer.length))
        this.buffer.copy(larger, 0, 0, this.length)
        this.buffer = larger
      }
      chunk.copy(this.buffer, this.length)
    }
    this.length += chunk.length
  }

  private read(): Hello | null {
    const { buffer, length } = this
    if (length > 0 && buffer[0] !== HANDSHAKE) return { kind: 'plain' }
    if (length > 1 && buffer[1] !== 3) return { kind: 'plain' }
    while (this.recordAt + RECORD_HEADER <= length) {
      if (this.recordAt >= MAX_HELLO) return { kind: 'too-large' }
      const size = recordSize(buffer, this.recordAt)
      const end = this.recordAt + RECORD_HEADER + size
      const arrived = this.inRecords + Math.min(size, length - this.recordAt - RECORD_HEADER)
      if (this.messageLength === 0 && arrived >= HANDSHAKE_HEADER) this.measure()
      if (this.messageLength > MAX_HELLO) return { kind: 'too-large' }
      // What is behind the message is none of ours.
      if (this.messageLength !== 0 && arrived >= this.messageLength) return this.verdict()
      if (end > length) return null
      this.recordAt = end
      this.inRecords += size
    }
    return null
  }

  private verdict(): Hello {
    const { bytes, end } = this.message(this.messageLength)
    if (end > MAX_HELLO) return { kind: 'too-large' }
    return { kind: 'tls', serverName: serverNameOf(bytes.subarray(HANDSHAKE_HEADER)) }
  }

  private measure(): void {
    const header = this.message(HANDSHAKE_HEADER).bytes
    if (header[0] !== CLIENT_HELLO) throw new Malformed('the first message is no ClientHello')
    this.messageLength = HANDSHAKE_HEADER + header.readUIntBE(1, 3)
  }

  /** The first bytes of the message, which are there, and where in the records they end. */
  private message(size: number): { readonly bytes: Buffer; readonly end: number } {
    const { buffer } = this
    const parts: Buffer[] = []
    let missing = size
    let [at, end] = [0, 0]
    while (missing > 0) {
      const length = recordSize(buffer, at)
      at += RECORD_HEADER
      end = at + Math.min(length, missing)
      parts.push(buffer.subarray(at, end))
      missing -= end - at
      at += length
    }
    return { bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts), end }
  }
}

class Malformed extends Error {}

/** The length of a record's fragment. A message in several records has no other ones between (RFC 8446, section 5.1). */
function recordSize(buffer: Buffer, at: number): number {
  if (buffer[at] !== HANDSHAKE || buffer[at + 1] !== 3)
    throw new Malformed('another record stands inside of the ClientHello')
  const size = buffer.readUInt16BE(at + 3)
  if (size === 0 || size > MAX_RECORD) throw new Malformed('a record has no valid length')
  return size
}

/** The server name that the body of a ClientHello asks for (RFC 6066, section 3), or null. */
function serverNameOf(body: Buffer): string | null {
  const hello = new Fields(body)
  if (hello.number(2) >> 8 !== 3) throw new Malformed('the version is none of TLS')
  hello.take(32)
  if (hello.vector(1).left > 32) throw new Malformed('the session id is too long')
  const suites = hello.vector(2).left
  if (suites === 0 || suites % 2 !== 0) throw new Malformed('the cipher suites are no list of pairs')
  if (hello.vector(1).left === 0) throw new Malformed('there is no compression method')
  // TLS 1.2 and earlier know a ClientHello without extensions.
  if (hello.left === 0) return null
  const extensions = hello.vector(2)
  if (hello.left > 0) throw new Malformed('bytes follow the extensions')
  const seen = new Set<number>()
  let name: string | null = null
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const content = extensions.vector(2)
    if (seen.has(type)) throw new Malformed(`extension ${type} is there twice`)
    seen.add(type)
    if (type === SERVER_NAME) name = hostNameOf(content)
  }
  return name
}

function hostNameOf(extension: Fields): string | null {
  const names = extension.vector(2)
  if (names.left === 0 || extension.left > 0) throw new Malformed('the list of server names has no valid length')
  let host: string | null = null
  while (names.left > 0) {
    const type = names.number(1)
    // Every other type of name begins with its length as well.
    const name = names.vector(2)
    if (type !== HOST_NAME) continue
    if (host !== null) throw new Malformed('there are two host names')
    host = name.take(name.left).toString('latin1').toLowerCase()
    if (!HOST.test(host)) throw new Malformed('the server name is no host name')
  }
  return host
}

/** The fields of a message, one after the other, none beyond its end. */
class Fields {
  private readonly bytes: Buffer
  private at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get left(): number {
    return this.bytes.length - this.at
  }

  take(size: number): Buffer {
    if (size > this.left) throw new Malformed('a length points behind the end')
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size)
  }

  /** A field with its length before it. */
  vector(size: 1 | 2): Fields {
    return new Fields(this.take(this.number(size)))
  }
}

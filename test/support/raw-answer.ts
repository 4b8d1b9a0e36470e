/** One response as it stands in the bytes that a client received. */
export interface RawAnswer {
  readonly status: number
  readonly version: string
  readonly head: string
  /** By lower-case name; several lines joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly trailers: string
  /** Whether the client can know that it has all of it. */
  readonly complete: boolean
}

/** Reads responses as a strict client does. Throws for bytes that are no HTTP/1.1 response. `methods`: of the requests. */
export function readAnswers(bytes: string, methods: readonly string[], closed: boolean): RawAnswer[] {
  const answers: RawAnswer[] = []
  let at = 0
  let request = 0
  while (at < bytes.length) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) break
    const head = bytes.slice(at, end)
    const [statusLine, ...lines] = head.split('\r\n')
    const match = /^(HTTP\/1\.[01]) (\d{3}) /.exec(statusLine!)
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`)
    const headers: Record<string, string> = Object.create(null)
    for (const line of lines) {
      const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line)
      if (field === null) throw new Error(`not a field line: ${JSON.stringify(line)}`)
      const name = field[1]!.toLowerCase()
      headers[name] = headers[name] === undefined ? field[2]! : `${headers[name]}, ${field[2]}`
    }
    const status = Number(match[2])
    const body = readBody(bytes, end + 4, { status, headers, method: methods[request] ?? 'GET', closed })
    answers.push({ status, version: match[1]!, head, headers, ...body })
    if (!body.complete) break
    if (status >= 200) request++
    at = body.end
  }
  return answers
}

interface Body {
  readonly body: string
  readonly trailers: string
  readonly complete: boolean
  readonly end: number
}

function readBody(
  bytes: string,
  start: number,
  head: { status: number; headers: Readonly<Record<string, string>>; method: string; closed: boolean },
): Body {
  const { status, headers, method, closed } = head
  const coding = headers['transfer-encoding']
  const length = headers['content-length']
  if (coding !== undefined && length !== undefined) throw new Error('both Content-Length and Transfer-Encoding')
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') {
    return { body: '', trailers: '', complete: true, end: start }
  }
  if (coding !== undefined) {
    if (coding !== 'chunked') throw new Error(`transfer coding ${coding}`)
    return readChunked(bytes, start)
  }
  if (length !== undefined) {
    if (!/^\d+$/.test(length)) throw new Error(`Content-Length ${length}`)
    const end = start + Number(length)
    return { body: bytes.slice(start, end), trailers: '', complete: bytes.length >= end, end }
  }
  return { body: bytes.slice(start), trailers: '', complete: closed, end: bytes.length }
}

function readChunked(bytes: string, start: number): Body {
  let at = start
  let body = ''
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return { body, trailers: '', complete: false, end: bytes.length }
    const text = bytes.slice(at, lineEnd)
    if (!/^[0-9a-f]+$/i.test(text)) throw new Error(`not a chunk size: ${JSON.stringify(text)}`)
    const size = Number.parseInt(text, 16)
    at = lineEnd + 2
    if (size === 0) break
    body += bytes.slice(at, at + size)
    if (bytes.length < at + size + 2) return { body, trailers: '', complete: false, end: bytes.length }
    if (bytes.slice(at + size, at + size + 2) !== '\r\n') throw new Error('chunk longer than its size')
    at += size + 2
  }
  if (bytes.startsWith('\r\n', at)) return { body, trailers: '', complete: true, end: at + 2 }
  const end = bytes.indexOf('\r\n\r\n', at)
  if (end < 0) return { body, trailers: '', complete: false, end: bytes.length }
  return { body, trailers: bytes.slice(at, end), complete: true, end: end + 4 }
}

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw, talk } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

let upstream: RawUpstream
let proxy: RunningServing
let port: number

beforeAll(async () => {
  upstream = await startUpstream()
  port = await freePort()
  proxy = await startServing(oneWay(port, upstream.port))
})
afterAll(async () => {
  await proxy.close()
  upstream.close()
})

/** The status of the one answer, after the connection was closed and nothing reached the upstream. */
async function refusal(bytes: string): Promise<number | undefined> {
  const before = upstream.seen
  const client = await talk(port, bytes)
  const [answer, ...more] = await client.answers(client.received === '' ? 0 : 1)
  expect(more).toEqual([])
  if (answer !== undefined) expect(answer.headers.connection).toBe('close')
  // What is on its way to the upstream arrives within a turn or two on loopback.
  await new Promise((resolve) => setTimeout(resolve, 10))
  expect(upstream.seen).toBe(before)
  return answer?.status
}

const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\n'
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`
const fields = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: 1\r\n`).join('')

describe('a request that two servers could read differently is refused, and no byte of it is forwarded', () => {
  const cases: readonly (readonly [string, string, number])[] = [
    // RFC 9112, section 6.3: the framing
    [
      'Content-Length and Transfer-Encoding',
      `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'Transfer-Encoding and Content-Length',
      `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['two equal Content-Lengths', `${HEAD}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 400],
    ['two different Content-Lengths', `${HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`, 400],
    ['a list of Content-Lengths', `${HEAD}Content-Length: 5, 5\r\n\r\nhello`, 400],
    ['a signed Content-Length', `${HEAD}Content-Length: +5\r\n\r\nhello`, 400],
    ['a negative Content-Length', `${HEAD}Content-Length: -5\r\n\r\nhello`, 400],
    ['a hexadecimal Content-Length', `${HEAD}Content-Length: 0x5\r\n\r\nhello`, 400],
    ['a Content-Length with a space inside', `${HEAD}Content-Length: 5 5\r\n\r\nhello`, 400],
    ['a Content-Length that no number holds', `${HEAD}Content-Length: 99999999999999999999\r\n\r\nhello`, 400],
    ['an empty Content-Length', `${HEAD}Content-Length:\r\n\r\nhello`, 400],
    ['a Content-Length with a letter', `${HEAD}Content-Length: 5a\r\n\r\nhello`, 400],
    ['a fraction as Content-Length', `${HEAD}Content-Length: 5.0\r\n\r\nhello`, 400],
    ['gzip alone as transfer coding', `${HEAD}Transfer-Encoding: gzip\r\n\r\nhello`, 400],
    ['chunked before gzip', `${HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 400],
    ['gzip before chunked', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
    ['chunked twice', `${HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunked in two fields', `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [
      'identity after chunked in a second field',
      `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['identity as transfer coding', `${HEAD}Transfer-Encoding: identity\r\n\r\n`, 400],
    ['a coding that ends in chunked', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunked and a vertical tab', `${HEAD}Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n`, 400],
    ['a vertical tab and chunked', `${HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunked in quotes', `${HEAD}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 400],
    ['chunked with a parameter', `${HEAD}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`, 400],
    ['a space before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, 400],
    ['Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['an empty Transfer-Encoding', `${HEAD}Transfer-Encoding:\r\n\r\n`, 400],
    // RFC 9112, section 7.1: the chunks
    ['an empty chunk size', `${CHUNKED}\r\nhello\r\n0\r\n\r\n`, 400],
    ['a negative chunk size', `${CHUNKED}-1\r\nhello\r\n0\r\n\r\n`, 400],
    ['a chunk size with 0x', `${CHUNKED}0x10\r\nhello\r\n0\r\n\r\n`, 400],
    ['a chunk size of 17 hexadecimal digits', `${CHUNKED}10000000000000005\r\nhello\r\n0\r\n\r\n`, 400],
    ['leading zeros beyond any size', `${CHUNKED}00000000000000000005\r\nhello\r\n0\r\n\r\n`, 400],
    ['a NUL in a chunk extension', `${CHUNKED}5;\0\r\nhello\r\n0\r\n\r\n`, 400],
    ['a bare LF after a chunk size', `${CHUNKED}5\nhello\r\n0\r\n\r\n`, 400],
    ['a bare LF in a chunk extension', `${CHUNKED}5;a\nhello\r\n0\r\n\r\n`, 400],
    ['a bare CR after a chunk size', `${CHUNKED}5\rhello\r\n0\r\n\r\n`, 400],
    ['no CRLF after chunk data', `${CHUNKED}5\r\nhello0\r\n\r\n`, 400],
    ['a bare LF after chunk data', `${CHUNKED}5\r\nhello\n0\r\n\r\n`, 400],
    ['more chunk data than its size', `${CHUNKED}5\r\nhello!\r\n0\r\n\r\n`, 400],
    ['chunk extensions without an end', `${CHUNKED}5;${'a'.repeat(1000)}\r\nhello\r\n0\r\n\r\n`, 400],
    ['a folded trailer', `${CHUNKED}0\r\nX: 1\r\n 2\r\n\r\n`, 400],
    ['a trailer without a name', `${CHUNKED}0\r\n: 1\r\n\r\n`, 400],
    ['trailers of 70 KiB', `${CHUNKED}0\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`, 400],
    // RFC 9112, section 5: the fields
    ['obs-fold', `${HEAD}X: 1\r\n 2\r\n\r\n`, 400],
    ['obs-fold by tab', `${HEAD}X: 1\r\n\t2\r\n\r\n`, 400],
    ['whitespace before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
    ['bare LF line ends', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['one bare LF', 'GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n', 400],
    ['a bare CR in a value', `${HEAD}X: 1\r2\r\n\r\n`, 400],
    ['a bare CR in the request line', 'GET / HTTP/1.1\rHost: a\r\nHost: a\r\n\r\n', 400],
    ['a NUL in a value', `${HEAD}X: \0\r\n\r\n`, 400],
    ['a NUL in a name', `${HEAD}X\0: 1\r\n\r\n`, 400],
    ['a control character in a value', `${HEAD}X: \x01\r\n\r\n`, 400],
    ['DEL in a value', `${HEAD}X: \x7f\r\n\r\n`, 400],
    ['a space before a colon', `${HEAD}X : 1\r\n\r\n`, 400],
    ['a field without a name', `${HEAD}: 1\r\n\r\n`, 400],
    ['a field without a colon', `${HEAD}X\r\n\r\n`, 400],
    ['a name with a space', `${HEAD}X Y: 1\r\n\r\n`, 400],
    ['a name beyond ASCII', `${HEAD}X\xe4: 1\r\n\r\n`, 400],
    ['an unknown expectation', `${HEAD}Expect: money\r\n\r\n`, 400],
    // RFC 9112, section 3.2: Host
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
    ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
    ['a Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a Host with user information', 'GET / HTTP/1.1\r\nHost: me@a\r\n\r\n', 400],
    ['a Host with a comma', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n', 400],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['a Host with a port that does not exist', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n', 400],
    ['a Host with a port that is no number', 'GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n', 400],
    ['an absolute target with user information', 'GET http://me@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an absolute target without a host', 'GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an absolute target and an invalid Host', 'GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    // RFC 9112, section 3: the request line
    ['an invalid method', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an empty method', ' / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['two spaces', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a space inside the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a tab for a space', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a target beyond ASCII', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a target with a fragment', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a target that is no path', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an asterisk for GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['whitespace after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400],
    ['a lower-case version', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
    ['a version with two digits', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400],
    ['HTTP/0.9', 'GET /\r\n\r\n', 400],
    ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\n\r\n', 505],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 501],
    ['CONNECT with a path', 'CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
    ['nothing but empty lines', '\r\n\r\n\r\n\r\n', 400],
    // Limits
    ['a head of 60 KiB and more', `${HEAD}X: ${'a'.repeat(61 * 1024)}\r\n\r\n`, 431],
    ['a head that never ends', `${HEAD}X: ${'a'.repeat(61 * 1024)}`, 431],
    ['a target of 60 KiB and more', `GET /${'a'.repeat(61 * 1024)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    ['101 fields', `${HEAD}${fields(100)}\r\n`, 431],
    // Something else altogether
    ['the first bytes of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
  ]
  it.each(cases)('%s', async (_name, bytes, status) => {
    expect(await refusal(bytes)).toBe(status)
  })
})

describe('what looks odd but is allowed reaches the upstream', () => {
  async function forwarded(bytes: string): Promise<string> {
    const before = upstream.requests.length
    const client = await connectRaw(port)
    client.send(bytes)
    expect((await client.answer()).status).toBe(200)
    client.close()
    expect(upstream.requests.length).toBe(before + 1)
    return upstream.requests.at(-1)!.head
  }

  it('a head just under the limits', async () => {
    await forwarded(`GET / HTTP/1.1\r\nHost: a\r\n${fields(98)}X: ${'a'.repeat(59_000)}\r\n\r\n`)
  })
  it.each(['get', 'PROPFIND', '__proto__', 'constructor', 'hasOwnProperty', 'ALL', 'X-HEAD', '*'])(
    'the method %s',
    async (method) => {
      expect(await forwarded(`${method} /x HTTP/1.1\r\nHost: a\r\n\r\n`)).toMatch(`${method} /x HTTP/1.1\r\n`)
    },
  )
  it.each(['/*', '/:id', '/a/../b', '/%2e%2e/%00', '//a', '/?a=?b', '/a;b=c', '/{x}'])(
    'the target %s, as it is',
    async (target) => {
      expect(await forwarded(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)).toMatch(`GET ${target} HTTP/1.1\r\n`)
    },
  )
  it('an empty line before the request', async () => {
    expect(await forwarded('\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n')).toMatch(/^GET \/x /)
  })
  it('bytes over ASCII in a value, unchanged', async () => {
    expect(await forwarded('GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\xff\t1\r\n\r\n')).toContain('X: \xe4\xff\t1')
  })
  it.each(['a.example:8080', '[::1]:80', '127.0.0.1', 'A.Example', 'a_b'])('the Host %s', async (host) => {
    expect(await forwarded(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toContain(`Host: ${host}\r\n`)
  })
  it('Upgrade is not passed on, and the request is answered as any other', async () => {
    const head = await forwarded('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    expect(head).not.toMatch(/upgrade/i)
  })
})

describe('the target wins over Host', () => {
  it('the Host that an absolute target overrides is not forwarded (RFC 9112, section 3.2.2)', async () => {
    const client = await connectRaw(port)
    client.send('GET http://right.example/x?y=1 HTTP/1.1\r\nHost: wrong.example\r\nX: 1\r\n\r\n')
    await client.answer()
    client.close()
    const { head, headers, target } = upstream.requests.at(-1)!
    expect(target).toBe('/x?y=1')
    expect(headers.host).toBe('right.example')
    expect(head).not.toContain('wrong.example')
  })
})

describe('Connection takes away only what may go', () => {
  it('naming Host, Content-Length or Transfer-Encoding there changes neither routing nor framing', async () => {
    const client = await connectRaw(port)
    client.send(
      'POST /a HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, transfer-encoding\r\nContent-Length: 26\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n',
    )
    await client.answer()
    client.close()
    const { headers, body } = upstream.requests.at(-1)!
    expect(headers.host).toBe('a')
    expect(headers['content-length']).toBe('26')
    expect(body).toBe('GET /b HTTP/1.1\r\nHost: b\r\n')
  })
  it('fields that the gateway itself vouches for come back when Connection takes them away', async () => {
    const client = await connectRaw(port)
    client.send(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: x-request-id, x-forwarded-proto, x-forwarded-for\r\nX-Request-Id: 1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n',
    )
    await client.answer()
    client.close()
    const { headers } = upstream.requests.at(-1)!
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(headers['x-forwarded-proto']).toBe('http')
    expect(headers['x-forwarded-for']).toBe('127.0.0.1')
  })
})

it('refused requests are counted by reason', () => {
  const listener = `gateway/gate:${port}`
  for (const reason of ['bad_request', 'head_too_large', 'not_implemented', 'version_not_supported']) {
    expect(proxy.count('weft_request_errors_total', { listener, reason }), reason).toBeGreaterThan(0)
  }
})

import { describe, expect, it } from 'vitest'
import { parseRequestHead, parseResponseHead } from '../../../../proxy-image/src/codec/http1/head.ts'
import { CHUNKED, UNTIL_CLOSE } from '../../../../proxy-image/src/codec/message.ts'
import { ProxyError } from '../../../../proxy-image/src/errors.ts'

function request(head: string) {
  const parsed = parseRequestHead(`${head}\r\n\r\n`, 0, head.length)
  if (parsed instanceof ProxyError) throw parsed
  return parsed
}

function response(head: string, method = 'GET') {
  const parsed = parseResponseHead(`${head}\r\n\r\n`, 0, head.length, method)
  if (parsed instanceof ProxyError) throw parsed
  return parsed
}

describe('a request head', () => {
  it.each([
    ['/a?b', 'x', '/a?b', 'x', 'http'],
    ['http://y:8/a', 'x', '/a', 'y:8', 'http'],
    ['HTTPS://Y', 'x', '/', 'Y', 'https'],
    ['http://y?q', 'x', '/?q', 'y', 'http'],
  ])('%s with Host %s', (target, host, origin, authority, scheme) => {
    expect(request(`GET ${target} HTTP/1.1\r\nHost: ${host}`)).toMatchObject({
      target: origin,
      authority,
      hostField: host,
      scheme,
    })
  })
  it.each(['x:65535', 'x:0', 'x:080', '[2001:db8::1]:443'])('takes the Host %s', (host) => {
    expect(request(`GET / HTTP/1.1\r\nHost: ${host}`).authority).toBe(host)
  })
  it.each(['x:65536', 'x:99999', 'x:655350', 'x:-1', 'x:', '[::1', '::1', '[x]', 'a,b', 'a"b', 'a\\b'])(
    'refuses the Host %s',
    (host) => {
      expect(() => request(`GET / HTTP/1.1\r\nHost: ${host}`)).toThrow('invalid Host')
    },
  )
  it('knows the fields that it will not forward, and only those', () => {
    const { fields } = request('GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nTE: x\r\nX: 2')
    expect(fields.lines()).toBe('Host: a\r\nX: 2\r\n')
    expect(fields.forwards('x-mine')).toBe(false)
    expect(fields.get('x-mine')).toBe('1')
    expect(fields.forwards('x')).toBe(true)
  })
  it.each([
    ['HTTP/1.1\r\nHost: a', true],
    ['HTTP/1.1\r\nHost: a\r\nConnection: close', false],
    ['HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE', false],
    ['HTTP/1.0', false],
    ['HTTP/1.0\r\nConnection: Keep-Alive', true],
    ['HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close', false],
  ])('%j keeps its connection: %s', (rest, keepAlive) => {
    expect(request(`GET / ${rest}`).keepAlive).toBe(keepAlive)
  })
})

describe('a response head', () => {
  it.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 5', 'GET', 5],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'GET', CHUNKED],
    ['HTTP/1.1 200 OK', 'GET', UNTIL_CLOSE],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5', 'HEAD', 0],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'HEAD', 0],
    ['HTTP/1.1 204 No\r\nContent-Length: 5', 'GET', 0],
    ['HTTP/1.1 304 Not\r\nContent-Length: 5', 'GET', 0],
    ['HTTP/1.1 103 Hints', 'GET', 0],
    ['HTTP/1.0 200 OK', 'GET', UNTIL_CLOSE],
  ])('%j to %s has %i bytes', (head, method, bytes) => {
    expect(response(head, method).bodyLength).toBe(bytes)
  })
  it('may lack its phrase, and the space before it', () => {
    expect(response('HTTP/1.1 200 ').phrase).toBe('')
    expect(response('HTTP/1.1 200').phrase).toBe('')
  })
  it.each(['HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1  200 OK', 'HTTP/1.1 600 X', 'ICY 200 OK', 'HTTP/1.1 200OK'])(
    'refuses %j',
    (head) => {
      expect(() => response(head)).toThrow()
    },
  )
})

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectRaw } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay } from '../support/snapshots.ts'

let upstream: RawUpstream
let proxy: RunningServing
let port: number
const MB = 1024 * 1024

beforeAll(async () => {
  upstream = await startUpstream()
  port = await freePort()
  proxy = await startServing(oneWay(port, upstream.port))
})
beforeEach(() => {
  upstream.script = {}
})
afterAll(async () => {
  await proxy.close()
  upstream.close()
})

const get = (extra = '', version = '1.1', method = 'GET'): string =>
  `${method} / HTTP/${version}\r\nHost: a\r\n${extra}\r\n`
const answering = (bytes: string, then: 'keep' | 'fin' = 'keep'): void => {
  upstream.script = {
    onRequest: (_request, connection) => {
      connection.send(bytes)
      if (then === 'fin') connection.socket.end()
    },
  }
}
async function ask(bytes: string, method = 'GET') {
  const client = await connectRaw(port)
  client.send(bytes)
  const answer = await client.answer(method)
  return { client, answer }
}

describe('request bodies', () => {
  it('Content-Length: 0 is forwarded as it is', async () => {
    const { client } = await ask('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n')
    expect(upstream.requests.at(-1)!.headers['content-length']).toBe('0')
    client.close()
  })
  it('a chunked body with trailers and extensions keeps its bytes and trailers, and loses its extensions', async () => {
    const { client } = await ask(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nHost: evil\r\n\r\n',
    )
    const { body, trailers, headers } = upstream.requests.at(-1)!
    expect(body).toBe('abc0123456789')
    expect(trailers).toBe('X-Sum: 7')
    expect(headers['transfer-encoding']).toBe('chunked')
    expect(headers['content-length']).toBeUndefined()
    client.close()
  })
  it('an empty chunked body', async () => {
    const { client } = await ask('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
    expect(upstream.requests.at(-1)!.body).toBe('')
    client.close()
  })
  it('10 MB to an upstream that reads slowly arrive whole, and the proxy keeps little of them', async () => {
    let paused = 0
    upstream.script = {
      onBytes: (connection) => {
        paused++
        connection.socket.pause()
        setTimeout(() => connection.socket.resume(), 2)
        const request = connection.take()
        if (request === undefined) return
        upstream.requests.push(request)
        connection.answer(200, String(request.body.length))
      },
    }
    const body = Buffer.alloc(10 * MB, 'abcdefghij')
    const client = await connectRaw(port)
    client.send(`POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
    client.send(body)
    expect((await client.answer('POST', 15_000)).body).toBe(String(body.length))
    expect(paused).toBeGreaterThan(5)
    expect(upstream.requests.at(-1)!.body === body.toString('latin1')).toBe(true)
    client.close()
  })
})

describe('answers', () => {
  it('HEAD keeps the length of what GET would bring, and no body follows', async () => {
    answering('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    const { client, answer } = await ask(get('', '1.1', 'HEAD'), 'HEAD')
    expect(answer.headers['content-length']).toBe('1000')
    upstream.script = {}
    client.send(get())
    expect((await client.answers(2, ['HEAD', 'GET']))[1]!.body).toBe('ok')
    client.close()
  })
  it('HEAD with a chunked answer ends at the head', async () => {
    answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const { client } = await ask(get('', '1.1', 'HEAD'), 'HEAD')
    client.close()
  })
  it.each([204, 304])('%i has no body, even with a Content-Length', async (status) => {
    answering(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`)
    const { client, answer } = await ask(get())
    expect(answer.status).toBe(status)
    expect(answer.headers['content-length']).toBe(status === 204 ? undefined : '5')
    upstream.script = {}
    client.send(get())
    expect((await client.answers(2))[1]!.status).toBe(200)
    client.close()
  })
  it('chunked answers with trailers pass', async () => {
    answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n')
    const { client, answer } = await ask(get())
    expect(answer.body).toBe('abc')
    expect(answer.trailers).toBe('X-Sum: 1')
    client.close()
  })
  it('an answer until close becomes chunked for HTTP/1.1, and the connection goes on', async () => {
    answering('HTTP/1.1 200 OK\r\n\r\nuntil close', 'fin')
    const { client, answer } = await ask(get())
    expect(answer.headers['transfer-encoding']).toBe('chunked')
    expect(answer.body).toBe('until close')
    upstream.script = {}
    client.send(get())
    await client.answers(2)
    client.close()
  })
  it('an answer until close closes the connection of an HTTP/1.0 client', async () => {
    answering('HTTP/1.0 200 OK\r\n\r\nuntil close', 'fin')
    const client = await connectRaw(port)
    client.send(get('Connection: keep-alive\r\n', '1.0'))
    expect(await client.ended()).toBe('fin')
    const answer = await client.answer()
    expect(answer.body).toBe('until close')
    expect(answer.headers.connection).toBe('close')
    client.close()
  })
  it('a chunked answer reaches an HTTP/1.0 client without chunks, ended by the close', async () => {
    answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n')
    const client = await connectRaw(port)
    client.send(get('Connection: keep-alive\r\n', '1.0'))
    expect(await client.ended()).toBe('fin')
    const answer = await client.answer()
    expect(answer.body).toBe('abcde')
    expect(answer.headers['transfer-encoding']).toBeUndefined()
    client.close()
  })
  it('HTTP/1.0 with keep-alive stays open, without it closes', async () => {
    const { client, answer } = await ask(get('Connection: keep-alive\r\n', '1.0'))
    expect(answer.headers.connection).toBe('keep-alive')
    client.send(get('', '1.0'))
    await client.answers(2)
    expect(await client.ended()).toBe('fin')
    client.close()
  })
  it('HTTP/1.0 without a Host reaches the upstream as HTTP/1.1 with an empty one', async () => {
    const { client } = await ask('GET /old HTTP/1.0\r\n\r\n')
    expect(upstream.requests.at(-1)!.head).toMatch(/^GET \/old HTTP\/1\.1\r\n/)
    expect(upstream.requests.at(-1)!.headers.host).toBe('')
    client.close()
  })
  it('fields of one connection stay on it, both ways', async () => {
    answering(
      'HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Yours: 2\r\nContent-Length: 0\r\n\r\n',
    )
    const { client, answer } = await ask(
      get('Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\nX-Yours: 2\r\n'),
    )
    expect(answer.head).not.toMatch(/mine|keep-alive|proxy-connection/i)
    expect(answer.headers['x-yours']).toBe('2')
    const { head } = upstream.requests.at(-1)!
    expect(head).not.toMatch(/mine|keep-alive|\bte:/i)
    expect(head).toContain('X-Yours: 2')
    client.close()
  })
  it('10 MB to a client that reads slowly arrive whole, and the upstream is held back meanwhile', async () => {
    const body = Buffer.alloc(64 * MB, 'abcdefghij')
    let flushed = 0
    upstream.script = {
      onRequest: (_request, connection) => {
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
        const next = (): void => {
          if (flushed >= body.length || connection.closed) return
          const chunk = body.subarray(flushed, flushed + 256 * 1024)
          flushed += chunk.length
          if (connection.socket.write(chunk)) setImmediate(next)
          else connection.socket.once('drain', next)
        }
        next()
      },
    }
    const client = await connectRaw(port)
    client.send(get())
    await client.until(() => client.received.length > 0)
    client.socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 500))
    const held = flushed
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(flushed).toBe(held)
    expect(held).toBeLessThan(40 * MB)
    client.socket.resume()
    let bytes = 0
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (flushed < body.length || bytes + held < body.length) return
        clearInterval(timer)
        resolve()
      }, 20)
    })
    client.close()
  })
  it('a client that reads slowly gets the end of an answer with Connection: close, however long it takes', async () => {
    const body = 'x'.repeat(8 * MB)
    answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    const client = await connectRaw(port)
    client.send(get('Connection: close\r\n'))
    // About 2.5 MB a second, so that the kernel's buffers alone take longer than the linger of a close.
    client.socket.on('data', () => {
      client.socket.pause()
      setTimeout(() => client.socket.resume(), 25)
    })
    await client.ended(15_000)
    expect((await client.answer()).body.length).toBe(body.length)
    client.close()
  })
})

describe('interim answers', () => {
  it('100 (Continue) is asked for and given end to end', async () => {
    upstream.script = {
      onBytes: (connection) => {
        if (connection.seen.endsWith('\r\n\r\n')) connection.send('HTTP/1.1 100 Continue\r\n\r\n')
        else if (connection.seen.endsWith('hello')) connection.answer(200, 'thanks')
      },
    }
    const client = await connectRaw(port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
    expect((await client.answers(1))[0]!.status).toBe(100)
    client.send('hello')
    expect((await client.answers(2))[1]!.body).toBe('thanks')
    client.close()
  })
  it('a final answer instead of 100 ends the connection, since the body may or may not come', async () => {
    upstream.script = {
      onBytes: (connection) => connection.answer(417, 'no'),
    }
    const client = await connectRaw(port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
    expect(await client.ended()).toBe('fin')
    expect((await client.answer()).status).toBe(417)
    client.close()
  })
  it('103 (Early Hints) passes to HTTP/1.1, not to HTTP/1.0', async () => {
    answering('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    const client = await connectRaw(port)
    client.send(get())
    expect((await client.answers(2)).map(({ status }) => status)).toEqual([103, 200])
    client.close()
    const old = await connectRaw(port)
    old.send(get('', '1.0'))
    await old.ended()
    expect((await old.answers(1)).map(({ status }) => status)).toEqual([200])
    old.close()
  })
})

describe('an exchange that does not go to its end', () => {
  it('an early answer reaches a client that is still uploading', async () => {
    upstream.script = {
      onBytes: (connection) => {
        if (connection.seen.length < 2000) connection.answer(413, 'too large')
      },
    }
    const client = await connectRaw(port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n')
    const timer = setInterval(() => client.socket.writable && client.send(Buffer.alloc(1000)), 5)
    expect((await client.answer('POST')).status).toBe(413)
    await client.ended()
    clearInterval(timer)
    client.close()
  })
  it('a client that goes away mid-request takes the upstream connection with it, and is counted', async () => {
    upstream.script = { onBytes: () => {} }
    const before = proxy.count('weft_request_errors_total', { reason: 'downstream_closed' })
    const client = await connectRaw(port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf')
    await client.until(() => upstream.connections.at(-1)!.seen.endsWith('half'))
    const connection = upstream.connections.at(-1)!
    client.close()
    await client.until(() => connection.closed)
    expect(proxy.count('weft_request_errors_total', { reason: 'downstream_closed' })).toBe(before + 1)
    expect(proxy.count('weft_requests_total', { status: '499' })).toBe(before + 1)
  })
  it('a client that goes away while the answer is awaited, or under way, takes the upstream connection with it', async () => {
    for (const script of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf']) {
      upstream.script = { onRequest: (_request, connection) => connection.send(script) }
      const served = upstream.requests.length
      const client = await connectRaw(port)
      client.send(get())
      await client.until(() => upstream.requests.length > served && client.received.endsWith(script.slice(-4)))
      const busy = upstream.connections.filter(({ closed }) => !closed)
      client.close()
      await client.until(() => busy.some(({ closed }) => closed))
    }
  })
  it('a body that breaks its framing halfway cuts the upload, so that no half is taken for a whole', async () => {
    upstream.script = { onBytes: () => {} }
    const client = await connectRaw(port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await client.until(() => upstream.connections.at(-1)!.seen.includes('hello'))
    const connection = upstream.connections.at(-1)!
    client.send('zz\r\n')
    expect(await client.ended()).toBe('fin')
    expect((await client.answer()).status).toBe(400)
    await client.until(() => connection.closed)
    expect(connection.seen).not.toMatch(/\r\n0\r\n/)
    client.close()
  })
})

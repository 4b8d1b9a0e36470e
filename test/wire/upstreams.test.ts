import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Snapshot } from '../../runtime/model/snapshot.ts'
import { freePort } from '../support/free-port.ts'
import { connectRaw, type RawClient } from '../support/raw-client.ts'
import { type RawUpstream, startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay, retry } from '../support/snapshots.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

interface Mesh {
  readonly upstream: RawUpstream
  readonly proxy: RunningServing
  readonly port: number
}

async function start(
  script: UpstreamScript,
  part: Parameters<typeof oneWay>[2] = {},
  change: (snapshot: Snapshot) => Snapshot = (one) => one,
): Promise<Mesh> {
  const upstream = await startUpstream(script)
  const port = await freePort()
  const proxy = await startServing(change(oneWay(port, upstream.port, part)))
  closers.push(
    () => proxy.close(),
    () => upstream.close(),
  )
  return { upstream, proxy, port }
}

async function client(port: number): Promise<RawClient> {
  const raw = await connectRaw(port)
  closers.push(() => raw.close())
  return raw
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi'
const saying = (bytes: string, then: 'keep' | 'fin' | 'reset' = 'keep'): UpstreamScript => ({
  onRequest: (_request, connection) => {
    connection.socket.write(Buffer.from(bytes, 'latin1'), () => {
      if (then === 'fin') connection.socket.end()
      if (then === 'reset') setTimeout(() => connection.reset(), 20)
    })
  },
})

describe('an upstream that fails before its answer', () => {
  const cases: readonly (readonly [string, UpstreamScript, number, string])[] = [
    ['resets without a byte', { onRequest: (_r, c) => c.reset() }, 502, 'upstream_reset'],
    ['closes without a byte', { onRequest: (_r, c) => void c.socket.end() }, 502, 'upstream_closed'],
    ['resets inside the head', saying('HTTP/1.1 200 OK\r\nContent-', 'reset'), 502, 'upstream_reset'],
    ['closes inside the head', saying('HTTP/1.1 200 OK\r\nContent-', 'fin'), 502, 'upstream_closed'],
    ['says garbage', saying('220 smtp.example ESMTP\r\n\r\n'), 502, 'upstream_protocol'],
    ['says a bad status', saying('HTTP/1.1 2x0 OK\r\n\r\n'), 502, 'upstream_protocol'],
    ['says status 099', saying('HTTP/1.1 099 OK\r\n\r\n'), 502, 'upstream_protocol'],
    ['speaks HTTP/2', saying('HTTP/2.0 200 OK\r\n\r\n'), 502, 'upstream_protocol'],
    ['ends lines with bare LF', saying('HTTP/1.1 200 OK\r\nX: 1\nY: 2\r\n\r\n'), 502, 'upstream_protocol'],
    ['folds a field', saying('HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n'), 502, 'upstream_protocol'],
    ['puts a NUL into a field', saying('HTTP/1.1 200 OK\r\nX: \0\r\n\r\n'), 502, 'upstream_protocol'],
    [
      'sends Content-Length and Transfer-Encoding',
      saying('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      502,
      'upstream_protocol',
    ],
    [
      'sends two Content-Lengths',
      saying('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'),
      502,
      'upstream_protocol',
    ],
    [
      'uses gzip as transfer coding',
      saying('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'),
      502,
      'upstream_protocol',
    ],
    ['sends a head without end', saying(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`), 502, 'upstream_protocol'],
    ['sends 101 fields', saying(`HTTP/1.1 200 OK\r\n${'X: 1\r\n'.repeat(101)}\r\n`), 502, 'upstream_protocol'],
    ['floods with interim answers', saying('HTTP/1.1 102 Processing\r\n\r\n'.repeat(20)), 502, 'upstream_protocol'],
    ['switches protocols unasked', saying('HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n'), 502, 'upstream_protocol'],
  ]
  it.each(cases)('%s', async (_name, script, status, reason) => {
    const { upstream, proxy, port } = await start(script)
    const raw = await client(port)
    raw.send(GET)
    await raw.until(() => raw.received.includes(`HTTP/1.1 ${status} `))
    const answers = await raw.answers(1)
    expect(answers.at(-1)!.status).toBe(status)
    // A stranger at the gateway reads no more than the status.
    expect(answers.at(-1)!.body).toBe(`${status}\n`)
    expect(answers.at(-1)!.headers['x-weft-reason']).toBeUndefined()
    expect(proxy.count('weft_request_errors_total', { reason })).toBe(1)
    expect(proxy.count('weft_upstream_attempts_total', { outcome: reason })).toBe(1)
    await raw.until(() => upstream.open === 0)
  })

  it('nobody listens: 503', async () => {
    const { upstream, proxy, port } = await start({})
    upstream.close()
    const raw = await client(port)
    raw.send(POST)
    expect((await raw.answer('POST')).status).toBe(503)
    expect(proxy.count('weft_request_errors_total', { reason: 'connect_failed' })).toBe(1)
  })
  it('stalls before the head: 504 after the request timeout', async () => {
    const { upstream, proxy, port } = await start({ onRequest() {} }, { timeouts: { requestMs: 200 } })
    const raw = await client(port)
    const began = performance.now()
    raw.send(GET)
    expect((await raw.answer()).status).toBe(504)
    expect(performance.now() - began).toBeGreaterThan(190)
    expect(performance.now() - began).toBeLessThan(600)
    expect(proxy.count('weft_request_errors_total', { reason: 'upstream_timeout' })).toBe(1)
    await raw.until(() => upstream.open === 0)
  })
  it('stalls before the head: 504 after the idle timeout, when that is shorter', async () => {
    const { proxy, port } = await start({ onRequest() {} }, { timeouts: { requestMs: 5_000, idleMs: 200 } })
    const raw = await client(port)
    raw.send(GET)
    expect((await raw.answer('GET', 1_000)).status).toBe(504)
    expect(proxy.count('weft_request_errors_total', { reason: 'idle_timeout' })).toBe(1)
  })
})

describe('an answer that is cut off is never passed on as complete', () => {
  const HEADS = {
    'Content-Length': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
    chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'a chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf',
    'until close': 'HTTP/1.1 200 OK\r\n\r\nhalf',
  }
  const cases = Object.entries(HEADS).flatMap(([framing, bytes]) =>
    (['reset', 'fin', 'stall'] as const)
      // A FIN is the proper end of an answer until close.
      .filter((how) => !(framing === 'until close' && how === 'fin'))
      .flatMap((how) => (['1.1', '1.0'] as const).map((version) => [framing, how, version, bytes] as const)),
  )
  it.each(cases)('%s, %s, HTTP/%s client', async (_framing, how, version, bytes) => {
    const { proxy, port } = await start(saying(bytes, how === 'stall' ? 'keep' : how), {
      timeouts: { requestMs: 300 },
    })
    const raw = await client(port)
    raw.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
    await raw.until(() => raw.received.endsWith('half') || raw.received.endsWith('half\r\n') || raw.ending !== 'open')
    const ending = await raw.ended()
    const answers = await raw.answers(0)
    // Over a close-delimited body only a reset tells.
    if (answers[0]?.complete) expect(ending).toBe('reset')
    const reason = how === 'stall' ? 'upstream_timeout' : how === 'reset' ? 'upstream_reset' : 'upstream_closed'
    expect(proxy.count('weft_request_errors_total', { reason })).toBe(1)
    expect(proxy.count('weft_requests_total', { status: '200' })).toBe(1)
  })
  it('a chunked answer with a broken chunk', async () => {
    const { proxy, port } = await start(
      saying('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxx\r\n'),
    )
    const raw = await client(port)
    raw.send(GET)
    await raw.ended()
    expect(raw.received).not.toMatch(/\r\n0\r\n/)
    expect(proxy.count('weft_request_errors_total', { reason: 'upstream_protocol' })).toBe(1)
  })
})

describe('an upstream that says more than it was asked', () => {
  it('a body longer than its Content-Length: the surplus reaches nobody and the connection ends', async () => {
    const { upstream, port } = await start(saying('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokSURPLUS'))
    const raw = await client(port)
    raw.send(GET)
    await raw.answer()
    await raw.until(() => upstream.open === 0)
    raw.send(GET)
    await raw.answers(2)
    expect(raw.received).not.toContain('SURPLUS')
    expect(upstream.connections.length).toBe(2)
  })
  it('a second answer in the packet of the first one', async () => {
    const one = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
    const { upstream, port } = await start(saying(`${one}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`))
    const raw = await client(port)
    raw.send(GET + GET)
    const answers = await raw.answers(2)
    expect(answers.map(({ body }) => body)).toEqual(['ok', 'ok'])
    expect(upstream.connections.length).toBe(2)
  })
  it('half of a second answer never becomes the answer of a request that waited for the connection', async () => {
    const one = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
    const { upstream, port } = await start(
      {
        onRequest: (_request, connection) => {
          // Both requests are here before the first is answered: one of them waits for a connection.
          setTimeout(() => {
            connection.send(`${one}HTTP/1.1 200 OK\r\nContent-Le`)
            setTimeout(() => connection.send('ngth: 4\r\n\r\nevil'), 20)
          }, 50)
        },
      },
      { cluster: { limits: { maxConnections: 1, maxPendingRequests: 10, maxRequests: null } } },
    )
    const first = await client(port)
    const second = await client(port)
    first.send(GET)
    await new Promise((resolve) => setTimeout(resolve, 10))
    second.send(GET)
    expect((await first.answer()).body).toBe('ok')
    expect((await second.answer()).body).toBe('ok')
    expect(upstream.connections.length).toBe(2)
  })
  it('an answer on an idle connection ends it, and the next request is fine', async () => {
    const { upstream, port } = await start({})
    const raw = await client(port)
    raw.send(GET)
    await raw.answer()
    upstream.connections[0]!.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    await raw.until(() => upstream.open === 0)
    raw.send(POST)
    expect((await raw.answers(2, ['GET', 'POST'])).map(({ body }) => body)).toEqual(['ok', 'ok'])
    expect(upstream.connections.length).toBe(2)
  })
  it('a body after the answer to HEAD reaches nobody', async () => {
    const { upstream, port } = await start(saying('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'))
    const raw = await client(port)
    raw.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
    await raw.answer('HEAD')
    await raw.until(() => upstream.open === 0)
    expect(raw.received).not.toContain('evil')
  })
  it('a body after 204 reaches nobody', async () => {
    const { upstream, port } = await start(saying('HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil'))
    const raw = await client(port)
    raw.send(GET)
    expect((await raw.answer()).status).toBe(204)
    await raw.until(() => upstream.open === 0)
    expect(raw.received).not.toContain('evil')
  })
})

describe('connections to the upstream', () => {
  it('are reused, and not after Connection: close or HTTP/1.0', async () => {
    const { upstream, port } = await start({})
    const raw = await client(port)
    raw.send(GET)
    await raw.answer()
    raw.send(GET)
    await raw.answers(2)
    expect(upstream.connections.length).toBe(1)
    upstream.script = { onRequest: (_r, c) => c.answer(200, 'ok', 'Connection: close\r\n') }
    raw.send(GET)
    await raw.answers(3)
    upstream.script = saying('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')
    raw.send(GET)
    await raw.answers(4)
    upstream.script = {}
    raw.send(GET)
    await raw.answers(5)
    expect(upstream.connections.length).toBe(3)
  })
  it('one that the upstream has closed while idle is not given to a request in the same turn', async () => {
    const { upstream, port } = await start({})
    const raws = await Promise.all(Array.from({ length: 20 }, () => client(port)))
    for (let round = 0; round < 20; round++) {
      const raw = raws[round]!
      raw.send(GET)
      await raw.answer()
      for (const { socket, closed } of upstream.connections) if (!closed) socket.end()
      // Late enough that the close is known here, early enough that its socket is not gone yet.
      await new Promise((resolve) => setTimeout(resolve, 1))
      raw.send(POST)
      expect((await raw.answers(2, ['GET', 'POST'])).map(({ status }) => status)).toEqual([200, 200])
    }
  })
  it('a GET that meets the close of an idle connection is tried again, a POST is not', async () => {
    for (const [request, status] of [
      [GET, 200],
      [POST, 502],
    ] as const) {
      const { upstream, proxy, port } = await start({}, { retry: retry({ on: ['reset'] }) })
      const raw = await client(port)
      raw.send(GET)
      await raw.answer()
      const stale = upstream.connections[0]!
      upstream.script = {
        onRequest: (_request, connection) => {
          if (connection === stale) connection.socket.destroy()
          else connection.answer()
        },
      }
      raw.send(request)
      expect((await raw.answers(2)).at(-1)!.status).toBe(status)
      expect(proxy.count('weft_retries_total', { outcome: 'performed' })).toBe(status === 200 ? 1 : 0)
      await proxy.close()
    }
  })
})

it('an answer that is put aside for a retry and never ends does not keep its connection', async () => {
  let answers = 0
  const { upstream, port } = await start(
    {
      onRequest: (_request, connection) => {
        if (answers++ === 0) connection.send('HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\n')
        else connection.answer()
      },
    },
    { retry: retry() },
  )
  const raw = await client(port)
  raw.send(GET)
  expect((await raw.answer()).status).toBe(200)
  await raw.until(() => upstream.open === 1, 3_000)
})

it('the access log names status, reason flags and upstream of a failure, and requests that were refused', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-log-'))
  closers.push(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'access.log')
  const { upstream, proxy, port } = await start(
    { onRequest: (_r, c) => c.reset() },
    {
      accessLogs: [
        {
          path,
          origin: { kind: 'default', name: 'default' },
          format: {
            kind: 'text',
            template: '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST%\n',
          },
        },
      ],
    },
  )
  const raw = await client(port)
  raw.send('GET /lost?x=1 HTTP/1.1\r\nHost: a\r\n\r\n')
  await raw.answer()
  const broken = await client(port)
  broken.send('GET / HTTP/1.1\r\nHost : a\r\n\r\n')
  await broken.answer()
  await proxy.close()
  expect(readFileSync(path, 'utf8')).toBe(`GET /lost?x=1 502 UR 127.0.0.1:${upstream.port}\n- - 400 DPE -\n`)
})

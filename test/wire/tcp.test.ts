import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import http2 from 'node:http2'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { connectTcp, echo, identityOf, listenTo, sniOf, type startTcpCaller } from '../support/tcp-pair.ts'
import { tcpRig } from '../support/tcp-rig.ts'

const rig = tcpRig()
const { app, callee, caller, client, closers } = rig

/** A way to `onSocket`: straight from the caller's sidecar, or through a pair with mTLS between. */
const ways = {
  'one hop': async (onSocket: (socket: Socket) => void, options: Parameters<typeof startTcpCaller>[2] = {}) => {
    const { port } = await app(onSocket)
    return caller({ callee: [{ appPort: port }] }, options)
  },
  'a pair of sidecars': async (
    onSocket: (socket: Socket) => void,
    options: Parameters<typeof startTcpCaller>[2] = {},
  ) => {
    const { port } = await app(onSocket)
    const { meshPort } = await callee(port)
    return caller({ callee: [{ meshPort }] }, options)
  },
}

describe.each(Object.entries(ways))('TCP through %s', (_name, way) => {
  it('carries what a client says, and what the app says back', async () => {
    const socket = client(await way(echo))
    const heard = listenTo(socket)
    socket.write('hello')
    await expect.poll(heard.text).toBe('hello')
    socket.write(' again')
    await expect.poll(heard.text).toBe('hello again')
  })

  it('lets the app speak first', async () => {
    const socket = client(await way((one) => void one.write('220 mail ready\r\n')))
    await expect.poll(listenTo(socket).text).toBe('220 mail ready\r\n')
  })

  it('keeps the other half open when the client has said all', async () => {
    const via = await way((one) => {
      const heard = listenTo(one)
      one.once('end', () => setTimeout(() => one.end(`heard ${heard.text()}`), 50))
    })
    const socket = client(via)
    const heard = listenTo(socket)
    socket.end('everything')
    expect(await heard.over).toBe('end')
    expect(heard.text()).toBe('heard everything')
  })

  it('keeps the other half open when the client ends without a word', async () => {
    const via = await way((one) => {
      one.once('end', () => setTimeout(() => one.end('noon'), 50))
      one.resume()
    })
    const socket = client(via)
    const heard = listenTo(socket)
    socket.end()
    expect(await heard.over).toBe('end')
    expect(heard.text()).toBe('noon')
  })

  it('keeps the other half open when the app has said all', async () => {
    const said: { text: () => string; over: Promise<string> }[] = []
    const via = await way((one) => {
      said.push(listenTo(one))
      one.end('bye')
    })
    const socket = client(via)
    const heard = listenTo(socket)
    expect(await heard.over).toBe('end')
    expect(heard.text()).toBe('bye')
    socket.end('late words')
    await expect.poll(() => said.length).toBe(1)
    expect(await said[0]!.over).toBe('end')
    expect(said[0]!.text()).toBe('late words')
  })

  it('passes a reset on, in both directions', async () => {
    const over = Promise.withResolvers<string>()
    const resetting = client(await way((one) => void one.once('data', () => one.resetAndDestroy())))
    resetting.write('x')
    expect(await listenTo(resetting).over).toBe('ECONNRESET')

    const other = client(await way((one) => void listenTo(one).over.then(over.resolve)))
    other.write('x')
    await new Promise((resolve) => setTimeout(resolve, 100))
    other.resetAndDestroy()
    expect(await over.promise).toBe('ECONNRESET')
  })

  it('carries 20 MB both ways at once', async () => {
    const socket = client(await way(echo))
    const chunk = Buffer.alloc(1024 * 1024, 'abcdefgh')
    let got = 0
    socket.on('data', (data) => {
      got += data.length
    })
    for (let i = 0; i < 20; i++) if (!socket.write(chunk)) await once(socket, 'drain')
    socket.end()
    await once(socket, 'end')
    expect(got).toBe(20 * chunk.length)
  })

  it('stops whoever writes when the other end does not read', async () => {
    let sent = 0
    const chunk = Buffer.alloc(256 * 1024)
    const via = await way((one) => {
      const more = (): void => {
        while (sent < 200 * 1024 * 1024 && one.write(chunk)) sent += chunk.length
      }
      one.on('drain', more)
      more()
    })
    const socket = client(via)
    socket.pause()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(32 * 1024 * 1024)
  })

  it('ends a connection on which nothing moves, and says why', async () => {
    const via = await way(echo, { idleMs: 200 })
    const socket = client(via)
    const heard = listenTo(socket)
    for (let i = 0; i < 4; i++) {
      socket.write('.')
      await new Promise((resolve) => setTimeout(resolve, 90))
    }
    expect(heard.text()).toBe('....')
    const since = performance.now()
    expect(await heard.over).not.toBe('')
    expect(performance.now() - since).toBeLessThan(1_000)
    await expect.poll(() => via.proxy.count('weft_tcp_failures_total', { reason: 'idle_timeout' })).toBe(1)
  })

  it('counts connections and bytes', async () => {
    const via = await way(echo)
    const socket = client(via)
    const heard = listenTo(socket)
    socket.write('12345')
    await expect.poll(heard.text).toBe('12345')
    const listener = `vip/db:${via.port}`
    expect(via.proxy.count('weft_downstream_connections', { listener })).toBe(1)
    expect(via.proxy.count('weft_upstream_connections', { state: 'active' })).toBe(1)
    expect(via.proxy.count('weft_tcp_connections_total', { listener, route: 'router/all', cluster: 'callee' })).toBe(1)
    expect(via.proxy.count('weft_tcp_bytes_total', { direction: 'received' })).toBe(5)
    expect(via.proxy.count('weft_tcp_bytes_total', { direction: 'sent' })).toBe(5)
    socket.end()
    await heard.over
    await expect.poll(() => via.proxy.count('weft_downstream_connections')).toBe(0)
    await expect.poll(() => via.proxy.count('weft_upstream_connections')).toBe(0)
    expect(via.proxy.count('weft_tcp_failures_total')).toBe(0)
  })
})

describe('where TCP connections go', () => {
  it('follows the weights of a route', async () => {
    const [a, b, none] = await Promise.all(['a', 'b', 'c'].map((name) => app((one) => void one.end(name))))
    const via = await caller(
      { a: [{ appPort: a!.port }], b: [{ appPort: b!.port }], none: [{ appPort: none!.port }] },
      { weights: { a: 3, b: 1, none: 0 } },
    )
    const counts = { a: 0, b: 0, c: 0 }
    for (let i = 0; i < 60; i++) {
      const heard = listenTo(client(via))
      await heard.over
      counts[heard.text() as 'a']++
    }
    expect(counts.c).toBe(0)
    expect(counts.b).toBeGreaterThan(3)
    expect(counts.a).toBeGreaterThan(counts.b)
  })

  it('tries another endpoint where one can not be reached, and ejects the dead one', async () => {
    const { port } = await app((one) => void one.end('alive'))
    const via = await caller(
      { callee: [{ appPort: await freePort() }, { appPort: port }] },
      {
        cluster: {
          outlierDetection: {
            maxServerErrors: 2,
            intervalMs: 10_000,
            baseEjectionMs: 30_000,
            maxEjectionPercent: 50,
            origin: { kind: 'default', name: 'default' },
          },
        },
      },
    )
    for (let i = 0; i < 20; i++) {
      const heard = listenTo(client(via))
      expect(await heard.over).toBe('end')
      expect(heard.text()).toBe('alive')
    }
    expect(via.proxy.count('weft_outlier_ejections_total')).toBe(1)
    expect(via.proxy.count('weft_upstream_attempts_total', { outcome: 'connect_failed' })).toBe(2)
  })

  it('looks dead to the caller when the app behind the sidecar is dead', async () => {
    const dead = await callee(await freePort())
    const { port } = await app((one) => void one.end('alive'))
    const live = await callee(port)
    const both = await caller({ callee: [{ meshPort: dead.meshPort }, { meshPort: live.meshPort }] })
    for (let i = 0; i < 10; i++) {
      const heard = listenTo(client(both))
      expect(await heard.over).toBe('end')
      expect(heard.text()).toBe('alive')
    }
    const alone = await caller({ callee: [{ meshPort: dead.meshPort }] })
    expect(await listenTo(client(alone)).over).toBe('ECONNRESET')
    expect(alone.proxy.count('weft_tcp_failures_total', { reason: 'connect_failed' })).toBe(1)
    expect(alone.proxy.count('weft_upstream_attempts_total', { outcome: 'connect_failed' })).toBe(1)
    expect(dead.proxy.count('weft_tcp_failures_total', { reason: 'connect_failed' })).toBeGreaterThan(0)
  })

  it('takes no more connections than the cluster may have, and counts the others as overflow', async () => {
    const { port } = await app(echo)
    const limits = { maxConnections: 1, maxPendingRequests: null, maxRequests: null }
    const via = await caller({ callee: [{ appPort: port }] }, { cluster: { limits } })
    const first = client(via)
    const heard = listenTo(first)
    first.write('1')
    await expect.poll(heard.text).toBe('1')
    expect(await listenTo(client(via)).over).toBe('ECONNRESET')
    expect(via.proxy.count('weft_tcp_failures_total', { reason: 'overflow' })).toBe(1)
    first.end()
    await heard.over
    const third = client(via)
    const again = listenTo(third)
    third.write('3')
    await expect.poll(again.text).toBe('3')
  })
})

describe('who may open TCP connections', () => {
  const policy = (allow: string[]) => ({
    allow,
    mode: 'enforce' as const,
    origin: { kind: 'policy' as const, name: 'authorization/db' },
  })

  it('lets in whom the policy names, and ends the connections of those it no longer names', async () => {
    const { port } = await app(echo)
    const guarded = await callee(port, { authorization: policy(['spiffe://weft.test/shop/caller']) })
    const via = await caller({ callee: [{ meshPort: guarded.meshPort }] })
    const socket = client(via)
    const heard = listenTo(socket)
    socket.write('in')
    await expect.poll(heard.text).toBe('in')
    await guarded.proxy.serving.apply(guarded.snapshot(policy(['spiffe://weft.test/shop/other'])))
    expect(await heard.over).toBe('ECONNRESET')
    expect(await listenTo(client(via)).over).toBe('ECONNRESET')
    expect(guarded.proxy.count('weft_authorization_denied_total')).toBe(2)
    expect(guarded.proxy.count('weft_tcp_failures_total', { reason: 'unauthorized_caller' })).toBe(2)
  })

  it('keeps requests and hasty peers out of a TCP port', async () => {
    const { port, sockets } = await app(echo)
    const { meshPort, proxy } = await callee(port)
    const identity = await identityOf(rig.ca, 'caller')
    const dial = (alpn: string) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: meshPort,
        servername: sniOf('callee'),
        secureContext: identity.clientContext(),
        ALPNProtocols: [alpn],
        checkServerIdentity: () => undefined,
      })
      closers.push(() => void socket.destroy())
      return socket
    }
    expect(await listenTo(dial('http/1.1')).over).toBe('end')
    expect(proxy.count('weft_tls_handshake_failures_total', { reason: 'protocol_not_accepted' })).toBe(1)
    const session = http2.connect('https://callee', { createConnection: () => dial('h2') })
    closers.push(() => session.destroy())
    const answer = async (headers: http2.OutgoingHttpHeaders) => {
      const stream = session.request({ ':path': '/', ...headers })
      const [head] = await once(stream, 'response')
      return [head[':status'], head['x-weft-reason']]
    }
    expect(await answer({})).toEqual([421, 'misdirected'])
    expect(await answer({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https' })).toEqual([
      421,
      'misdirected',
    ])
    expect(sockets).toHaveLength(0)
    // A peer that does not wait for the answer, which says whether it may.
    const hasty = session.request({ ':method': 'CONNECT', ':protocol': 'weft-tcp', ':scheme': 'https', ':path': '/' })
    hasty.write('early')
    const [head] = await once(hasty, 'response')
    expect([head[':status'], head['x-weft-reason']]).toEqual([400, 'bad_request'])
    expect(proxy.count('weft_tcp_failures_total', { reason: 'misdirected' })).toBe(2)
  })
})

describe('a published TCP port in mode PERMISSIVE', () => {
  it('takes TLS, plaintext of a client that speaks first, and that of one that waits', async () => {
    const published = await freePort()
    const { port } = await app((one) => {
      one.write('hi ')
      echo(one)
    })
    await callee(port, {
      published: { port: published, tls: 'permissive', certificate: { kind: 'mesh' }, clientValidation: null },
    })
    const secure = tls.connect({ host: '127.0.0.1', port: published, rejectUnauthorized: false })
    const talking = connectTcp('127.0.0.1', published)
    const waiting = connectTcp('127.0.0.1', published)
    closers.push(() => [secure, talking, waiting].forEach((one) => void one.destroy()))
    talking.write('plain')
    secure.write('secret')
    const heard = [secure, talking, waiting].map(listenTo)
    await expect.poll(() => heard.map(({ text }) => text())).toEqual(['hi secret', 'hi plain', 'hi '])
  })
})

describe('the end of TCP connections', () => {
  it('goes on through new snapshots and a drain, and comes with the end of the proxy', async () => {
    const { port } = await app(echo)
    const { meshPort, proxy, snapshot } = await callee(port)
    const socket = client(await caller({ callee: [{ meshPort }] }))
    const heard = listenTo(socket)
    socket.write('1')
    await expect.poll(heard.text).toBe('1')
    await proxy.serving.apply(snapshot(null))
    proxy.serving.drain()
    proxy.serving.closeIdle()
    expect(proxy.serving.busy).toBe(1)
    socket.write('2')
    await expect.poll(heard.text).toBe('12')
    await proxy.close()
    expect(await heard.over).toBe('ECONNRESET')
  })

  it('writes one line to the access log', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'weft-tcp-')), 'access.log')
    const { port } = await app(echo)
    const template =
      '%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %ROUTE_NAME%\n'
    const via = await caller(
      { callee: [{ appPort: port }] },
      {
        accessLogs: [{ path, format: { kind: 'text', template }, origin: { kind: 'virtual-node', name: 'caller' } }],
      },
    )
    const socket = client(via)
    const heard = listenTo(socket)
    socket.end('12345')
    await heard.over
    await expect.poll(() => via.proxy.serving.busy).toBe(0)
    await via.proxy.accessLogs.close()
    expect(readFileSync(path, 'utf8')).toBe(`TCP 0 - 5 5 callee 127.0.0.1:${port} router/all\n`)
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { describe, expect, it } from 'vitest'
import type { Route, Snapshot } from '../../runtime/model/snapshot.ts'
import { inRecords, nodeHello } from '../support/hellos.ts'
import { forwardRoute } from '../support/snapshots.ts'
import { echo, listenTo, startTlsApp, type TcpCaller, VIP } from '../support/tcp-pair.ts'
import { tcpRig } from '../support/tcp-rig.ts'

/** Routes of one TCP port that are chosen by what clients of TLS ask for; the apps end the TLS themselves. */

const rig = tcpRig()
const { closers } = rig

/** An app behind a sidecar that says its own name and which one it was asked for. */
async function startTenant(name: string) {
  const app = await startTlsApp(rig.ca, ['*.example'], (heard, asked) => `${name} heard ${heard} for ${asked}\n`)
  closers.push(() => app.close())
  const { meshPort } = await rig.callee(app.port, { name })
  return { meshPort }
}

const named = (name: string, ...serverNames: string[]): Route =>
  forwardRoute(name, name, { match: { serverNames }, timeouts: { requestMs: 0 } })

const unnamed = forwardRoute('rest', 'rest', { timeouts: { requestMs: 0 } })

/** A caller whose routes go to `exact`, `wild`, `deep` and, where there is one, to `rest`, all behind mTLS of sidecars. */
async function tenants(options: { rest?: boolean; accessLogs?: Snapshot['accessLogs'] } = {}): Promise<TcpCaller> {
  const plain = await rig.app(echo)
  const { meshPort } = await rig.callee(plain.port, { name: 'rest' })
  return rig.caller(
    {
      exact: [await startTenant('exact')],
      wild: [await startTenant('wild')],
      deep: [await startTenant('deep')],
      rest: [{ meshPort }],
    },
    {
      routes: [
        named('wild', '*.example'),
        named('deep', '*.deep.example'),
        named('exact', 'db.deep.example', 'other.test'),
        ...(options.rest === false ? [] : [unnamed]),
      ],
      ...(options.accessLogs === undefined ? {} : { accessLogs: options.accessLogs }),
    },
  )
}

function socketOf(via: TcpCaller): Socket {
  const socket = via.connect()
  closers.push(() => void socket.destroy())
  return socket
}

/** What the app answers to a client of node:tls. */
async function asked(via: TcpCaller, servername: string, options: tls.ConnectionOptions = {}): Promise<string> {
  const socket = tls.connect({ host: VIP, port: via.port, servername, rejectUnauthorized: false, ...options })
  closers.push(() => void socket.destroy())
  socket.write('hello')
  const [answer] = await once(socket, 'data')
  return String(answer)
}

describe('TCP routes with server names, through a pair of sidecars', () => {
  it('take the connections of those who ask for them: exact before wildcard, longer before shorter', async () => {
    const via = await tenants()
    for (const [name, route] of [
      ['db.deep.example', 'exact'],
      ['other.test', 'exact'],
      ['a.deep.example', 'deep'],
      ['a.b.deep.example', 'deep'],
      ['deep.example', 'wild'],
      ['a.b.c.example', 'wild'],
    ] as const) {
      expect(await asked(via, name)).toBe(`${route} heard hello for ${name}\n`)
    }
    expect(via.proxy.count('weft_tcp_connections_total', { route: 'router/deep' })).toBe(2)
  })

  it('take those of openssl, and of a key share that needs two packets', async () => {
    const via = await tenants()
    const args = ['s_client', '-connect', `${VIP}:${via.port}`, '-servername', 'DB.deep.example', '-quiet']
    const client = spawn('openssl', args, { stdio: ['pipe', 'pipe', 'ignore'] })
    closers.push(() => void client.kill())
    client.stdin.write('hi')
    expect(String((await once(client.stdout, 'data'))[0])).toMatch(/^exact heard hi for DB\.deep\.example/i)
    const large = await asked(via, 'db.deep.example', { ecdhCurve: 'X25519MLKEM768' })
    expect(large).toBe('exact heard hello for db.deep.example\n')
  })

  it('leave everybody else to the route without: other names, no name, plaintext', async () => {
    const via = await tenants()
    for (const bytes of [
      await nodeHello({ servername: 'elsewhere.test' }),
      await nodeHello({ servername: 'example' }),
      await nodeHello({}),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    ]) {
      const socket = socketOf(via)
      const heard = listenTo(socket)
      socket.write(bytes)
      // It says back what it hears.
      await expect.poll(heard.text).toBe(bytes.toString('latin1'))
    }
    expect(via.proxy.count('weft_tcp_connections_total', { route: 'router/rest' })).toBe(4)
  })

  it('pass every byte on that was looked at, however it came, and what is behind it', async () => {
    const via = await tenants()
    const hello = await nodeHello({ servername: 'elsewhere.test', ecdhCurve: 'X25519MLKEM768' })
    const early = Buffer.concat([inRecords(hello, 400), Buffer.alloc(200_000, 'early data ')])
    for (const size of [early.length, 1448, 100]) {
      const socket = socketOf(via)
      const heard = listenTo(socket)
      for (let at = 0; at < early.length; at += size) {
        socket.write(early.subarray(at, at + size))
        if (at < 3_000) await new Promise((resolve) => setTimeout(resolve, 1))
      }
      socket.end()
      expect(await heard.over).toBe('end')
      expect(heard.text() === early.toString('latin1')).toBe(true)
    }
  })

  it('let the app speak first to a client that is silent for 200 ms', async () => {
    const greeting = await rig.app((socket) => void socket.write('220 ready\r\n'))
    const via = await rig.caller({ rest: [{ appPort: greeting.port }] }, { routes: [named('rest', 'a.test'), unnamed] })
    const since = performance.now()
    const heard = listenTo(socketOf(via))
    await expect.poll(heard.text).toBe('220 ready\r\n')
    expect(performance.now() - since).toBeGreaterThan(190)
  })

  it('keep to half-close: a client that ends without a word still hears the app', async () => {
    const daytime = await rig.app((socket) => void socket.once('end', () => socket.end('noon')).resume())
    const via = await rig.caller({ rest: [{ appPort: daytime.port }] }, { routes: [named('rest', 'a.test'), unnamed] })
    const socket = socketOf(via)
    const heard = listenTo(socket)
    socket.end()
    expect(await heard.over).toBe('end')
    expect(heard.text()).toBe('noon')
  })

  it('reset whom no route takes, whose ClientHello is wrong, too large or broken off, and say why', async () => {
    const via = await tenants({ rest: false })
    const hello = await nodeHello({ servername: 'elsewhere.test' })
    const wrong = Buffer.from(hello)
    wrong.writeUInt16BE(0, 3)
    const large = Buffer.from(hello)
    large.writeUIntBE(60_000, 6, 3)
    for (const [bytes, reason] of [
      [hello, 'no_route'],
      [Buffer.from('plaintext'), 'no_route'],
      [wrong, 'bad_request'],
      [large, 'head_too_large'],
    ] as const) {
      const before = via.proxy.count('weft_tcp_failures_total', { reason })
      const socket = socketOf(via)
      socket.write(bytes)
      expect(await listenTo(socket).over).toBe('ECONNRESET')
      await expect.poll(() => via.proxy.count('weft_tcp_failures_total', { reason })).toBe(before + 1)
    }
    const broken = socketOf(via)
    broken.end(hello.subarray(0, 40))
    expect(await listenTo(broken).over).toBe('ECONNRESET')
    await expect.poll(() => via.proxy.count('weft_tcp_failures_total', { reason: 'downstream_closed' })).toBe(1)
    await expect.poll(() => via.proxy.serving.busy).toBe(0)
  })

  it('end a ClientHello that takes more than ten seconds', { timeout: 20_000 }, async () => {
    const via = await tenants()
    const hello = await nodeHello({ servername: 'db.deep.example' })
    const socket = socketOf(via)
    const since = performance.now()
    const heard = listenTo(socket)
    let at = 1
    socket.write(hello.subarray(0, 1))
    const drip = setInterval(() => socket.write(hello.subarray(at, ++at)), 200)
    closers.push(() => clearInterval(drip))
    expect(await heard.over).toBe('ECONNRESET')
    expect(performance.now() - since).toBeGreaterThan(9_900)
    await expect.poll(() => via.proxy.count('weft_tcp_failures_total', { reason: 'request_timeout' })).toBe(1)
  })

  it('end with the proxy while nothing is known of them yet', async () => {
    const via = await tenants()
    const socket = socketOf(via)
    const heard = listenTo(socket)
    socket.write(Buffer.from([22, 3, 1]))
    await expect.poll(() => via.proxy.serving.busy).toBe(1)
    via.proxy.serving.close()
    expect(await heard.over).toBe('ECONNRESET')
    expect(via.proxy.serving.busy).toBe(0)
  })

  it('write the server name to the access log', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'weft-sni-')), 'access.log')
    const template = '%REQUESTED_SERVER_NAME% %ROUTE_NAME% %UPSTREAM_CLUSTER%\n'
    const via = await tenants({
      accessLogs: [{ path, format: { kind: 'text', template }, origin: { kind: 'virtual-node', name: 'caller' } }],
    })
    await asked(via, 'db.deep.example')
    for (const close of closers.splice(-1)) await close()
    await expect.poll(() => via.proxy.serving.busy).toBe(0)
    await via.proxy.accessLogs.close()
    expect(readFileSync(path, 'utf8')).toBe('db.deep.example router/exact exact\n')
  })

  it('can be given to, and taken from, a listener that is in use', async () => {
    const via = await tenants()
    const current = via.proxy.serving.snapshot!
    const without = {
      ...current,
      revision: 'without',
      tables: current.tables.map((one) => ({ ...one, routes: one.routes.filter(({ name }) => name === 'rest') })),
    }
    const hello = await nodeHello({ servername: 'db.deep.example' })
    await via.proxy.serving.apply(without)
    const socket = socketOf(via)
    const heard = listenTo(socket)
    socket.write(hello)
    await expect.poll(heard.text).toBe(hello.toString('latin1'))
    await via.proxy.serving.apply(current)
    expect(await asked(via, 'db.deep.example')).toBe('exact heard hello for db.deep.example\n')
  })
})

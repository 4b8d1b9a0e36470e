import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GatewayListener, Snapshot } from '../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { nodeHello } from '../support/hellos.ts'
import { startServing } from '../support/running-serving.ts'
import { cluster, delegateRoute, forwardRoute, gateway, snapshot, table } from '../support/snapshots.ts'
import { identityOf, listenTo, sniOf, startTcpCallee, startTlsApp } from '../support/tcp-pair.ts'

/** A gateway that ends the TLS of its web site, and leaves that of a database behind a sidecar to the database. */

const run = promisify(execFile)
const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

let ca: TestCa
const files = mkdtempSync(join(tmpdir(), 'weft-passthrough-'))
const [chain, key, trust] = ['chain.pem', 'key.pem', 'ca.pem'].map((name) => join(files, name)) as [
  string,
  string,
  string,
]
beforeAll(async () => {
  ca = await createTestCa('mesh')
  const { keyPem, chainPem } = await ca.issue([{ type: 'dns', value: 'www.example' }])
  writeFileSync(chain, chainPem)
  writeFileSync(key, keyPem)
  writeFileSync(trust, ca.certificatePem)
})

async function edge(mode: 'strict' | 'permissive' = 'strict', accessLogs: Snapshot['accessLogs'] = []) {
  const web = createServer((_, response) => void response.end('web'))
  web.listen(0, '127.0.0.1')
  await once(web, 'listening')
  const db = await startTlsApp(ca, ['db.example', 'a.b.db.example'], (heard, asked) =>
    heard.startsWith('GET ') ? 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\ndb' : `db heard ${heard} for ${asked}`,
  )
  const callee = await startTcpCallee(ca, db.port, { name: 'db' })
  const port = await freePort()
  const origin = { kind: 'policy', name: 'tls-passthrough/db' } as const
  const passthrough = [{ serverNames: ['db.example', '*.db.example'], table: 'db', port: 5432, origin }]
  const snapshotWith = (part: Partial<GatewayListener>): Snapshot =>
    snapshot({
      listeners: [
        gateway(port, {
          tls: { mode, certificate: { kind: 'file', chain, key }, certificates: [], clientValidation: null },
          passthrough,
          ...part,
        }),
      ],
      tables: [
        table('gate', [delegateRoute('all', 'web')]),
        table('web', [forwardRoute('web', 'web')]),
        table('db', [forwardRoute('db', 'db', { timeouts: { requestMs: 0 } })], [5432]),
      ],
      clusters: [
        cluster('web', { port: (web.address() as AddressInfo).port }),
        cluster('db', {
          port: 1,
          protocol: 'tcp',
          discovery: { kind: 'endpoints', node: 'db' },
          tls: { mesh: { sni: sniOf('db'), spiffeId: 'spiffe://weft.test/shop/db' }, plain: { kind: 'refuse' } },
        }),
      ],
      accessLogs,
    })
  const proxy = await startServing(snapshotWith({}), { identity: await identityOf(ca, 'gate') })
  const sidecar = { port: callee.meshPort, protocols: ['h2'], version: '0' }
  proxy.serving.updateEndpoints({
    node: 'db',
    revision: '1',
    endpoints: [{ id: 'e', address: '127.0.0.1', port: 1, sidecar, state: 'ready' }],
  })
  closers.push(
    () => void web.close(),
    () => db.close(),
    () => callee.proxy.close(),
    () => proxy.close(),
  )
  return { port, proxy, callee, snapshotWith }
}

/** What curl gets from a host, whose certificate it verifies. */
async function curl(port: number, host: string, ...more: string[]): Promise<string> {
  const where = ['--resolve', `${host}:${port}:127.0.0.1`, '--cacert', trust, '--max-time', '5', '-sS', ...more]
  return (await run('curl', [...where, `https://${host}:${port}/`])).stdout
}

describe('a gateway with names that it passes through', () => {
  it('leaves their TLS to the app, through mTLS to its sidecar, and ends that of others as before', async () => {
    const { port, proxy, callee } = await edge()
    expect(await curl(port, 'db.example')).toBe('db')
    expect(await curl(port, 'a.b.db.example')).toBe('db')
    expect(await curl(port, 'www.example')).toBe('web')
    expect(await curl(port, 'www.example', '--http2')).toBe('web')
    expect(proxy.count('weft_tcp_connections_total', { listener: `passthrough/gate:${port}`, cluster: 'db' })).toBe(2)
    expect(callee.proxy.count('weft_tcp_connections_total')).toBe(2)
    expect(proxy.count('weft_requests_total')).toBe(2)
  })

  it('does so for openssl, for a ClientHello in two packets, and byte by byte', async () => {
    const { port } = await edge()
    const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'DB.example', '-CAfile', trust]
    const client = spawn('openssl', [...args, '-verify_return_error', '-quiet'], { stdio: ['pipe', 'pipe', 'ignore'] })
    closers.push(() => void client.kill())
    client.stdin.write('hi')
    expect(String((await once(client.stdout, 'data'))[0])).toMatch(/^db heard hi for DB\.example/i)

    const large = tlsClient(port, 'db.example', { ecdhCurve: 'X25519MLKEM768' })
    large.write('large')
    expect(String((await once(large, 'data'))[0])).toBe('db heard large for db.example')

    for (const [name, certificate] of [
      ['db.example', 'db.example'],
      ['www.example', 'www.example'],
    ] as const) {
      // The names in a certificate of TLS 1.2 are in the clear.
      const hello = await nodeHello({ servername: name, maxVersion: 'TLSv1.2' })
      const socket = connect(port, '127.0.0.1')
      socket.setNoDelay(true)
      closers.push(() => void socket.destroy())
      const heard = listenTo(socket)
      for (const byte of hello) {
        socket.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await expect.poll(heard.text).toContain(certificate)
    }
  })

  it('takes plaintext, TLS that it ends and TLS that it does not, all on a port in mode PERMISSIVE', async () => {
    const { port } = await edge('permissive')
    expect(await curl(port, 'db.example')).toBe('db')
    expect(await curl(port, 'www.example')).toBe('web')
    const { stdout } = await run('curl', ['-sS', '--max-time', '5', `http://127.0.0.1:${port}/`])
    expect(stdout).toBe('web')
  })

  it('refuses what is no proper ClientHello as TLS does, and counts it', async () => {
    const { port, proxy } = await edge()
    const wrong = Buffer.from(await nodeHello({ servername: 'db.example' }))
    wrong.writeUInt8(33, 43)
    for (const bytes of [wrong, Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
      const socket = connect(port, '127.0.0.1')
      closers.push(() => void socket.destroy())
      socket.write(bytes)
      const heard = listenTo(socket)
      await heard.over
      // An alert, or nothing.
      expect(heard.text()).toMatch(/^(\x15|$)/)
    }
    await expect
      .poll(() => proxy.count('weft_tls_handshake_failures_total', { listener: `gateway/gate:${port}` }))
      .toBe(2)
    for (const bytes of [Buffer.from([22, 3]), Buffer.alloc(0)]) {
      const gone = connect(port, '127.0.0.1')
      gone.end(bytes)
      gone.resume()
      await once(gone, 'close')
    }
    expect(proxy.count('weft_tls_handshake_failures_total')).toBe(2)
    expect(proxy.serving.busy).toBe(0)
    expect(await curl(port, 'db.example')).toBe('db')
  })

  it('ends a client that is silent, or too slow, after ten seconds', { timeout: 20_000 }, async () => {
    const { port, proxy } = await edge()
    const [silent, slow] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    slow.write(Buffer.from([22, 3, 1]))
    const since = performance.now()
    await Promise.all([once(silent.resume(), 'close'), once(slow.resume(), 'close')])
    expect(performance.now() - since).toBeGreaterThan(9_900)
    expect(proxy.count('weft_tls_handshake_failures_total', { reason: 'handshake_timeout' })).toBe(2)
  })

  it('obeys a changed policy at once, and leaves connections that stand alone', async () => {
    const { port, proxy, snapshotWith } = await edge()
    const socket = tlsClient(port, 'db.example')
    socket.write('1')
    expect(String((await once(socket, 'data'))[0])).toBe('db heard 1 for db.example')
    await proxy.serving.apply(snapshotWith({ passthrough: [] }))
    expect(await curl(port, 'db.example', '-k')).toBe('web')
    socket.write('2')
    expect(String((await once(socket, 'data'))[0])).toBe('db heard 2 for db.example')
    await proxy.serving.apply(snapshotWith({}))
    expect(await curl(port, 'db.example')).toBe('db')
  })

  it('writes the server name to the access log', async () => {
    const path = join(files, 'access.log')
    const template = '%REQUESTED_SERVER_NAME% %PROTOCOL% %ROUTE_NAME% %UPSTREAM_CLUSTER%\n'
    const { port, proxy } = await edge('strict', [
      { path, format: { kind: 'text', template }, origin: { kind: 'virtual-gateway', name: 'gate' } },
    ])
    await curl(port, 'db.example')
    await expect.poll(() => proxy.serving.busy).toBe(0)
    await proxy.accessLogs.close()
    expect(readFileSync(path, 'utf8')).toBe('db.example TCP router/db db\n')
  })
})

function tlsClient(port: number, servername: string, options: tls.ConnectionOptions = {}): tls.TLSSocket {
  const socket = tls.connect({ host: '127.0.0.1', port, servername, ca: ca.certificatePem, ...options })
  closers.push(() => void socket.destroy())
  return socket
}

import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ProxyError } from '../../../../proxy-image/src/errors.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import { KeptSession } from '../../../../proxy-image/src/tls/kept-session.ts'
import { expectPeer, peerSpiffeId, remainingLifeMs } from '../../../../proxy-image/src/tls/peer.ts'
import { createMeshServer, type Rejection } from '../../../../proxy-image/src/tls/server.ts'
import { createTestCa, type TestCa, type TestCertificate } from '../../../support/certificates.ts'

const SERVER = 'spiffe://weft.internal/shop/orders'
const CLIENT = 'spiffe://weft.internal/shop/cart'
const SNI = 'p8080.abc.weft.internal'
const uri = (value: string) => [{ type: 'url' as const, value }]

let ca: TestCa
let strangers: TestCa
beforeAll(async () => {
  ca = await createTestCa('mesh')
  strangers = await createTestCa('strangers')
})

const toClose: (() => void)[] = []
afterEach(() => {
  for (const close of toClose.splice(0)) close()
})

function identityOf(certificate: TestCertificate, trust = ca.trust): WorkloadIdentity {
  const identity = new WorkloadIdentity()
  identity.update({ ...certificate, trust })
  return identity
}

interface Rig {
  port: number
  identity: WorkloadIdentity
  rejected: Rejection[]
  sockets: TLSSocket[]
  /** When the certificates of each socket end. */
  ends: number[]
}

/** A mesh server of `orders` that echoes. */
async function startServer(): Promise<Rig> {
  const identity = identityOf(await ca.issue(uri(SERVER)))
  const rejected: Rejection[] = []
  const sockets: TLSSocket[] = []
  const ends: number[] = []
  const server = createMeshServer({
    identity,
    alpnProtocols: ['http/1.1'],
    acceptsServerName: (name) => name === SNI,
    onConnection: (socket, _name, _alpn, { endsAtMs }) => {
      sockets.push(socket)
      ends.push(endsAtMs)
      socket.on('error', () => {})
      socket.pipe(socket)
    },
    onRejected: (reason) => rejected.push(reason),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, identity, rejected, sockets, ends }
}

function dial(rig: Rig, identity: WorkloadIdentity | undefined, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({
    host: '127.0.0.1',
    port: rig.port,
    servername: SNI,
    ALPNProtocols: ['http/1.1'],
    ...(identity === undefined ? { ca: [ca.certificatePem] } : { secureContext: identity.clientContext() }),
    checkServerIdentity: expectPeer(SERVER),
    ...options,
  })
  toClose.push(() => socket.destroy())
  return socket
}

async function echo(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text)
  const [data] = await once(socket, 'data')
  return String(data)
}

function closed(socket: TLSSocket): Promise<void> {
  socket.on('error', () => {})
  return new Promise((resolve) => socket.on('close', () => resolve()))
}

/** Resolves once the server said why it refused. */
async function rejection(rig: Rig, socket: TLSSocket): Promise<Rejection | undefined> {
  await closed(socket)
  for (let turn = 0; turn < 100 && rig.rejected.length === 0; turn++) await new Promise((done) => setTimeout(done, 10))
  expect(rig.sockets).toHaveLength(0)
  return rig.rejected[0]
}

describe('mesh server', () => {
  it('takes a member of the mesh and speaks TLS 1.3', async () => {
    const rig = await startServer()
    const socket = dial(rig, identityOf(await ca.issue(uri(CLIENT))))
    expect(await echo(socket, 'ping')).toBe('ping')
    expect(socket.getProtocol()).toBe('TLSv1.3')
    expect(socket.alpnProtocol).toBe('http/1.1')
    expect(peerSpiffeId(socket)).toBe(SERVER)
    expect(peerSpiffeId(rig.sockets[0]!)).toBe(CLIENT)
    expect(rig.rejected).toEqual([])
  })

  it('agrees on keys by X25519 with ML-KEM-768, on both sides as they are configured', async () => {
    const rig = await startServer()
    const said: Buffer[] = []
    const tap = createTcpServer((socket) => {
      const onward = connectTcp(rig.port, '127.0.0.1')
      onward.on('data', (data) => said.push(data))
      socket.pipe(onward).pipe(socket)
    }).listen(0, '127.0.0.1')
    toClose.push(() => tap.close())
    await once(tap, 'listening')
    const { port } = tap.address() as AddressInfo
    const socket = dial({ ...rig, port }, identityOf(await ca.issue(uri(CLIENT))))
    await echo(socket, 'ping')
    // ServerHello, extension key_share (0x0033): the group and a share of 1,120 bytes (RFC 8446, section 4.2.8.2).
    expect(Buffer.concat(said).toString('hex')).toMatch(/^160303.*0033046411ec0460/)
    socket.destroy()
  })

  it('refuses a client of another CA', async () => {
    const rig = await startServer()
    const stranger = identityOf(await strangers.issue(uri(CLIENT)))
    const socket = dial(rig, stranger, { rejectUnauthorized: false })
    expect(await rejection(rig, socket)).toBe('certificate_untrusted')
  })

  it('refuses a client without a certificate', async () => {
    const rig = await startServer()
    expect(await rejection(rig, dial(rig, undefined))).toBe('no_certificate')
  })

  it('refuses an expired client certificate', async () => {
    const rig = await startServer()
    const expired = await ca.issue(uri(CLIENT), { notAfter: new Date(Date.now() - 60_000) })
    expect(await rejection(rig, dial(rig, identityOf(expired)))).toBe('certificate_expired')
  })

  it.each([
    ['of another mesh', [{ type: 'url', value: 'spiffe://weft.internal/other/cart' }]],
    ['of another trust domain', [{ type: 'url', value: 'spiffe://elsewhere/shop/cart' }]],
    ['without any name', []],
    ['with a DNS name only', [{ type: 'dns', value: 'cart.shop' }]],
    [
      'with two URI names, the right one first',
      [
        { type: 'url', value: CLIENT },
        { type: 'url', value: 'spiffe://weft.internal/shop/admin' },
      ],
    ],
    // CVE-2021-44532: a name whose text looks like a further name.
    ['with a DNS name that spells a URI name', [{ type: 'dns', value: `x, URI:${CLIENT}` }]],
  ] as [string, { type: 'url' | 'dns'; value: string }[]][])('refuses a certificate %s', async (_what, names) => {
    const rig = await startServer()
    const certificate = await ca.issue(names)
    const options = { key: certificate.keyPem, cert: certificate.chainPem }
    expect(await rejection(rig, dial(rig, undefined, options))).toBe('not_a_member')
  })

  it('refuses a server name that no port has, and a client without one', async () => {
    for (const servername of ['p1.abc.weft.internal', '']) {
      const rig = await startServer()
      const socket = dial(rig, identityOf(await ca.issue(uri(CLIENT))), { servername })
      expect(await rejection(rig, socket)).toBe('unknown_server_name')
    }
  })

  it('refuses TLS 1.2, a foreign ALPN and plain HTTP as failed handshakes', async () => {
    const certificate = await ca.issue(uri(CLIENT))
    const loose = { key: certificate.keyPem, cert: certificate.chainPem }
    const old = await startServer()
    expect(await rejection(old, dial(old, undefined, { ...loose, maxVersion: 'TLSv1.2' }))).toBe('handshake_failed')
    const alpn = await startServer()
    expect(await rejection(alpn, dial(alpn, undefined, { ...loose, ALPNProtocols: ['smtp'] }))).toBe('handshake_failed')
    const plain = await startServer()
    const socket = connectTcp(plain.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await rejection(plain, socket as TLSSocket)).toBe('handshake_failed')
  })

  it('keeps 100 live connections through a rotation, and shows new ones the new certificate', async () => {
    const rig = await startServer()
    const client = identityOf(await ca.issue(uri(CLIENT)))
    const before = rig.identity.notAfterMs
    const live = Array.from({ length: 100 }, () => dial(rig, client))
    await Promise.all(live.map((socket) => echo(socket, 'before')))

    const notAfter = new Date(Date.now() + 2 * 3_600_000)
    rig.identity.update({ ...(await ca.issue(uri(SERVER), { notAfter })), trust: ca.trust })
    expect(rig.identity.notAfterMs).toBeGreaterThan(before)

    expect(await Promise.all(live.map((socket) => echo(socket, 'after')))).toEqual(live.map(() => 'after'))
    expect(live[0]!.getPeerX509Certificate()!.validToDate.getTime()).toBe(before)
    const fresh = dial(rig, client)
    expect(await echo(fresh, 'new')).toBe('new')
    expect(fresh.getPeerX509Certificate()!.validToDate.getTime()).toBe(rig.identity.notAfterMs)
  })

  it('trusts a second CA as soon as the bundle has it, and no more when it is gone', async () => {
    const rig = await startServer()
    const newcomer = await strangers.issue(uri(CLIENT))
    const options = { key: newcomer.keyPem, cert: newcomer.chainPem }
    rig.identity.updateTrust({ revision: 'both', certificates: [ca.certificatePem, strangers.certificatePem] })
    const socket = dial(rig, undefined, options)
    expect(await echo(socket, 'ping')).toBe('ping')
    rig.identity.updateTrust(ca.trust)
    const late = dial(rig, undefined, options)
    await closed(late)
    await expect.poll(() => rig.rejected).toEqual(['certificate_untrusted'])
    expect(await echo(socket, 'still here')).toBe('still here')
  })
})

describe('a client of the mesh', () => {
  it('fails with peer_not_in_mesh, unsent, when another workload answers', async () => {
    const rig = await startServer()
    const client = identityOf(await ca.issue(uri(CLIENT)))
    const socket = dial(rig, client, { checkServerIdentity: expectPeer('spiffe://weft.internal/shop/payments') })
    const [error] = (await once(socket, 'error').catch((thrown) => [thrown])) as [ProxyError]
    expect(error).toMatchObject({ reason: 'peer_not_in_mesh', source: 'upstream', retry: 'unsent' })
    expect(error.message).toContain('spiffe://weft.internal/shop/payments')
  })

  it('fails when the server has a certificate of another CA', async () => {
    const rig = await startServer()
    const client = identityOf(await ca.issue(uri(CLIENT)), strangers.trust)
    const [error] = (await once(dial(rig, client), 'error').catch((thrown) => [thrown])) as [NodeJS.ErrnoException]
    expect(error.code).toMatch(/SELF_SIGNED|UNABLE_TO/)
  })

  it('knows how long a connection may live: until the first of both certificates ends', async () => {
    const rig = await startServer()
    const short = await ca.issue(uri(CLIENT), { notAfter: new Date(Date.now() + 60_000) })
    const socket = dial(rig, identityOf(short))
    await echo(socket, 'ping')
    for (const side of [socket, rig.sockets[0]!]) {
      expect(remainingLifeMs(side)).toBeLessThanOrEqual(60_000)
      expect(remainingLifeMs(side)).toBeGreaterThan(50_000)
    }
  })

  describe('sessions that are resumed', () => {
    /** A connection by the rules of a {@link KeptSession}, and how long its certificates last. */
    async function connectBy(rig: Rig, kept: KeptSession, identity: WorkloadIdentity) {
      const connecting = kept.connect(identity.clientContext())
      const socket = dial(rig, identity, { session: connecting.session })
      connecting.listen(socket)
      await once(socket, 'secureConnect')
      const lifeMs = connecting.lifeMs(socket)
      await echo(socket, 'ping')
      return { resumed: socket.isSessionReused(), lifeMs }
    }

    it('know on both sides who is there, and end with the certificates of their handshake', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT), { notAfter: new Date(Date.now() + 100_000) }))
      const kept = new KeptSession()
      expect((await connectBy(rig, kept, client)).resumed).toBe(false)
      const second = await connectBy(rig, kept, client)
      expect(second.resumed).toBe(true)
      expect(second.lifeMs).toBeGreaterThan(90_000)
      expect(second.lifeMs).toBeLessThanOrEqual(100_000)
      expect(peerSpiffeId(rig.sockets[1]!)).toBe(CLIENT)
      expect(rig.ends[1]).toBeLessThanOrEqual(Date.now() + 100_000)
      expect(rig.rejected).toEqual([])
    })

    it('are not offered once our own certificate or our CAs have changed', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT)))
      const kept = new KeptSession()
      await connectBy(rig, kept, client)
      client.update({ ...(await ca.issue(uri(CLIENT))), trust: ca.trust })
      expect(kept.connect(client.clientContext()).session).toBeUndefined()
      await connectBy(rig, kept, client)
      client.updateTrust({
        revision: 'more',
        certificates: [...ca.trust.certificates, ...strangers.trust.certificates],
      })
      expect(kept.connect(client.clientContext()).session).toBeUndefined()
    })

    it('are not offered when a certificate is about to end', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT), { notAfter: new Date(Date.now() + 20_000) }))
      const kept = new KeptSession()
      await connectBy(rig, kept, client)
      expect(kept.connect(client.clientContext()).session).toBeUndefined()
    })

    it('are not taken by a server whose certificate or CAs have changed since', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT)))
      const kept = new KeptSession()
      await connectBy(rig, kept, client)
      rig.identity.update({ ...(await ca.issue(uri(SERVER))), trust: ca.trust })
      expect((await connectBy(rig, kept, client)).resumed).toBe(false)
    })

    it('let nobody in whose CA is trusted no more', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT)))
      const kept = new KeptSession()
      await connectBy(rig, kept, client)
      rig.sockets.length = 0
      rig.identity.updateTrust(strangers.trust)
      const { session } = kept.connect(client.clientContext())
      expect(session).toBeDefined()
      expect(await rejection(rig, dial(rig, client, { session }))).toBe('certificate_untrusted')
    })

    it('let nobody in whose certificate has ended meanwhile', async () => {
      const rig = await startServer()
      const client = identityOf(await ca.issue(uri(CLIENT), { notAfter: new Date(Date.now() + 2_000) }))
      const socket = dial(rig, client)
      const [session] = (await once(socket, 'session')) as [Buffer]
      socket.destroy()
      await expect.poll(() => client.notAfterMs < Date.now(), { timeout: 5_000 }).toBe(true)
      rig.sockets.length = 0
      const late = dial(rig, client, { session })
      late.on('error', () => {})
      await once(late, 'secureConnect')
      // It was resumed: nothing but the look at the dates keeps it out.
      expect(late.isSessionReused()).toBe(true)
      expect(await rejection(rig, late)).toBe('certificate_expired')
    }, 10_000)
  })
})

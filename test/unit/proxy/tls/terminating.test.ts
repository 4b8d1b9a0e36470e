import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Log } from '../../../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import type { Rejection } from '../../../../proxy-image/src/tls/server.ts'
import { createTerminatingServer, type TerminatingSource } from '../../../../proxy-image/src/tls/terminating.ts'
import type { ClientValidation } from '../../../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa, type TestCertificate } from '../../../support/certificates.ts'

let ca: TestCa
let directory: string
let lines: string[]
const toClose: (() => void)[] = []
beforeAll(async () => {
  ca = await createTestCa('public')
})
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-terminating-'))
  lines = []
  rejected = []
})
afterEach(() => {
  for (const close of toClose.splice(0)) close()
  rmSync(directory, { recursive: true })
})

const log = new Log('info', (line) => lines.push(line))

function put(certificate: TestCertificate) {
  for (const [name, content] of [
    ['key.pem', certificate.keyPem],
    ['chain.pem', certificate.chainPem],
  ] as const) {
    writeFileSync(join(directory, `${name}.new`), content)
    renameSync(join(directory, `${name}.new`), join(directory, name))
  }
}

const files = () => ({ kind: 'file', chain: join(directory, 'chain.pem'), key: join(directory, 'key.pem') }) as const
const named = (name: string) => ca.issue([{ type: 'dns', value: name }])

let rejected: Rejection[]

function open(part: Partial<TerminatingSource>, identity = new WorkloadIdentity()) {
  return createTerminatingServer({
    certificate: files(),
    clientValidation: null,
    identity,
    log,
    alpnProtocols: ['http/1.1'],
    onConnection: (socket) => {
      socket.on('error', () => {})
      socket.end('hello')
    },
    onRejected: (reason) => rejected.push(reason),
    pollMs: 20,
    ...part,
  })
}

async function listen(part: Partial<TerminatingSource> = {}, identity?: WorkloadIdentity): Promise<number> {
  const { server, close } = open(part, identity)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => server.close(), close)
  return (server.address() as AddressInfo).port
}

/** The names of the certificate that the server shows now; the client shows none. */
async function shown(port: number): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port, ca: [ca.certificatePem], checkServerIdentity: () => undefined })
  await once(socket, 'secureConnect')
  const names = socket.getPeerX509Certificate()?.subjectAltName
  socket.destroy()
  return names
}

describe('TLS for clients outside of the mesh', () => {
  it('shows a certificate from files, and a changed one without a restart', async () => {
    put(await named('a.example'))
    const port = await listen()
    expect(await shown(port)).toBe('DNS:a.example')
    put(await named('b.example'))
    await expect.poll(() => shown(port)).toBe('DNS:b.example')
  })

  it('keeps the last good certificate while the files are broken, missing or do not fit, and recovers', async () => {
    put(await named('a.example'))
    const port = await listen()
    writeFileSync(files().chain, 'nonsense')
    await expect.poll(() => lines.length).toBeGreaterThan(0)
    expect(await shown(port)).toBe('DNS:a.example')
    rmSync(files().chain)
    await expect.poll(() => lines.join('')).toMatch(/ENOENT/)
    const strange = await named('b.example')
    put({ ...strange, keyPem: (await named('c.example')).keyPem })
    await expect.poll(() => lines.join('')).toMatch(/mismatch/i)
    expect(await shown(port)).toBe('DNS:a.example')
    put(strange)
    await expect.poll(() => shown(port)).toBe('DNS:b.example')
    expect(lines.join('')).not.toContain('PRIVATE')
  })

  it('refuses files that can not serve now, so that the snapshot is refused', async () => {
    expect(() => open({})).toThrow(/ENOENT/)
    put(await ca.issue([{ type: 'dns', value: 'a' }], { notAfter: new Date(Date.now() - 1000) }))
    expect(() => open({})).toThrow(/expired at/)
  })

  it('follows the workload identity', async () => {
    const identity = new WorkloadIdentity()
    const uri = (name: string) => ca.issue([{ type: 'url', value: `spiffe://weft.internal/shop/${name}` }])
    identity.update({ ...(await uri('one')), trust: ca.trust })
    const port = await listen({ certificate: { kind: 'mesh' } }, identity)
    expect(await shown(port)).toBe('URI:spiffe://weft.internal/shop/one')
    identity.update({ ...(await uri('two')), trust: ca.trust })
    expect(await shown(port)).toBe('URI:spiffe://weft.internal/shop/two')
  })
})

/** `hello` when the server let this client in, else how the connection ended. */
function greeting(port: number, client: Partial<TestCertificate> = {}, more: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca: [ca.certificatePem],
      checkServerIdentity: () => undefined,
      ...(client.keyPem === undefined ? {} : { key: client.keyPem, cert: client.chainPem }),
      ...more,
    })
    toClose.push(() => socket.destroy())
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text === '' ? 'closed' : text))
  })
}

describe('certificates of clients from outside of the mesh', () => {
  let clients: TestCa
  const trustFile = () => join(directory, 'clients.pem')
  const fromFile = (...sans: string[]): ClientValidation => ({ trust: { kind: 'file', chain: trustFile() }, sans })
  const dns = (value: string) => ({ type: 'dns' as const, value })
  beforeAll(async () => {
    clients = await createTestCa('clients')
  })
  beforeEach(async () => {
    put(await named('server.example'))
    writeFileSync(trustFile(), clients.certificatePem)
  })

  it('lets in whoever the given CA vouches for, and nobody else', async () => {
    const port = await listen({ clientValidation: fromFile() })
    expect(await greeting(port, await clients.issue([dns('any.example')]))).toBe('hello')
    expect(await greeting(port)).toBe('closed')
    // Of the CA that the server itself shows: that is no reason to trust it as a client.
    expect(await greeting(port, await named('server.example'))).toBe('closed')
    const expired = await clients.issue([dns('any.example')], { notAfter: new Date(Date.now() - 1000) })
    expect(await greeting(port, expired)).toBe('closed')
    expect(rejected).toEqual(['no_certificate', 'certificate_untrusted', 'certificate_expired'])
  })

  it('does the same in TLS 1.2', async () => {
    const port = await listen({ clientValidation: fromFile('shop.example') })
    const old = { maxVersion: 'TLSv1.2' } as const
    expect(await greeting(port, await clients.issue([dns('shop.example')]), old)).toBe('hello')
    expect(await greeting(port, await clients.issue([dns('other.example')]), old)).toBe('closed')
    expect(await greeting(port, {}, old)).toBe('closed')
    expect(rejected).toEqual(['name_not_accepted', 'no_certificate'])
  })

  it('wants one of the names, exactly, as DNS name or URI', async () => {
    const port = await listen({ clientValidation: fromFile('shop.example', 'spiffe://x.example/cart') })
    const uri = (value: string) => ({ type: 'url' as const, value })
    expect(await greeting(port, await clients.issue([dns('a.example'), dns('shop.example')]))).toBe('hello')
    expect(await greeting(port, await clients.issue([uri('spiffe://x.example/cart')]))).toBe('hello')
    for (const names of [
      [dns('www.shop.example')],
      [dns('*.example')],
      [uri('spiffe://x.example/cart2')],
      [{ type: 'email' as const, value: 'shop.example' }],
      [],
    ]) {
      expect(await greeting(port, await clients.issue(names))).toBe('closed')
    }
    expect(rejected).toEqual(Array(5).fill('name_not_accepted'))
  })

  it('is not fooled by one name that looks like several (CVE-2021-44532)', async () => {
    const port = await listen({ clientValidation: fromFile('shop.example') })
    const forged = await clients.issue([dns('a.example, DNS:shop.example, DNS:b.example')])
    expect(await greeting(port, forged)).toBe('closed')
    expect(rejected).toEqual(['name_not_accepted'])
  })

  it('trusts a changed trust file without a restart, and keeps the last good one while it is broken', async () => {
    const later = await createTestCa('later clients')
    const [now, then] = [await clients.issue([dns('a.example')]), await later.issue([dns('a.example')])]
    const port = await listen({ clientValidation: fromFile() })
    writeFileSync(trustFile(), '')
    await expect.poll(() => lines.join('')).toMatch(/clients.pem holds no PEM certificate/)
    expect(await greeting(port, now)).toBe('hello')
    writeFileSync(trustFile(), `# both\n${clients.certificatePem}\n${later.certificatePem}\n`)
    await expect.poll(() => greeting(port, then)).toBe('hello')
    expect(await greeting(port, now)).toBe('hello')
    writeFileSync(trustFile(), later.certificatePem)
    await expect.poll(() => greeting(port, now)).toBe('closed')
  })

  describe.each(['TLSv1.2', 'TLSv1.3'] as const)('that come back with their session of %s', (maxVersion) => {
    interface Visit {
      readonly reused: boolean
      readonly text: string
      readonly sessions: readonly Buffer[]
    }

    async function visit(
      port: number,
      { keyPem: key, chainPem: cert }: TestCertificate,
      session?: Buffer,
    ): Promise<Visit> {
      const sessions: Buffer[] = []
      const options = { host: '127.0.0.1', port, ca: [ca.certificatePem], checkServerIdentity: () => undefined }
      const socket = connect({ ...options, key, cert, maxVersion, ...(session && { session }) })
      let [reused, text] = [false, '']
      socket.on('session', (fresh) => sessions.push(fresh))
      socket.on('data', (data) => {
        text += data
      })
      socket.on('error', () => {})
      socket.on('secureConnect', () => {
        reused = socket.isSessionReused()
      })
      await new Promise((resolve) => socket.once('close', resolve))
      return { reused, text, sessions }
    }

    it('go on with it', async () => {
      const port = await listen({ clientValidation: fromFile() })
      const client = await clients.issue([dns('a.example')])
      const { sessions } = await visit(port, client)
      expect(await visit(port, client, sessions[0])).toMatchObject({ reused: true, text: 'hello' })
    })

    it('are not let in when their CA is trusted no more', async () => {
      const port = await listen({ clientValidation: fromFile() })
      const [client, later] = [await clients.issue([dns('a.example')]), await createTestCa('later clients')]
      const { sessions } = await visit(port, client)
      writeFileSync(trustFile(), later.certificatePem)
      await expect.poll(() => visit(port, client).then(({ text }) => text)).toBe('')
      expect(await visit(port, client, sessions[0])).toMatchObject({ reused: false, text: '' })
    })

    it('are not let in when their certificate has ended', async () => {
      const port = await listen({ clientValidation: fromFile() })
      const end = Date.now() + 2_000
      const client = await clients.issue([dns('a.example')], { notAfter: new Date(end) })
      const { sessions, text } = await visit(port, client)
      expect(text).toBe('hello')
      await expect.poll(() => Date.now() > end + 1_000, { timeout: 5_000 }).toBe(true)
      expect((await visit(port, client, sessions[0])).text).toBe('')
      expect(rejected).toContain('certificate_expired')
    })
  })

  it('refuses a trust file that holds no certificate, so that the snapshot is refused', async () => {
    writeFileSync(trustFile(), '')
    expect(() => open({ clientValidation: fromFile() })).toThrow(/holds no PEM certificate/)
    rmSync(trustFile())
    expect(() => open({ clientValidation: fromFile() })).toThrow(/ENOENT/)
  })

  it('takes the trust bundle of the mesh for a secret of SDS, and follows it', async () => {
    const identity = new WorkloadIdentity()
    const own = await ca.issue([{ type: 'url', value: 'spiffe://weft.internal/shop/edge' }])
    identity.update({ ...own, trust: clients.trust })
    const port = await listen({ clientValidation: { trust: { kind: 'mesh' }, sans: [] } }, identity)
    const client = await clients.issue([dns('a.example')])
    expect(await greeting(port, client)).toBe('hello')
    identity.updateTrust(ca.trust)
    expect(await greeting(port, client)).toBe('closed')
  })
})

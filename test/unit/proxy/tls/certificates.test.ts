import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { promisify } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Log } from '../../../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import type { Rejection } from '../../../../proxy-image/src/tls/server.ts'
import { createTerminatingServer, type TerminatingSource } from '../../../../proxy-image/src/tls/terminating.ts'
import { createTestCa, type TestCa, type TestCertificate } from '../../../support/certificates.ts'

/** Several certificates of one listener, chosen by the server name that a client asks for. */

const run = promisify(execFile)
let ca: TestCa
let directory: string
let lines: string[]
let rejected: Rejection[]
const toClose: (() => void)[] = []
beforeAll(async () => {
  ca = await createTestCa('public')
})
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-certificates-'))
  lines = []
  rejected = []
})
afterEach(() => {
  for (const close of toClose.splice(0)) close()
  rmSync(directory, { recursive: true })
})

const filesOf = (name: string) =>
  ({ kind: 'file', chain: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) }) as const

function write(path: string, content: string): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

function put(name: string, { keyPem, chainPem }: TestCertificate): void {
  write(filesOf(name).key, keyPem)
  write(filesOf(name).chain, chainPem)
}

const issue = (...names: string[]) => ca.issue(names.map((value) => ({ type: 'dns', value })))

function open(part: Partial<TerminatingSource>) {
  return createTerminatingServer({
    certificate: filesOf('own'),
    clientValidation: null,
    identity: new WorkloadIdentity(),
    log: new Log('info', (line) => lines.push(line)),
    alpnProtocols: ['http/1.1'],
    onConnection: (socket) => {
      socket.on('error', () => {})
      // In the turn of the handshake node (24.21) ends a socket without close_notify, which openssl calls an error.
      setImmediate(() => socket.end('hello'))
    },
    onRejected: (reason) => rejected.push(reason),
    pollMs: 20,
    ...part,
  })
}

async function listen(part: Partial<TerminatingSource>): Promise<number> {
  const { server, close } = open(part)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => server.close(), close)
  return (server.address() as AddressInfo).port
}

/** The names in the certificate that the server shows to who asks for this one. */
async function shown(port: number, servername?: string, more: ConnectionOptions = {}): Promise<string | undefined> {
  const name = servername === undefined ? {} : { servername }
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: [ca.certificatePem],
    checkServerIdentity: () => undefined,
    ...name,
    ...more,
  })
  await once(socket, 'secureConnect')
  const names = socket.getPeerX509Certificate()?.subjectAltName
  socket.destroy()
  return names?.replaceAll('DNS:', '')
}

async function threeCertificates(): Promise<TerminatingSource> {
  put('own', await issue('own.example', 'www.shop.example'))
  put('shop', await issue('shop.example', '*.shop.example'))
  put('deep', await issue('A.b.Shop.example'))
  return { certificate: filesOf('own'), certificates: [filesOf('shop'), filesOf('deep')], clientValidation: null }
}

describe('several certificates of one listener', () => {
  it('are shown for the names in them: exact before wildcard, which stands for one label', async () => {
    const port = await listen(await threeCertificates())
    const [own, shop, deep] = ['own.example, www.shop.example', 'shop.example, *.shop.example', 'A.b.Shop.example']
    for (const [name, expected] of [
      ['shop.example', shop],
      ['x.shop.example', shop],
      ['X.SHOP.example', shop],
      ['a.b.shop.example', deep],
      ['c.b.shop.example', own],
      // A name of the listener's own certificate goes before another one's wildcard.
      ['www.shop.example', own],
      ['own.example', own],
      ['elsewhere.example', own],
      ['example', own],
      [undefined, own],
    ] as const) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        expect([name, await shown(port, name, { maxVersion })]).toEqual([name, expected])
      }
    }
  })

  it('are those that openssl sees', async () => {
    const port = await listen(await threeCertificates())
    const seen = async (...args: string[]) => {
      const { stdout } = await run('openssl', ['s_client', '-ign_eof', '-connect', `127.0.0.1:${port}`, ...args])
      const text = run('openssl', ['x509', '-noout', '-ext', 'subjectAltName'])
      text.child.stdin!.end(stdout)
      return (await text).stdout
    }
    expect(await seen('-servername', 'x.shop.example')).toContain('DNS:shop.example, DNS:*.shop.example')
    expect(await seen('-noservername')).toContain('DNS:own.example')
  })

  it('are swapped each by itself, with the names in them; what broke leaves the last good one and the others alone', async () => {
    const port = await listen(await threeCertificates())
    put('shop', await issue('market.example'))
    await expect.poll(() => shown(port, 'market.example')).toBe('market.example')
    expect(await shown(port, 'shop.example')).toBe('own.example, www.shop.example')

    writeFileSync(filesOf('shop').chain, 'nonsense')
    await expect.poll(() => lines.join('')).toContain('shop.pem')
    put('deep', await issue('deep.example'))
    put('own', await issue('new.example'))
    await expect.poll(() => shown(port, 'deep.example')).toBe('deep.example')
    await expect.poll(() => shown(port)).toBe('new.example')
    expect(await shown(port, 'market.example')).toBe('market.example')

    const expired = { notAfter: new Date(Date.now() - 1000) }
    put('shop', await ca.issue([{ type: 'dns', value: 'expired.example' }], expired))
    await expect.poll(() => lines.join('')).toMatch(/shop.pem expired at/)
    put('shop', await ca.issue([]))
    await expect.poll(() => lines.join('')).toMatch(/shop.pem holds no DNS name/)
    expect(await shown(port, 'market.example')).toBe('market.example')
    put('shop', await issue('again.example'))
    await expect.poll(() => shown(port, 'again.example')).toBe('again.example')
    expect(lines.join('')).not.toContain('PRIVATE')
  })

  it('must all be usable at the beginning, so that the snapshot is refused otherwise', async () => {
    const source = await threeCertificates()
    rmSync(filesOf('deep').key)
    expect(() => open(source)).toThrow(/ENOENT.*deep.key/)
    put('deep', await ca.issue([{ type: 'dns', value: 'a' }], { notAfter: new Date(Date.now() - 1000) }))
    expect(() => open(source)).toThrow(/deep.pem expired at/)
    put('deep', { ...(await issue('a')), keyPem: (await issue('b')).keyPem })
    expect(() => open(source)).toThrow(/mismatch/i)
    put('deep', await ca.issue([{ type: 'url', value: 'spiffe://weft.internal/shop/x' }]))
    expect(() => open(source)).toThrow(/deep.pem holds no DNS name/)
  })
})

describe('certificates of clients, where a listener has several of its own', () => {
  let clients: TestCa
  const NAMES = [undefined, 'own.example', 'shop.example', 'x.shop.example', 'a.b.shop.example', 'elsewhere.example']
  const validation = (...sans: string[]) => ({
    trust: { kind: 'file' as const, chain: join(directory, 'ca.pem') },
    sans,
  })
  beforeEach(async () => {
    clients = await createTestCa('clients')
    writeFileSync(join(directory, 'ca.pem'), clients.certificatePem)
  })

  /** `hello` when the server let this client in, else how the connection ended. */
  function greeting(port: number, servername: string | undefined, more: ConnectionOptions): Promise<string> {
    return new Promise((resolve) => {
      const name = servername === undefined ? {} : { servername }
      const ways = { host: '127.0.0.1', port, ca: [ca.certificatePem], checkServerIdentity: () => undefined }
      const socket = connect({ ...ways, ...name, ...more })
      toClose.push(() => socket.destroy())
      let text = ''
      socket.on('data', (data) => {
        text += data.toString()
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(text === '' ? 'closed' : text))
    })
  }

  it('are asked for under every server name: nobody gets round it by SNI', async () => {
    const port = await listen({ ...(await threeCertificates()), clientValidation: validation('good.example') })
    const dns = (value: string) => ({ type: 'dns' as const, value })
    const good = await clients.issue([dns('good.example')])
    const unnamed = await clients.issue([dns('other.example')])
    // Of the CA that signed what the listener shows.
    const stranger = await issue('good.example')
    for (const servername of NAMES) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const as = ({ keyPem, chainPem }: TestCertificate) =>
          greeting(port, servername, { maxVersion, key: keyPem, cert: chainPem })
        rejected.splice(0)
        expect(await as(good)).toBe('hello')
        expect(await greeting(port, servername, { maxVersion })).toBe('closed')
        expect(await as(stranger)).toBe('closed')
        expect(await as(unnamed)).toBe('closed')
        expect(rejected).toEqual(['no_certificate', 'certificate_untrusted', 'name_not_accepted'])
      }
    }
  })

  it('are checked against changed CAs under every server name', async () => {
    const port = await listen({ ...(await threeCertificates()), clientValidation: validation() })
    const former = await clients.issue([{ type: 'dns', value: 'a' }])
    const later = await createTestCa('later')
    // A certificate that broke meanwhile is shown as it was, but with the new CAs.
    writeFileSync(filesOf('deep').chain, 'nonsense')
    write(join(directory, 'ca.pem'), later.certificatePem)
    const next = await later.issue([{ type: 'dns', value: 'a' }])
    const as = ({ keyPem, chainPem }: TestCertificate, name?: string) =>
      greeting(port, name, { key: keyPem, cert: chainPem })
    await expect.poll(() => as(next)).toBe('hello')
    for (const name of NAMES)
      expect([name, await as(next, name), await as(former, name)]).toEqual([name, 'hello', 'closed'])
  })

  it('are asked for again when a client comes back with a session of another server name', async () => {
    const port = await listen({ ...(await threeCertificates()), clientValidation: validation() })
    const { keyPem: key, chainPem: cert } = await clients.issue([{ type: 'dns', value: 'a' }])
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const sessions: Buffer[] = []
      const visit = async (servername: string, session?: Buffer): Promise<boolean> => {
        const again = session === undefined ? {} : { session }
        const ways = { host: '127.0.0.1', port, ca: [ca.certificatePem], checkServerIdentity: () => undefined }
        const socket = connect({ ...ways, servername, key, cert, maxVersion, ...again })
        socket.on('session', (fresh) => sessions.push(fresh)).resume()
        let reused = false
        socket.on('secureConnect', () => {
          reused = socket.isSessionReused()
        })
        await once(socket, 'close')
        return reused
      }
      await visit('shop.example')
      for (const session of [...sessions]) {
        expect(await visit('own.example', session)).toBe(false)
        expect(await visit('shop.example', session)).toBe(true)
      }
    }
  })
})

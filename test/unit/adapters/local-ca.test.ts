import 'reflect-metadata'
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { X509Certificate as Parsed, Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LocalCa, openLocalCa } from '../../../runtime/adapters/local-ca.ts'
import { csrPublicKey, signWith, workloadCertificate } from '../../../runtime/ca/certificate.ts'

const HAS_OPENSSL = spawnSync('openssl', ['version']).status === 0
const ID = 'spiffe://weft.internal/shop/orders'

let directory: string
let ca: LocalCa

function open(more: Partial<Parameters<typeof openLocalCa>[0]> = {}): Promise<LocalCa> {
  return openLocalCa({ directory: join(directory, 'ca'), trustDomain: 'weft.internal', clock: Date, ...more })
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weft-ca-'))
  ca = await open()
})
afterEach(() => rmSync(directory, { recursive: true }))

async function request(): Promise<{ csr: string; keyPem: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const keys = {
    publicKey: publicKey.toCryptoKey(algorithm, true, ['verify']),
    privateKey: privateKey.toCryptoKey(algorithm, false, ['sign']),
  }
  const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const csr = await Pkcs10CertificateRequestGenerator.create({ name: 'CN=root', keys, signingAlgorithm } as never)
  return { csr: csr.toString('pem'), keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
}

async function workload(issuer: LocalCa, id = ID): Promise<{ key: string; cert: string; ca: string }> {
  const { csr, keyPem } = await request()
  return { key: keyPem, cert: await issuer.issue(csr, id), ca: (await issuer.trust()).certificates.join('') }
}

function file(name: string, content: string): string {
  writeFileSync(join(directory, name), content)
  return join(directory, name)
}

describe('the root of the local CA', () => {
  it('lies in a file that only its owner can read, in a directory that only its owner can enter', () => {
    expect(statSync(join(directory, 'ca')).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, 'ca', 'root.pem')).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(directory, 'ca'))).toEqual(['root.pem'])
  })

  it('stays the same over restarts', async () => {
    expect(await (await open()).trust()).toEqual(await ca.trust())
  })

  it('is made once when several control planes start together', async () => {
    const fresh = join(directory, 'fresh')
    const all = await Promise.all([1, 2, 3, 4].map(() => open({ directory: fresh })))
    expect(new Set(await Promise.all(all.map((one) => one.fingerprint()))).size).toBe(1)
    expect(readdirSync(fresh)).toEqual(['root.pem'])
  })

  it('has the fingerprint that others compute', async () => {
    const [pem] = (await ca.trust()).certificates
    expect(await ca.fingerprint()).toBe(new X509Certificate(pem!).fingerprint256.replaceAll(':', '').toLowerCase())
  })

  it('never shows its key in what it hands out', async () => {
    const secret = /PRIVATE KEY-----\n([\s\S]+?)\n-----END/.exec(
      readFileSync(join(directory, 'ca', 'root.pem'), 'utf8'),
    )![1]!
    const shown = JSON.stringify([
      await ca.trust(),
      await workload(ca),
      await ca.issueServer({ dns: ['x'], ips: [] }),
      ca,
    ])
    expect(secret.length).toBeGreaterThan(100)
    expect(shown).not.toContain(secret.split('\n')[1])
  })

  it('is refused under another trust domain, with both named', async () => {
    await expect(open({ trustDomain: 'other.internal' })).rejects.toThrow(
      /spiffe:\/\/weft\.internal, not of trust domain other/,
    )
  })

  it.each(['', 'UPPER', 'a/b', 'a b', 'x'.repeat(256), 'ü'])(
    'is not made for the trust domain %.10s',
    async (trustDomain) => {
      await expect(open({ directory: join(directory, 'none'), trustDomain })).rejects.toMatchObject({ code: 'invalid' })
      expect(existsSync(join(directory, 'none'))).toBe(false)
    },
  )

  it('is refused when others can read it, or can write its directory', async () => {
    chmodSync(join(directory, 'ca', 'root.pem'), 0o640)
    await expect(open()).rejects.toThrow(/chmod 600/)
    chmodSync(join(directory, 'ca', 'root.pem'), 0o600)
    chmodSync(join(directory, 'ca'), 0o770)
    await expect(open()).rejects.toThrow(/chmod 700/)
  })

  it('is refused when damaged, without a word of its content', async () => {
    const path = join(directory, 'ca', 'root.pem')
    const good = readFileSync(path, 'utf8')
    const foreign = (await ca.issueServer({ dns: ['x'], ips: [] })).keyPem
    const key = good.slice(0, good.indexOf('-----BEGIN CERT'))
    for (const content of ['', 'x', key, good.slice(key.length), foreign + good.slice(key.length), good.slice(0, 60)]) {
      writeFileSync(path, content)
      const error: Error = await open().then(
        () => expect.fail('opened'),
        (reason) => reason,
      )
      expect(error).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/root\.pem is damaged/) })
      if (content.length > 1) expect(`${error.message}${error.cause ?? ''}`).not.toContain(content.slice(30, 60))
    }
  })
})

describe('a certificate of the local CA', () => {
  it('carries the key of the request and the name that the control plane decided, nothing of the request’s names', async () => {
    const { key, cert } = await workload(ca)
    const certificate = new X509Certificate(cert)
    expect(certificate.subjectAltName).toBe(`URI:${ID}`)
    expect(certificate.subject ?? '').toBe('')
    expect(certificate.ca).toBe(false)
    expect(certificate.publicKey.equals(createPublicKey(key))).toBe(true)
    expect(certificate.validToDate.getTime() - Date.now()).toBeGreaterThan(86_390_000)
    expect(certificate.validToDate.getTime() - Date.now()).toBeLessThanOrEqual(86_400_000)
  })

  it('is not given for a name outside of the trust domain', async () => {
    const { csr } = await request()
    for (const id of ['spiffe://other.internal/m/n', 'spiffe://weft.internal', 'https://weft.internal/m/n', '']) {
      await expect(ca.issue(csr, id)).rejects.toMatchObject({ code: 'invalid' })
    }
  })

  it.skipIf(!HAS_OPENSSL)('is right in the eyes of OpenSSL (skipped where there is no openssl)', async () => {
    const { cert, ca: root } = await workload(ca)
    const [leafFile, rootFile] = [file('leaf.pem', cert), file('root.pem', root)]
    for (const purpose of ['sslserver', 'sslclient']) {
      const args = ['verify', '-x509_strict', '-check_ss_sig', '-purpose', purpose, '-CAfile', rootFile, leafFile]
      expect(execFileSync('openssl', args, { encoding: 'utf8' })).toContain('OK')
    }
    const text = execFileSync('openssl', ['x509', '-in', leafFile, '-noout', '-text'], { encoding: 'utf8' })
    expect(text).toMatch(/Signature Algorithm: ecdsa-with-SHA256/)
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/)
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/)
    expect(text).toMatch(/Extended Key Usage: \s+TLS Web Server Authentication, TLS Web Client Authentication\n/)
    expect(text).toMatch(/Subject Alternative Name: critical\s+URI:spiffe:\/\/weft\.internal\/shop\/orders\n/)
    const rootText = execFileSync('openssl', ['x509', '-in', rootFile, '-noout', '-text'], { encoding: 'utf8' })
    expect(rootText).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
    expect(rootText).toMatch(/Key Usage: critical\s+Certificate Sign\n/)
    expect(rootText).toMatch(/Name Constraints: critical\s+Permitted:\s+URI:weft\.internal/)
  })

  it.skipIf(!HAS_OPENSSL)(
    'is worthless for OpenSSL under another root, and as a CA (skipped where there is no openssl)',
    async () => {
      const leafFile = file('leaf.pem', (await workload(ca)).cert)
      const otherRoot = (await (await open({ directory: join(directory, 'other') })).trust()).certificates.join('')
      const args = ['verify', '-x509_strict', '-CAfile', file('other.pem', otherRoot), leafFile]
      expect(spawnSync('openssl', args).status).not.toBe(0)
      const asCa = spawnSync('openssl', [
        'verify',
        '-partial_chain',
        '-CAfile',
        leafFile,
        leafFile,
        file('x.pem', otherRoot),
      ])
      expect(asCa.status).not.toBe(0)
    },
  )
})

describe('the server certificate of the control plane', () => {
  it('names hosts and addresses, is no client, lives 30 days and comes with the root', async () => {
    const { keyPem, chainPem } = await ca.issueServer({ dns: ['localhost', '*.cp.example'], ips: ['127.0.0.1', '::1'] })
    const [leaf, root] = chainPem.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem))
    expect(leaf!.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(leaf!.checkIP('::1')).toBe('::1')
    expect(leaf!.checkHost('a.cp.example')).toBe('*.cp.example')
    expect(leaf!.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(leaf!.subjectAltName).not.toContain('URI')
    expect(Math.round((leaf!.validToDate.getTime() - Date.now()) / 86_400_000)).toBe(30)
    expect(leaf!.publicKey.equals(createPublicKey(keyPem))).toBe(true)
    expect(root!.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(await ca.fingerprint())
  })

  it('is not made without names, or for names that are none', async () => {
    for (const names of [
      { dns: [], ips: [] },
      { dns: ['a b'], ips: [] },
      { dns: [''], ips: [] },
      { dns: ['a,DNS:b'], ips: [] },
      { dns: [], ips: ['localhost'] },
    ]) {
      await expect(ca.issueServer(names)).rejects.toMatchObject({ code: 'invalid' })
    }
  })
})

describe('mutual TLS with certificates of the local CA', () => {
  type Identity = { key: string; cert: string; ca: string }

  /** One handshake; what each side makes of the other. */
  async function handshake(server: Identity, client: Identity | { ca: string }) {
    const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' })
    listener.on('tlsClientError', () => {})
    const accepted = once(listener, 'secureConnection').then(([socket]) => socket as TLSSocket)
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const socket = connect({ ...client, host: '127.0.0.1', port, checkServerIdentity: () => undefined })
    try {
      // With TLS 1.3 the client is done before the server has judged it; only a byte from there tells.
      const answered = new Promise<Buffer>((resolve, reject) => {
        socket.once('data', resolve).once('error', reject)
        socket.once('close', () => reject(new Error('closed without an answer')))
      })
      void accepted.then((peer) => peer.on('error', () => {}).write('x'))
      await answered
      const peer = await accepted
      return {
        seenByServer: peer.getPeerCertificate().subjectaltname,
        seenByClient: socket.getPeerCertificate().subjectaltname,
      }
    } finally {
      socket.destroy()
      listener.close()
    }
  }

  it('shows both sides the SPIFFE ID of the other', async () => {
    const server = await workload(ca)
    const client = await workload(ca, 'spiffe://weft.internal/shop/gateway/web%20front')
    expect(await handshake(server, client)).toEqual({
      seenByServer: 'URI:spiffe://weft.internal/shop/gateway/web%20front',
      seenByClient: `URI:${ID}`,
    })
  })

  it('refuses a client without certificate, or with one of another CA', async () => {
    const server = await workload(ca)
    await expect(handshake(server, { ca: server.ca })).rejects.toThrow()
    const other = await open({ directory: join(directory, 'other') })
    await expect(handshake(server, { ...(await workload(other)), ca: server.ca })).rejects.toThrow()
  })

  it('refuses a server of another CA', async () => {
    const other = await open({ directory: join(directory, 'other') })
    const client = await workload(ca)
    await expect(handshake({ ...(await workload(other)), ca: client.ca }, client)).rejects.toThrow(
      /self-signed|verify|signature/,
    )
  })

  it('refuses a name of another trust domain even when the right root signed it', async () => {
    // As one who stole the key would try in a mesh that trusts several roots.
    const pem = readFileSync(join(directory, 'ca', 'root.pem'), 'utf8')
    const key = createPrivateKey(pem).toCryptoKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
    const root = new Parsed(pem.slice(pem.indexOf('-----BEGIN CERT')))
    const { csr, keyPem } = await request()
    const issuance = { nowMs: Date.now(), lifetimeMs: 60_000, serial: Buffer.alloc(16, 7) }
    const forged = await workloadCertificate(
      { certificate: root, sign: signWith(key) },
      await csrPublicKey(csr),
      'spiffe://other.internal/shop/orders',
      issuance,
    )
    const client = { key: keyPem, cert: forged.toString('pem'), ca: (await ca.trust()).certificates.join('') }
    await expect(handshake(await workload(ca), client)).rejects.toThrow()
  })

  it('refuses the control plane’s own certificate as a client', async () => {
    const server = await workload(ca)
    const { keyPem, chainPem } = await ca.issueServer({ dns: ['localhost'], ips: [] })
    await expect(handshake(server, { key: keyPem, cert: chainPem, ca: server.ca })).rejects.toThrow()
  })

  it('refuses a certificate that has ended', async () => {
    const past = await open({ clock: { now: () => Date.now() - 60_000 }, leafLifetimeMs: 30_000 })
    await expect(handshake(await workload(ca), await workload(past))).rejects.toThrow()
  })
})

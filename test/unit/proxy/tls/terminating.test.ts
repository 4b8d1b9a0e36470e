import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Log } from '../../../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import { createTerminatingServerOptions, type TerminatingTls } from '../../../../proxy-image/src/tls/terminating.ts'
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

async function listen(tls: TerminatingTls): Promise<number> {
  const server = createServer(tls.options, (socket) => {
    socket.on('error', () => {})
    socket.end('hello')
  })
  tls.keepFresh(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => server.close(), tls.close)
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
    const port = await listen(createTerminatingServerOptions(files(), new WorkloadIdentity(), log, 20))
    expect(await shown(port)).toBe('DNS:a.example')
    put(await named('b.example'))
    await expect.poll(() => shown(port)).toBe('DNS:b.example')
  })

  it('keeps the last good certificate while the files are broken, missing or do not fit, and recovers', async () => {
    put(await named('a.example'))
    const port = await listen(createTerminatingServerOptions(files(), new WorkloadIdentity(), log, 20))
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
    const open = () => createTerminatingServerOptions(files(), new WorkloadIdentity(), log)
    expect(open).toThrow(/ENOENT/)
    put(await ca.issue([{ type: 'dns', value: 'a' }], { notAfter: new Date(Date.now() - 1000) }))
    expect(open).toThrow(/expired at/)
  })

  it('follows the workload identity', async () => {
    const identity = new WorkloadIdentity()
    const uri = (name: string) => ca.issue([{ type: 'url', value: `spiffe://weft.internal/shop/${name}` }])
    identity.update({ ...(await uri('one')), trust: ca.trust })
    const port = await listen(createTerminatingServerOptions({ kind: 'mesh' }, identity, log))
    expect(await shown(port)).toBe('URI:spiffe://weft.internal/shop/one')
    identity.update({ ...(await uri('two')), trust: ca.trust })
    expect(await shown(port)).toBe('URI:spiffe://weft.internal/shop/two')
  })
})

import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ClientValidation, GatewayListener, Snapshot } from '../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { CURL_CUT_OFF, CURL_NOT_VERIFIED, curlSite } from '../support/curl.ts'
import { freePort } from '../support/free-port.ts'
import { startServing } from '../support/running-serving.ts'
import { gateway, oneWay } from '../support/snapshots.ts'

/** A gateway with certificates for several sites, and curl, which verifies what it is shown. */

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

let ca: TestCa
const directory = mkdtempSync(join(tmpdir(), 'weft-sites-'))
const fileOf = (name: string) =>
  ({ kind: 'file', chain: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) }) as const
beforeAll(async () => {
  ca = await createTestCa('public')
  writeFileSync(join(directory, 'ca.pem'), ca.certificatePem)
  for (const [file, name] of [
    ['own', 'www.example'],
    ['blog', '*.blog.example'],
    ['client', 'client.example'],
  ] as const) {
    const { keyPem, chainPem } = await ca.issue([{ type: 'dns', value: name }])
    writeFileSync(fileOf(file).key, keyPem)
    writeFileSync(fileOf(file).chain, chainPem)
  }
})

async function edge(clientValidation: ClientValidation = null) {
  const site = createServer((request, response) => void response.end(request.headers.host))
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  closers.push(() => void site.close())
  const port = await freePort()
  const snapshotWith = (certificates: GatewayListener['tls']['certificates']): Snapshot => ({
    ...oneWay(port, (site.address() as AddressInfo).port),
    listeners: [gateway(port, { tls: { mode: 'strict', certificate: fileOf('own'), certificates, clientValidation } })],
  })
  const proxy = await startServing(snapshotWith([fileOf('blog')]))
  closers.push(() => proxy.close())
  return { port, proxy, snapshotWith }
}

const curl = async (port: number, host: string, ...more: string[]) => {
  const answer = await curlSite(port, host, join(directory, 'ca.pem'), ...more)
  return typeof answer === 'string' ? answer.replace(`:${port}`, '') : answer
}

describe('the certificates of a gateway', () => {
  it('are for their own names, in both versions of HTTP, and come and go with snapshots', async () => {
    const { port, proxy, snapshotWith } = await edge()
    for (const version of ['--http1.1', '--http2']) {
      expect(await curl(port, 'www.example', version)).toBe('www.example')
      expect(await curl(port, 'a.blog.example', version)).toBe('a.blog.example')
      expect(await curl(port, 'a.b.blog.example', version)).toBe(CURL_NOT_VERIFIED)
    }
    await proxy.serving.apply(snapshotWith([]))
    expect(await curl(port, 'a.blog.example')).toBe(CURL_NOT_VERIFIED)
    await proxy.serving.apply(snapshotWith([fileOf('blog')]))
    expect(await curl(port, 'a.blog.example')).toBe('a.blog.example')
  })

  it('refuse a snapshot with one that can not be read, and the former one stays in force', async () => {
    const { port, proxy, snapshotWith } = await edge()
    await expect(proxy.serving.apply(snapshotWith([fileOf('blog'), fileOf('nowhere')]))).rejects.toThrow(/nowhere/)
    expect(await curl(port, 'a.blog.example')).toBe('a.blog.example')
  })

  it('all ask for the certificate that the listener asks of its clients', async () => {
    const { port, proxy } = await edge({
      trust: { kind: 'file', chain: join(directory, 'ca.pem') },
      sans: ['client.example'],
    })
    const as = (file: string) => ['--cert', fileOf(file).chain, '--key', fileOf(file).key]
    for (const host of ['www.example', 'a.blog.example']) {
      expect(await curl(port, host, ...as('client'))).toBe(host)
      expect(CURL_CUT_OFF).toContain(await curl(port, host))
      expect(await curl(port, host, ...as('blog'))).toBeTypeOf('number')
    }
    // Under a name that is verified nowhere, too.
    expect(CURL_CUT_OFF).toContain(await curl(port, 'elsewhere.example', '-k'))
    expect(proxy.count('weft_requests_total')).toBe(2)
    expect(proxy.count('weft_tls_handshake_failures_total', { reason: 'no_certificate' })).toBe(3)
    expect(proxy.count('weft_tls_handshake_failures_total', { reason: 'name_not_accepted' })).toBe(2)
  })
})

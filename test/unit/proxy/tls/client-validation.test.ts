import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { GatewayListener } from '../../../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa, type TestCertificate } from '../../../support/certificates.ts'
import { freePort } from '../../../support/free-port.ts'
import { connectRaw, connectRawTls } from '../../../support/raw-client.ts'
import { type RawUpstream, startUpstream } from '../../../support/raw-upstream.ts'
import { type RunningServing, startServing } from '../../../support/running-serving.ts'
import { cluster, gateway, inboundPort, oneWay, snapshot } from '../../../support/snapshots.ts'

let ca: TestCa
let clients: TestCa
let directory: string
let upstream: RawUpstream
beforeAll(async () => {
  ca = await createTestCa('public')
  clients = await createTestCa('clients')
  upstream = await startUpstream()
  directory = mkdtempSync(join(tmpdir(), 'weft-clients-'))
  const own = await ca.issue([{ type: 'dns', value: 'edge.example' }])
  writeFileSync(join(directory, 'key.pem'), own.keyPem)
  writeFileSync(join(directory, 'chain.pem'), own.chainPem)
  writeFileSync(join(directory, 'clients.pem'), clients.certificatePem)
})
afterAll(() => {
  upstream.close()
  rmSync(directory, { recursive: true })
})

let port: number
let proxy: RunningServing | undefined
beforeEach(async () => {
  port = await freePort()
})
afterEach(() => proxy?.close())

const certificate = () =>
  ({ kind: 'file', chain: join(directory, 'chain.pem'), key: join(directory, 'key.pem') }) as const
const validation = (...sans: string[]) => ({
  trust: { kind: 'file' as const, chain: join(directory, 'clients.pem') },
  sans,
})
const clientNamed = (value: string) => clients.issue([{ type: 'dns', value }])
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

function edge(tls: Partial<GatewayListener['tls']>) {
  const base = { mode: 'permissive', certificate: certificate(), certificates: [], clientValidation: null } as const
  return { ...oneWay(port, upstream.port), listeners: [gateway(port, { tls: { ...base, ...tls } })] }
}

/** Status of a GET over TLS, or `refused`. */
async function ask(client?: TestCertificate): Promise<number | 'refused'> {
  const key = client === undefined ? {} : { key: client.keyPem, cert: client.chainPem }
  try {
    const raw = await connectRawTls(port, { ca: [ca.certificatePem], checkServerIdentity: () => undefined, ...key })
    raw.send(GET)
    // A client of TLS 1.3 learns of its refusal only after its own handshake.
    await raw.until(() => raw.received.endsWith('ok') || raw.ending !== 'open')
    raw.close()
    return raw.received === '' ? 'refused' : Number(raw.received.slice(9, 12))
  } catch {
    return 'refused'
  }
}

async function askInTheClear(): Promise<string> {
  const raw = await connectRaw(port)
  raw.send(GET)
  await raw.until(() => raw.received.includes('\r\n\r\n') || raw.ending !== 'open')
  raw.close()
  return raw.received.slice(0, 12)
}

const refusals = (reason: string) => proxy!.count('weft_tls_handshake_failures_total', { reason })

describe('tls.validation of a listener', () => {
  it('STRICT: only clients with an accepted certificate get in, the others are counted', async () => {
    proxy = await startServing(edge({ mode: 'strict', clientValidation: validation('shop.example') }))
    expect(await ask(await clientNamed('shop.example'))).toBe(200)
    const before = upstream.requests.length
    expect(await ask(await clientNamed('other.example'))).toBe('refused')
    expect(await ask(await ca.issue([{ type: 'dns', value: 'shop.example' }]))).toBe('refused')
    expect(await ask()).toBe('refused')
    expect(await askInTheClear()).not.toMatch(/^HTTP/)
    expect(upstream.requests.length).toBe(before)
    expect(refusals('name_not_accepted')).toBe(1)
    expect(refusals('certificate_untrusted')).toBe(1)
    expect(refusals('no_certificate')).toBe(1)
  })

  it('PERMISSIVE: plaintext still gets in, TLS without an accepted certificate does not', async () => {
    proxy = await startServing(edge({ clientValidation: validation() }))
    expect(await askInTheClear()).toBe('HTTP/1.1 200')
    expect(await ask(await clientNamed('any.example'))).toBe(200)
    expect(await ask()).toBe('refused')
  })

  it('holds on the published port of a node, too', async () => {
    const published = { port, tls: 'permissive', certificate: certificate(), clientValidation: validation() } as const
    const listener = {
      kind: 'inbound',
      authorization: null,
      origin: { kind: 'virtual-node', name: 'callee' },
      port: await freePort(),
      ports: [inboundPort({ port: upstream.port, cluster: 'local', published })],
    } as const
    const local = cluster('local', { port: upstream.port, discovery: { kind: 'local' } })
    proxy = await startServing(snapshot({ listeners: [listener], clusters: [local] }))
    expect(await askInTheClear()).toBe('HTTP/1.1 200')
    expect(await ask(await clientNamed('any.example'))).toBe(200)
    expect(await ask()).toBe('refused')
    expect(refusals('no_certificate')).toBe(1)
  })

  it('a new rule ends the connections that came in by the old one', async () => {
    proxy = await startServing(edge({}))
    const plain = await connectRaw(port)
    plain.send(GET)
    await plain.answer()
    await proxy.serving.apply(edge({ mode: 'strict', clientValidation: validation() }))
    expect(await plain.ended()).toBe('fin')
    expect(await ask()).toBe('refused')
    expect(await ask(await clientNamed('any.example'))).toBe(200)
  })

  it('a trust file that is missing refuses the snapshot whole, and the one in force stays', async () => {
    proxy = await startServing(edge({}))
    const missing = { trust: { kind: 'file', chain: join(directory, 'absent.pem') }, sans: [] } as const
    await expect(proxy.serving.apply(edge({ clientValidation: missing }))).rejects.toThrow(/absent.pem/)
    expect(await ask()).toBe(200)
  })
})

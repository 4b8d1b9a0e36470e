import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CertificateClient } from '../../../../proxy-image/src/control/certificate-client.ts'
import { JoinTokenProof } from '../../../../proxy-image/src/control/join-token-proof.ts'
import { StateDirectory } from '../../../../proxy-image/src/control/state.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import type { Subject } from '../../../../runtime/model/reference.ts'
import { createTestCa, type TestCa } from '../../../support/certificates.ts'
import { joinTokenFor, type SeenCall, startStandIn } from '../../../support/stand-in-control-plane.ts'

const ORDERS = 'spiffe://weft.internal/shop/orders'
const subject: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }

let ca: TestCa
let strangers: TestCa
let directory: string
let lines: string[]
const toClose: (() => void | Promise<void>)[] = []
beforeAll(async () => {
  ca = await createTestCa('mesh')
  strangers = await createTestCa('strangers')
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-certificate-'))
  lines = []
})
afterEach(async () => {
  for (const close of toClose.splice(0)) await close()
  await rm(directory, { recursive: true })
})

/** Signs every CSR for `uri`, `lifetimeMs` long, but for those that shall fail with a status. */
async function standIn(uri = ORDERS, lifetimeMs = 3_600_000, names?: Parameters<typeof startStandIn>[2]) {
  const failures: number[] = []
  const answer = async ({ body }: SeenCall) => {
    const status = failures.shift()
    if (status !== undefined) {
      return { status, body: { detail: 'said by the test' }, headers: status === 429 ? { 'retry-after': '1' } : {} }
    }
    const validity = { notAfter: new Date(Date.now() + lifetimeMs) }
    const chain = await ca.sign(body.csr, [{ type: 'url', value: uri }], validity)
    return { status: 200, body: { chain, trust: ca.trust } }
  }
  const server = await startStandIn(ca, answer, names)
  toClose.push(() => server.close())
  return { ...server, failures }
}

function client(url: string, token: string | null = joinTokenFor(ca, subject)) {
  const log = new Log('info', (line) => lines.push(line))
  const identity = new WorkloadIdentity()
  const state = new StateDirectory(directory, log)
  const proof = token === null ? null : new JoinTokenProof(token, { controlPlaneUrl: url, subject, identity })
  const certificates = new CertificateClient({ controlPlaneUrl: url, subject, proof, identity, state, log })
  toClose.push(() => {
    certificates.close()
    return state.flush()
  })
  return { certificates, identity, state }
}

/** Starts one that must not succeed, until the log says so. */
async function fails(certificates: CertificateClient, why: RegExp) {
  const started = certificates.start()
  const ended = expect(started).rejects.toThrow('closed before')
  await expect.poll(() => lines.join('')).toMatch(why)
  certificates.close()
  await ended
}

describe('the certificate client', () => {
  it('buys the first certificate with the join token and saves it for its owner only', async () => {
    const server = await standIn()
    const { certificates, identity } = client(server.url)
    await certificates.start()
    expect(identity.spiffeId).toBe(ORDERS)
    expect(server.calls).toMatchObject([{ bearer: joinTokenFor(ca, subject), client: undefined }])
    const file = join(directory, 'identity.pem')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readFile(file, 'utf8')).toContain('PRIVATE KEY')
    expect(JSON.stringify(server.calls)).not.toContain('PRIVATE KEY')
    expect(lines.join('')).not.toMatch(/PRIVATE|weft1\./)
  })

  it('takes the saved certificate without asking anybody', async () => {
    const server = await standIn()
    const first = client(server.url)
    await first.certificates.start()
    first.certificates.close()
    server.close()
    const second = client(server.url, null)
    await second.certificates.start()
    expect(second.identity.notAfterMs).toBe(first.identity.notAfterMs)
    expect(server.calls).toHaveLength(1)
  })

  it('renews over mTLS, without the token, with another key, before the end', async () => {
    const server = await standIn(ORDERS, 3_000)
    const { certificates, identity } = client(server.url)
    await certificates.start()
    const { keyPem } = identity.credentials
    const endMs = identity.notAfterMs
    await expect.poll(() => server.calls.length, { timeout: 5_000 }).toBe(2)
    expect(Date.now()).toBeLessThan(endMs)
    expect(server.calls[1]).toMatchObject({ bearer: undefined, client: `URI:${ORDERS}` })
    await expect.poll(() => identity.credentials.keyPem).not.toBe(keyPem)
  })

  it('asks with the same key until it has its certificate, so that a CA that is slow makes one and no more', async () => {
    const server = await standIn(ORDERS, 3_600_000)
    server.failures.push(503, 503)
    const { certificates } = client(server.url)
    await certificates.start()
    certificates.renewSoon()
    await expect.poll(() => server.calls.length).toBe(4)
    const keys = new Set(server.calls.map(({ body }) => body.csr))
    expect([...keys]).toEqual([server.calls[2]!.body.csr, server.calls[3]!.body.csr])
  })

  it('comes back when a control plane that is asked too much says so, and not before', async () => {
    const server = await standIn()
    server.failures.push(429)
    const startMs = performance.now()
    await client(server.url).certificates.start()
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(1_000)
    expect(server.calls).toHaveLength(2)
  })

  it('falls back on the token when the saved certificate has ended', async () => {
    const server = await standIn()
    const { certificates, identity, state } = client(server.url)
    const ended = await ca.issue([{ type: 'url', value: ORDERS }], { notAfter: new Date(Date.now() - 1000) })
    await state.saveCredentials({ ...ended, trust: ca.trust })
    await certificates.start()
    expect(identity.notAfterMs).toBeGreaterThan(Date.now())
    expect(server.calls).toMatchObject([{ bearer: joinTokenFor(ca, subject) }])
  })

  it.each([
    ['of another node', async () => ca.issue([{ type: 'url', value: 'spiffe://weft.internal/shop/cart' }])],
    ['of another key', async () => ({ ...(await ca.issue([])), keyPem: (await ca.issue([])).keyPem })],
    ['that is cut off', async () => ({ ...(await ca.issue([])), chainPem: '-----BEGIN CERTIFICATE-----\nMIIB' })],
  ])('ignores a saved certificate %s, with a line in the log', async (_what, saved) => {
    const server = await standIn()
    const { certificates, identity, state } = client(server.url)
    await state.saveCredentials({ ...(await saved()), trust: ca.trust })
    await certificates.start()
    expect(identity.spiffeId).toBe(ORDERS)
    expect(server.calls).toHaveLength(1)
    expect(lines.join('')).toMatch(/the saved certificate is not usable and was ignored/)
  })

  it('gets another by token when the control plane no longer knows the CA of the saved one', async () => {
    const server = await standIn()
    const { certificates, identity, state } = client(server.url)
    const old = await strangers.issue([{ type: 'url', value: ORDERS }])
    await state.saveCredentials({ ...old, trust: strangers.trust })
    await certificates.start()
    expect(identity.trust).toEqual(strangers.trust)
    certificates.renewSoon()
    await expect.poll(() => identity.trust, { timeout: 5_000 }).toEqual(ca.trust)
  })

  it('says its token to nobody whose chain lacks the pinned CA', async () => {
    const server = await standIn()
    const { certificates } = client(server.url, joinTokenFor(strangers, subject))
    await fails(certificates, /shows no CA with the fingerprint/)
    expect(server.calls).toEqual([])
  })

  it('says its token to no workload that poses as the control plane', async () => {
    // A member of the mesh has a chain to the pinned CA too, but no certificate for this host.
    const server = await standIn(ORDERS, 3_600_000, [{ type: 'url', value: 'spiffe://weft.internal/shop/evil' }])
    const { certificates } = client(server.url)
    await fails(certificates, /ERR_TLS_CERT_ALTNAME_INVALID/)
    expect(server.calls).toEqual([])
  })

  it('refuses a certificate for somebody else', async () => {
    const server = await standIn('spiffe://weft.internal/shop/cart')
    const { certificates, identity } = client(server.url)
    await fails(
      certificates,
      /the certificate is for virtual-node shop\/cart, but this proxy is virtual-node shop\/orders/,
    )
    expect(identity.ready).toBe(false)
  })

  it('says what to do about a token of another node, no token, or something that is none', async () => {
    const other = client('https://127.0.0.1:1', joinTokenFor(ca, { ...subject, name: 'cart' }))
    await fails(other.certificates, /WEFT_TOKEN is for virtual-node shop\/cart, but this proxy is/)
    await fails(client('https://127.0.0.1:1', null).certificates, /set WEFT_TOKEN/)
    await fails(client('https://127.0.0.1:1', 'secret').certificates, /not a join token/)
    expect(lines.join('')).not.toContain('secret')
  })
})

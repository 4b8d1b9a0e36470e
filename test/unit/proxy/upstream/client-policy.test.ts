import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ProxyError } from '../../../../proxy-image/src/errors.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import { type DialResult, dial } from '../../../../proxy-image/src/upstream/connect.ts'
import { planDial } from '../../../../proxy-image/src/upstream/dial-plan.ts'
import { createTestCa, type TestCa } from '../../../support/certificates.ts'
import { cluster } from '../../../support/snapshots.ts'

let ca: TestCa
let directory: string
const toClose: (() => void)[] = []
beforeEach(async () => {
  ca = await createTestCa('servers')
  directory = mkdtempSync(join(tmpdir(), 'weft-client-policy-'))
  writeFileSync(join(directory, 'ca.pem'), ca.certificatePem)
})
afterEach(() => {
  for (const close of toClose.splice(0)) close()
  rmSync(directory, { recursive: true })
})

/** Dials a server with a certificate of this DNS name under a policy that accepts these names. */
async function dialled(shown: string, sans: readonly string[]): Promise<'connected' | ProxyError['reason']> {
  const { keyPem: key, chainPem: cert } = await ca.issue([{ type: 'dns', value: shown }])
  const server = createServer({ key, cert, ALPNProtocols: ['http/1.1'] }, (socket) => socket.on('error', () => {}))
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  toClose.push(() => server.close())
  const { port } = server.address() as AddressInfo
  const trust = { kind: 'file', chain: join(directory, 'ca.pem') } as const
  const plain = { kind: 'tls', tls: { trust, certificate: null, sans } } as const
  const spec = cluster('legacy', { port, tls: { mesh: null, plain } })
  const plan = planDial(spec, { address: '127.0.0.1', port, sidecar: null }, new WorkloadIdentity(), 'http/1.1')
  return new Promise((resolve) => {
    const done = (result: DialResult): void => {
      if (result instanceof ProxyError) return resolve(result.reason)
      result.socket.destroy()
      resolve('connected')
    }
    dial(plan, 2_000, done, null)
  })
}

describe('a client policy towards a server without sidecar', () => {
  it('accepts the names that it lists, and any name of the CA when it lists none', async () => {
    expect(await dialled('legacy.example', ['other.example', 'legacy.example'])).toBe('connected')
    expect(await dialled('legacy.example', [])).toBe('connected')
    expect(await dialled('www.legacy.example', ['legacy.example'])).toBe('tls_failed')
  })

  it('is not fooled by one name that looks like several (CVE-2021-44532)', async () => {
    expect(await dialled('a.example, DNS:legacy.example, DNS:b.example', ['legacy.example'])).toBe('tls_failed')
  })
})

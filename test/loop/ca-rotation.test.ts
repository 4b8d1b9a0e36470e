import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createAgent, post } from '../../proxy-image/src/control/call.ts'
import { CertificateClient } from '../../proxy-image/src/control/certificate-client.ts'
import { JoinTokenProof } from '../../proxy-image/src/control/join-token-proof.ts'
import { StateDirectory } from '../../proxy-image/src/control/state.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import { openLocalCa } from '../../runtime/adapters/local-ca.ts'
import { ROTATION_STEP_MS as STEP } from '../../runtime/ca/rotation.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { type ControlPlane, startControlPlane } from '../../runtime/server.ts'

const DAY_MS = 86_400_000
const SUBJECT: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }

let stateDirectory: string
let controlPlane: ControlPlane
beforeEach(async () => {
  stateDirectory = await mkdtemp(join(tmpdir(), 'weft-rotation-'))
  // The hourly check comes when a test says so; all else goes by the real time, as TLS does.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterEach(async () => {
  await controlPlane.close()
  vi.useRealTimers()
  await rm(stateDirectory, { recursive: true })
})

/** The CA as it was so long ago. */
function caBefore(ms: number) {
  const clock = { now: () => Date.now() - ms }
  return openLocalCa({ directory: join(stateDirectory, 'ca'), trustDomain: 'weft.internal', clock })
}

async function start(): Promise<void> {
  controlPlane = await startControlPlane({ stateDirectory, apiPort: 0, dataPlanePort: 0 })
  const put = async (path: string, body: object) => {
    const url = `${controlPlane.apiUrl}/v20190125/meshes${path}`
    const headers = { 'content-type': 'application/json' }
    const { status } = await fetch(url, { method: 'PUT', body: JSON.stringify(body), headers })
    expect([200, 409]).toContain(status)
  }
  await put('', { meshName: 'shop' })
  await put('/shop/virtualNodes', { virtualNodeName: 'orders', spec: {} })
}

/** A proxy that joins by a token minted now. */
async function joinMesh(name: string): Promise<WorkloadIdentity> {
  const log = new Log('error')
  const identity = new WorkloadIdentity()
  const state = new StateDirectory(join(stateDirectory, name), log)
  const common = { controlPlaneUrl: controlPlane.dataPlaneUrl, subject: SUBJECT, identity, state, log }
  const proof = new JoinTokenProof(controlPlane.mintJoinToken(SUBJECT), common)
  const client = new CertificateClient({ ...common, proof })
  await client.start()
  client.close()
  await state.flush()
  return identity
}

/** The position of the root that signed a proxy's certificate, in the order in which roots were added. */
async function signerOf({ credentials }: WorkloadIdentity): Promise<number> {
  const roots = await (await caBefore(0)).roots()
  const leaf = new X509Certificate(credentials.chainPem)
  const all = credentials.trust.certificates.map((pem) => new X509Certificate(pem))
  const signer = all.find((root) => leaf.verify(root.publicKey))!
  return roots.findIndex(({ notBeforeMs }) => notBeforeMs === signer.validFromDate.getTime())
}

/** One sync over mTLS, as the proxy makes it. */
async function sync(identity: WorkloadIdentity): Promise<{ trust?: { certificates: string[] } }> {
  const agent = createAgent(identity.serverOptions())
  const body = {
    schemas: [1],
    instance: { id: 'a', address: '127.0.0.1', meshPort: 15000, protocols: [], version: '0', state: 'ready' },
    known: { snapshot: null, endpoints: {}, trust: identity.trust.revision },
    status: { applied: null, rejected: null, certificateNotAfterMs: null },
  }
  try {
    const url = `${controlPlane.dataPlaneUrl}/v1/dataplane/sync`
    const signal = AbortSignal.timeout(5_000)
    return (await post({ connection: { agent }, url, body, timeoutMs: 5_000, signal })) as never
  } finally {
    agent.destroy()
  }
}

describe('the roots of a self-hosted control plane', () => {
  it('get a successor before they end', async () => {
    await caBefore(9 * 365 * DAY_MS)
    await start()
    const identity = await joinMesh('orders')
    expect(identity.trust.certificates).toHaveLength(2)
    expect(await signerOf(identity)).toBe(0)
  })

  it('are looked at each hour: the listener, new tokens and new certificates follow, and nobody is refused', async () => {
    await caBefore(400 * DAY_MS)
    await start()
    const early = await joinMesh('early')
    expect(early.trust.certificates).toHaveLength(1)

    // As if the control plane had added it a step ago, and the proxy had heard of it since.
    const ca = await caBefore(STEP + DAY_MS)
    await ca.addRoot(1)
    early.updateTrust(await ca.trust())
    await vi.advanceTimersByTimeAsync(3_600_000)
    await expect.poll(async () => signerOf(await joinMesh('late'))).toBe(1)
    expect((await sync(early)).trust).toBeUndefined()
  })

  it('are told to proxies by the next sync', async () => {
    await caBefore(400 * DAY_MS)
    await start()
    const identity = await joinMesh('orders')
    await (await caBefore(60_000)).addRoot(1)
    await vi.advanceTimersByTimeAsync(3_600_000)
    await expect.poll(async () => (await sync(identity)).trust?.certificates.length).toBe(2)
    expect(await signerOf(await joinMesh('late'))).toBe(0)
  })

  it('come back when the only one ended while the control plane was off', async () => {
    await caBefore(11 * 365 * DAY_MS)
    await start()
    expect(await signerOf(await joinMesh('orders'))).toBe(1)
  })
})

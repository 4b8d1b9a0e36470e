import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { CertificateClient } from '../../proxy-image/src/control/certificate-client.ts'
import { JoinTokenProof } from '../../proxy-image/src/control/join-token-proof.ts'
import { StateDirectory } from '../../proxy-image/src/control/state.ts'
import { SyncClient } from '../../proxy-image/src/control/sync-client.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import { type Mesh, request, startMesh } from './mesh.ts'

/** The control side of a proxy of `evil` that was broken into: it says that the mesh port of somebody else is its own. */
async function claim(mesh: Mesh, meshPort: number, cleanup: AsyncDisposableStack): Promise<SyncClient> {
  const directory = await mkdtemp(join(tmpdir(), 'weft-loop-'))
  cleanup.defer(() => rm(directory, { recursive: true }))
  const subject = { kind: 'virtual-node', mesh: 'shop', name: 'evil' } as const
  const [identity, log] = [new WorkloadIdentity(), new Log('error')]
  const state = new StateDirectory(directory, log)
  const common = { controlPlaneUrl: mesh.controlPlane.dataPlaneUrl, subject, identity, state, log }
  const proof = new JoinTokenProof(mesh.controlPlane.mintJoinToken(subject), common)
  const certificates = new CertificateClient({ ...common, proof })
  cleanup.defer(() => state.flush())
  cleanup.defer(() => certificates.close())
  await certificates.start()
  const sync = new SyncClient({
    ...common,
    proof: null,
    describe: () => ({ id: 'claim', address: '127.0.0.1', meshPort, protocols: ['h2', 'http/1.1'], version: '0' }),
    onSnapshot: () => {},
    onEndpoints: () => {},
    onRefused: () => {},
    listening: () => false,
    onFailure: () => {},
  })
  cleanup.defer(() => sync.close())
  void sync.run()
  return sync
}

it('a task that claims the address of another node’s gets none of its requests there, and takes none from it', async () => {
  await using cleanup = new AsyncDisposableStack()
  const mesh = cleanup.use(await startMesh('shop'))
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  for (const name of ['vault', 'evil']) {
    await mesh.put('/virtualNodes', { virtualNodeName: name, spec: { listeners } })
    const provider = { virtualNode: { virtualNodeName: name } }
    await mesh.put('/virtualServices', { virtualServiceName: `${name}.local`, spec: { provider } })
  }
  const backends = ['vault', 'evil'].map((name) => ({ virtualService: { virtualServiceName: `${name}.local` } }))
  await mesh.put('/virtualNodes', { virtualNodeName: 'web', spec: { listeners, backends } })
  const heard: (string | undefined)[] = []
  const app = await mesh.app((incoming, response) => {
    heard.push(incoming.headers.host)
    response.end('vault')
  })
  const vault = await mesh.proxy({ node: 'vault' }, { 8080: app })
  const web = await mesh.proxy({ node: 'web' })
  const call = (host: string) => request(mesh.port(web, 15001), { headers: { host } })

  const evil = await claim(mesh, mesh.port(vault, 15000), cleanup)
  await evil.setState('ready')
  const endpoints = `${mesh.controlPlane.apiUrl}/v1/meshes/shop/endpoints/evil`
  expect(await (await fetch(endpoints)).json()).toMatchObject({ endpoints: [{ id: 'claim', address: '127.0.0.1' }] })
  for (let n = 0; n < 3; n++) expect(await call('evil.local')).toMatchObject({ status: 503 })
  for (let n = 0; n < 3; n++) expect(await call('vault.local')).toMatchObject({ status: 200, body: 'vault' })
  expect(heard).toEqual(Array(3).fill('vault.local'))
})

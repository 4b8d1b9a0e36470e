import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import type { Cluster } from '../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa } from './certificates.ts'
import { freePort } from './free-port.ts'
import { type RunningServing, startServing } from './running-serving.ts'
import { cluster, forwardRoute, inboundPort, outbound, snapshot, table } from './snapshots.ts'

const SNI = 'p8080.callee.weft.internal'

export interface SidecarPair {
  /** The outbound port of the caller's sidecar. */
  readonly port: number
  readonly caller: RunningServing
  readonly callee: RunningServing
  close(): Promise<void>
}

/** A caller's sidecar, mTLS over HTTP/2, a callee's sidecar, and an app of `protocol` on `appPort`; reached as `host`. */
export async function startSidecarPair(
  appPort: number,
  protocol: Cluster['protocol'],
  host: string,
): Promise<SidecarPair> {
  const ca = await createTestCa('pair')
  const [meshPort, port] = [await freePort(), await freePort()]
  const origin = { kind: 'virtual-node', name: 'callee' } as const
  const callee = await startServing(
    snapshot({
      listeners: [
        {
          kind: 'inbound',
          authorization: null,
          origin,
          port: meshPort,
          ports: [inboundPort({ port: appPort, cluster: 'local', sni: SNI, protocol })],
        },
      ],
      clusters: [cluster('local', { port: appPort, protocol, discovery: { kind: 'local' } })],
    }),
    { identity: await identity(ca, 'callee') },
  )
  const caller = await startServing(
    snapshot({
      listeners: [outbound(port, [{ names: [host], table: 'callee' }])],
      tables: [table('callee', [forwardRoute('all', 'callee')], [port])],
      clusters: [
        cluster('callee', {
          port: 1,
          protocol,
          discovery: { kind: 'endpoints', node: 'callee' },
          tls: { mesh: { sni: SNI, spiffeId: 'spiffe://weft.test/shop/callee' }, plain: { kind: 'refuse' } },
        }),
        cluster('egress', { port: 1, discovery: { kind: 'passthrough' } }),
      ],
    }),
    { identity: await identity(ca, 'caller') },
  )
  const sidecar = { port: meshPort, protocols: ['h2'], version: '0' }
  caller.serving.updateEndpoints({
    node: 'callee',
    revision: '1',
    endpoints: [{ id: 'e0', address: '127.0.0.1', port: 1, sidecar, state: 'ready' }],
  })
  return {
    port,
    caller,
    callee,
    async close() {
      await caller.close()
      await callee.close()
    },
  }
}

async function identity(ca: TestCa, name: string): Promise<WorkloadIdentity> {
  const { keyPem, chainPem } = await ca.issue([{ type: 'url', value: `spiffe://weft.test/shop/${name}` }])
  const made = new WorkloadIdentity()
  made.update({ keyPem, chainPem, trust: ca.trust })
  return made
}

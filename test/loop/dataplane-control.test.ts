import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CertificateClient } from '../../proxy-image/src/control/certificate-client.ts'
import { JoinTokenProof } from '../../proxy-image/src/control/join-token-proof.ts'
import { StateDirectory } from '../../proxy-image/src/control/state.ts'
import { SyncClient } from '../../proxy-image/src/control/sync-client.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import type { EndpointSet } from '../../runtime/model/endpoints.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import type { Snapshot } from '../../runtime/model/snapshot.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../../runtime/server.ts'

let directory: string
const toClose: (() => void | Promise<void>)[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-loop-'))
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
  await rm(directory, { recursive: true })
})

async function start(options: Partial<ControlPlaneOptions> = {}): Promise<ControlPlane> {
  const stateDirectory = join(directory, 'control-plane')
  const controlPlane = await startControlPlane({ stateDirectory, apiPort: 0, dataPlanePort: 0, ...options })
  toClose.push(() => controlPlane.close())
  return controlPlane
}

async function put(controlPlane: ControlPlane, path: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const url = `${controlPlane.apiUrl}/v20190125/${path}`
  const answer = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(body) })
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
}

const orders = (port: number) => ({
  listeners: [{ portMapping: { port, protocol: 'http' } }],
  serviceDiscovery: { awsCloudMap: { namespaceName: 'shop.local', serviceName: 'orders' } },
})

/** Mesh `shop`: `cart` calls the virtual service `orders.shop`, which the node `orders` provides. */
async function createShop(controlPlane: ControlPlane): Promise<void> {
  await put(controlPlane, 'meshes', { meshName: 'shop' })
  await put(controlPlane, 'meshes/shop/virtualNodes', { virtualNodeName: 'orders', spec: orders(8080) })
  await put(controlPlane, 'meshes/shop/virtualServices', {
    virtualServiceName: 'orders.shop',
    spec: { provider: { virtualNode: { virtualNodeName: 'orders' } } },
  })
  await put(controlPlane, 'meshes/shop/virtualNodes', {
    virtualNodeName: 'cart',
    spec: {
      listeners: [{ portMapping: { port: 8080, protocol: 'http' } }],
      serviceDiscovery: { awsCloudMap: { namespaceName: 'shop.local', serviceName: 'cart' } },
      backends: [{ virtualService: { virtualServiceName: 'orders.shop' } }],
    },
  })
}

interface Proxy {
  readonly sync: SyncClient
  readonly certificates: CertificateClient
  readonly identity: WorkloadIdentity
  readonly snapshots: Snapshot[]
  readonly endpoints: Map<string, EndpointSet>
  readonly lines: string[]
  stop(): Promise<void>
}

/** The control side of one proxy, without its data plane. `refuse` decides which snapshots can't be put in force. */
function proxy(
  controlPlane: ControlPlane,
  name: string,
  refuse: (snapshot: Snapshot) => string | undefined = () => undefined,
): Proxy {
  const lines: string[] = []
  const log = new Log('info', (line) => lines.push(line))
  const subject: Subject = { kind: 'virtual-node', mesh: 'shop', name }
  const identity = new WorkloadIdentity()
  const state = new StateDirectory(join(directory, name), log)
  const snapshots: Snapshot[] = []
  const endpoints = new Map<string, EndpointSet>()
  const common = { controlPlaneUrl: controlPlane.dataPlaneUrl, subject, identity, state, log }
  const token = controlPlane.mintJoinToken(subject)
  const certificates = new CertificateClient({ ...common, proof: new JoinTokenProof(token, common) })
  const sync = new SyncClient({
    ...common,
    proof: null,
    describe: () => ({ id: `${name}-1`, address: '127.0.0.1', meshPort: 15000, protocols: ['http/1.1'], version: '0' }),
    onSnapshot: (snapshot) => {
      const why = refuse(snapshot)
      if (why !== undefined) throw new Error(why)
      snapshots.push(snapshot)
    },
    onEndpoints: (set) => endpoints.set(set.node, set),
    onRefused: () => certificates.renewSoon(),
    listening: () => false,
    onFailure: () => {},
  })
  const stop = async () => {
    sync.close()
    certificates.close()
    await state.flush()
  }
  toClose.push(stop)
  return { sync, certificates, identity, snapshots, endpoints, lines, stop }
}

async function joinMesh(one: Proxy): Promise<void> {
  await one.certificates.start()
  void one.sync.run()
  await expect.poll(() => one.snapshots.length, { timeout: 5000 }).toBeGreaterThan(0)
}

/** The port that the snapshot's inbound listener serves. */
const inboundPort = (snapshot: Snapshot | undefined) =>
  snapshot?.listeners.flatMap((listener) => (listener.kind === 'inbound' ? listener.ports : [])).map(({ port }) => port)

describe('the control side of a proxy and the control plane', () => {
  it('joins by token, syncs, and hears of another instance and of a change at once', async () => {
    const controlPlane = await start()
    await createShop(controlPlane)
    const cart = proxy(controlPlane, 'cart')
    await joinMesh(cart)
    expect(cart.identity.spiffeId).toBe('spiffe://weft.internal/shop/cart')
    expect(cart.snapshots[0]!.subject).toEqual({ kind: 'virtual-node', mesh: 'shop', name: 'cart' })

    const ordersProxy = proxy(controlPlane, 'orders')
    await joinMesh(ordersProxy)
    await ordersProxy.sync.setState('ready')
    await expect
      .poll(() => cart.endpoints.get('orders')?.endpoints)
      .toMatchObject([{ id: 'orders-1', address: '127.0.0.1', state: 'ready', sidecar: { port: 15000 } }])

    expect(inboundPort(ordersProxy.snapshots.at(-1))).toEqual([8080])
    const before = performance.now()
    await put(controlPlane, 'meshes/shop/virtualNodes/orders', { spec: orders(9090) })
    await expect.poll(() => inboundPort(ordersProxy.snapshots.at(-1)), { interval: 10 }).toEqual([9090])
    expect(performance.now() - before).toBeLessThan(1000)
  })

  it('tells peers that it drains as soon as its report is heard, and is gone when it closes', async () => {
    const controlPlane = await start()
    await createShop(controlPlane)
    const [cart, ordersProxy] = [proxy(controlPlane, 'cart'), proxy(controlPlane, 'orders')]
    await joinMesh(cart)
    await joinMesh(ordersProxy)
    await ordersProxy.sync.setState('ready')
    await expect.poll(() => cart.endpoints.get('orders')?.endpoints.map(({ state }) => state)).toEqual(['ready'])
    // Asked there, as a control plane that just started tells no proxy that a set became empty.
    const listed = async () => {
      const answer = await fetch(`${controlPlane.apiUrl}/v1/meshes/shop/endpoints/orders`)
      return JSON.stringify(await answer.json())
    }
    expect(await listed()).toContain('orders-1')
    await ordersProxy.sync.setState('draining')
    await expect.poll(() => cart.endpoints.get('orders')?.endpoints.map(({ state }) => state)).toEqual(['draining'])
    await ordersProxy.stop()
    await expect.poll(listed).not.toContain('orders-1')
  })

  it('shows at the control plane why a snapshot was refused, keeps the last good one, and takes the next', async () => {
    const controlPlane = await start()
    await createShop(controlPlane)
    const refuse = (snapshot: Snapshot) =>
      inboundPort(snapshot)?.includes(9090) ? 'port 9090 is taken on this host' : undefined
    const one = proxy(controlPlane, 'orders', refuse)
    await joinMesh(one)
    const good = one.snapshots[0]!.revision
    await put(controlPlane, 'meshes/shop/virtualNodes/orders', { spec: orders(9090) })
    const reported = async () => {
      const answer = await fetch(`${controlPlane.apiUrl}/v1/meshes/shop/proxies`)
      return JSON.stringify(await answer.json())
    }
    await expect.poll(reported).toContain('port 9090 is taken on this host')
    expect(await reported()).toContain(`"applied":"${good}"`)
    expect(one.snapshots).toHaveLength(1)
    expect(one.lines.filter((line) => line.includes('refused a snapshot'))).toHaveLength(1)
    await put(controlPlane, 'meshes/shop/virtualNodes/orders', { spec: orders(9191) })
    await expect.poll(() => inboundPort(one.snapshots.at(-1))).toEqual([9191])
    await expect.poll(reported).not.toContain('port 9090')
  })

  it('gets over a restart of the control plane, and restarts itself without one', async () => {
    const first = await start()
    await createShop(first)
    const one = proxy(first, 'orders')
    await joinMesh(one)
    const { port: apiPort } = new URL(first.apiUrl)
    const { port: dataPlanePort } = new URL(first.dataPlaneUrl)
    await first.close()

    const restarted = proxy(first, 'orders')
    await restarted.certificates.start()
    expect(await restarted.sync.startFromState()).toBe(true)
    expect(restarted.snapshots).toEqual(one.snapshots)
    expect(restarted.identity.notAfterMs).toBe(one.identity.notAfterMs)

    const second = await start({ apiPort: Number(apiPort), dataPlanePort: Number(dataPlanePort) })
    await put(second, 'meshes/shop/virtualNodes/orders', { spec: orders(9090) })
    await expect.poll(() => inboundPort(one.snapshots.at(-1)), { timeout: 12_000 }).toEqual([9090])
  })

  it('joins a control plane that lost its CA anew, by its token', async () => {
    const first = await start()
    await createShop(first)
    const { port: dataPlanePort } = new URL(first.dataPlaneUrl)
    const old = proxy(first, 'orders')
    await joinMesh(old)
    await old.stop()
    await first.close()
    await rm(join(directory, 'control-plane'), { recursive: true })

    const second = await start({ dataPlanePort: Number(dataPlanePort) })
    await createShop(second)
    const one = proxy(second, 'orders')
    await one.certificates.start()
    const { revision } = one.identity.trust
    void one.sync.run()
    await expect.poll(() => one.snapshots.length, { timeout: 10_000 }).toBe(1)
    expect(one.identity.trust.revision).not.toBe(revision)
  })

  it('renews certificates that live for seconds while syncs go on', async () => {
    const controlPlane = await start({ leafLifetimeMs: 3_000 })
    await createShop(controlPlane)
    const one = proxy(controlPlane, 'orders')
    await joinMesh(one)
    const end = one.identity.notAfterMs
    await expect.poll(() => one.identity.notAfterMs, { timeout: 5000 }).toBeGreaterThan(end)
    await put(controlPlane, 'meshes/shop/virtualNodes/orders', { spec: orders(9090) })
    await expect.poll(() => inboundPort(one.snapshots.at(-1)), { timeout: 5000 }).toEqual([9090])
    expect(one.lines.join('')).not.toMatch(/error/)
  })
})

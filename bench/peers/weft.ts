import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { proxyProcess } from '../../bin/proxy-process.ts'
import { nextVip } from '../../runtime/app/vip.ts'
import type { ControlPlane } from '../../runtime/server.ts'
import { type Child, freePorts, PROXY_CORE, startPinned, waitForAnswer } from '../processes.ts'
import { type Peer, type Running, running, type Topology } from './peer.ts'
import { namedBundle } from './weft-bundle.ts'
import { DESIGNED, hopResources, hostOf, MESH, type Put, pairResources } from './weft-resources.ts'

/** One proxy: who it is and where it listens. */
interface Sidecar {
  readonly kind: 'virtual-node' | 'virtual-gateway'
  readonly name: string
  /** Designed port to actual one, without the admin port. */
  readonly ports: Readonly<Record<number, number>>
  /** Whether virtual services have loopback addresses. */
  readonly vips?: boolean
}

interface Mesh {
  readonly controlPlane: ControlPlane
  /** Runs in place of the published bundle; undefined when nothing is profiled. */
  readonly named: string | undefined
}

/** Address of the first virtual service of a mesh. */
const FIRST_VIP = nextVip(undefined)

async function putAll({ controlPlane }: Mesh, puts: readonly Put[]): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  for (const { path, body } of puts) {
    const response = await fetch(`${controlPlane.apiUrl}${path}`, {
      method: 'PUT',
      headers,
      body: JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`PUT ${path}: ${response.status} ${text}`)
  }
}

async function startSidecar(mesh: Mesh, sidecar: Sidecar, topology: Topology): Promise<Child> {
  const { kind, name } = sidecar
  const [admin] = await freePorts(1)
  const ports = Object.entries({ ...sidecar.ports, [DESIGNED.admin]: admin }).map(([from, to]) => `${from}=${to}`)
  const stateDir = join(topology.directory, `${name}-state`)
  mkdirSync(stateDir)
  const { args, env } = await proxyProcess({
    PATH: process.env.PATH,
    WEFT_CONTROL_PLANE_URL: mesh.controlPlane.dataPlaneUrl,
    WEFT_MESH: MESH,
    [kind === 'virtual-node' ? 'WEFT_NODE' : 'WEFT_GATEWAY']: name,
    WEFT_TOKEN: mesh.controlPlane.mintJoinToken({ kind, mesh: MESH, name }),
    WEFT_BIND_ADDRESS: '127.0.0.1',
    WEFT_ADVERTISE_ADDRESS: '127.0.0.1',
    WEFT_PORTS: ports.join(','),
    WEFT_VIPS: sidecar.vips === true ? 'on' : 'off',
    WEFT_STATE_DIR: stateDir,
    // Nobody is left to drain for when the bench ends a proxy.
    LISTENER_DRAIN_WAIT_TIME_S: '0',
  })
  const { directory, nodeFlags } = topology
  const script = mesh.named ?? args.at(-1)!
  const command = [process.execPath, ...nodeFlags, ...args.slice(0, -1), script] as [string, ...string[]]
  const child = await startPinned(PROXY_CORE, command, { name, directory, env })
  await waitForAnswer(`http://127.0.0.1:${admin}/ready`, [child])
  return child
}

async function startHop(mesh: Mesh, topology: Topology): Promise<Running> {
  const { backendPort, clusters, protocol, certificates } = topology
  const secure = topology.shape === 'edge' ? certificates : undefined
  await putAll(mesh, hopResources(backendPort, clusters, protocol, secure))
  const [front] = await freePorts(1)
  const edge: Sidecar = { kind: 'virtual-gateway', name: 'edge', ports: { [DESIGNED.gateway]: front! } }
  const child = await startSidecar(mesh, edge, topology)
  const url = `${secure === undefined ? 'http' : 'https'}://127.0.0.1:${front}/`
  await waitForAnswer(clusters === 1 ? url : `${url}c0/`, [child], {}, protocol)
  return running(url, [child])
}

async function startPair(mesh: Mesh, topology: Topology): Promise<Running> {
  const { protocol } = topology
  await putAll(mesh, pairResources(protocol))
  const { inbound, outbound, published, app } = DESIGNED
  const [front, ...others] = (await freePorts(6)) as [number, number, number, number, number, number]
  const backend: Sidecar = {
    kind: 'virtual-node',
    name: 'backend',
    ports: { [inbound]: others[0], [outbound]: others[1], [published]: others[3], [app]: topology.backendPort },
  }
  // Without requests, only the address of a connection tells the service that is meant.
  const vips = protocol === 'tcp'
  const ports = { [inbound]: others[2], [outbound]: front, ...(vips ? { [app]: others[4] } : {}) }
  const client: Sidecar = { kind: 'virtual-node', name: 'client', ports, vips }
  const children = [await startSidecar(mesh, backend, topology), await startSidecar(mesh, client, topology)]
  const url = vips ? `http://${FIRST_VIP}:${others[4]}/` : `http://127.0.0.1:${front}/`
  const headers = { Host: hostOf('backend') }
  await waitForAnswer(url, children, headers, protocol)
  return running(url, children, headers)
}

/** Control plane in the bench process, resources through its API, proxies as the CLI starts them. */
export const weft: Peer = {
  name: 'weft',
  features: 'retries with per-try timeout and budget, outlier detection, metrics, request id, text access log',
  version: () => undefined,
  start: async (topology) => {
    const named = topology.nodeFlags.length === 0 ? undefined : await namedBundle(topology.directory)
    const stateDirectory = join(topology.directory, 'control-plane')
    // Loaded only where Weft is measured: it brings the whole control plane with it.
    const { startControlPlane } = await import('../../runtime/server.ts')
    const controlPlane = await startControlPlane({ stateDirectory, apiPort: 0, dataPlanePort: 0 })
    const mesh = { controlPlane, named }
    try {
      const proxies = topology.shape === 'pair' ? await startPair(mesh, topology) : await startHop(mesh, topology)
      const stop = () => proxies.stop().finally(() => controlPlane.close())
      return { ...proxies, stop }
    } catch (error) {
      await controlPlane.close()
      throw error
    }
  },
}

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, freePorts, PROXY_CORE, startPinned, waitForAnswer } from '../processes.ts'
import { type EnvoyPlan, envoyConfig } from './envoy-config.ts'
import { envoyBinary, envoyVersion } from './envoy-install.ts'
import { type Peer, running, type Topology } from './peer.ts'

async function start(topology: Topology, full: boolean): Promise<{ url: string; children: Child[] }> {
  const binary = envoyBinary()
  const [front, middle, ...admin] = (await freePorts(4)) as [number, number, number, number]
  const children: Child[] = []
  const launch = async (name: string, plan: Omit<EnvoyPlan, 'full' | 'adminPort'>) => {
    const file = join(topology.directory, `${name}.json`)
    writeFileSync(file, JSON.stringify(envoyConfig({ ...plan, full, adminPort: admin.pop()! }, topology)))
    const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error', '-c', file]
    children.push(await startPinned(PROXY_CORE, [binary, ...flags], { name, directory: topology.directory }))
  }
  const { backendPort, clusters, protocol } = topology
  const { shape } = topology
  if (shape === 'pair') {
    await launch('server', { port: middle, upstreamPort: backendPort, clusters: 1, tls: 'downstream', protocol })
    await launch('client', { port: front, upstreamPort: middle, clusters: 1, tls: 'upstream', protocol })
  } else {
    const tls = shape === 'edge' ? 'downstream' : 'none'
    await launch(shape, { port: front, upstreamPort: backendPort, clusters, tls, protocol })
  }
  return { url: `${shape === 'edge' ? 'https' : 'http'}://127.0.0.1:${front}/`, children }
}

function peer(name: 'envoy' | 'envoy-lean', features: string): Peer {
  return {
    name,
    features,
    version: envoyVersion,
    start: async (topology) => {
      const { url, children } = await start(topology, name === 'envoy')
      await waitForAnswer(topology.clusters === 1 ? url : `${url}c0/`, children, {}, topology.protocol)
      return running(url, children)
    },
  }
}

/** As App Mesh configured it: the row that every ratio is to. */
export const envoy = peer(
  'envoy',
  'retries with per-try timeout, outlier detection, metrics, request id, text access log; circuit breakers open',
)

/** The same with everything off that costs and that not everybody needs. */
export const envoyLean = peer(
  'envoy-lean',
  'retries with per-try timeout, outlier detection; no access log, no request id, no dynamic router statistics',
)

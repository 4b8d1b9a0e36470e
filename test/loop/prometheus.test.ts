import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { debianTool } from '../support/judges.ts'
import { type Mesh, request, startMesh } from './mesh.ts'

const cleanup: (() => unknown)[] = []
let mesh: Mesh
beforeEach(async () => {
  mesh = await startMesh('shop')
  cleanup.push(() => mesh[Symbol.asyncDispose]())
})
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

interface Group {
  readonly targets: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

async function targets(query = ''): Promise<{ status: number; groups: readonly Group[] }> {
  const response = await fetch(`${mesh.controlPlane.apiUrl}/v1/prometheus/targets${query}`)
  return { status: response.status, groups: (await response.json()) as Group[] }
}

/** A gateway on loopback alone, and a sidecar with an address of its own. */
async function twoProxies() {
  const app = await mesh.app((_incoming, response) => void response.end('ok'))
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  const serviceDiscovery = { awsCloudMap: { namespaceName: 'shop', serviceName: 'orders' } }
  await mesh.put('/virtualNodes', { virtualNodeName: 'orders', spec: { listeners, serviceDiscovery } })
  const provider = { virtualNode: { virtualNodeName: 'orders' } }
  await mesh.put('/virtualServices', { virtualServiceName: 'orders.shop', spec: { provider } })
  const gate = { listeners: [{ portMapping: { port: 9000, protocol: 'http' } }] }
  await mesh.put('/virtualGateways', { virtualGatewayName: 'edge', spec: gate })
  const action = { target: { virtualService: { virtualServiceName: 'orders.shop' } } }
  await mesh.put('/virtualGateway/edge/gatewayRoutes', {
    gatewayRouteName: 'all',
    spec: { httpRoute: { match: { prefix: '/' }, action } },
  })
  const own = { WEFT_BIND_ADDRESS: '127.0.0.2', WEFT_ADVERTISE_ADDRESS: '127.0.0.2' }
  await mesh.proxy({ node: 'orders' }, { 8080: app, 9902: 0 }, own)
  const edge = await mesh.proxy({ gateway: 'edge' }, { 9000: await freePort() })
  return mesh.port(edge, 9000)
}

describe('the targets for Prometheus', () => {
  it('are the proxies of all meshes or of one, each with its own port', async () => {
    expect(await targets()).toEqual({ status: 200, groups: [] })
    await twoProxies()
    const states = async () => (await targets()).groups.map(({ labels }) => labels.__meta_weft_state)
    await expect.poll(states).toEqual(['ready', 'ready'])
    const { groups } = await targets()
    const common = {
      __meta_weft_mesh: 'shop',
      __meta_weft_instance: expect.stringMatching(/^[0-9a-f-]{36}$/),
      __meta_weft_version: expect.any(String),
      __meta_weft_state: 'ready',
    }
    expect(groups).toEqual([
      { targets: [expect.stringMatching(/^127\.0\.0\.1:\d+$/)], labels: { ...common, __meta_weft_gateway: 'edge' } },
      { targets: [expect.stringMatching(/^127\.0\.0\.2:\d+$/)], labels: { ...common, __meta_weft_node: 'orders' } },
    ])
    for (const {
      targets: [target],
    } of groups) {
      expect(await (await fetch(`http://${target}/metrics`)).text()).toContain('# TYPE weft_snapshot_info gauge')
    }
    expect((await targets('?mesh=shop')).groups).toEqual(groups)
    expect((await targets('?mesh=other')).status).toBe(404)
    expect((await targets('?mesh=')).status).toBe(400)
  })

  it('are discovered and scraped by a real Prometheus', { timeout: 60_000 }, async (context) => {
    const judge = await debianTool('prometheus', 'prometheus')
    if ('missing' in judge) return context.skip(judge.missing)
    const gatePort = await twoProxies()
    for (let i = 0; i < 3; i++) await expect.poll(async () => (await request(gatePort)).status).toBe(200)
    const prometheus = await startPrometheus(join(judge.bin, 'prometheus'))
    const requests = () => prometheus.query('sum by (mesh, node, gateway) (weft_requests_total{status="200"})')
    await expect.poll(requests, { timeout: 30_000, interval: 250 }).toEqual([
      { labels: { mesh: 'shop', gateway: 'edge' }, value: 3 },
      { labels: { mesh: 'shop', node: 'orders' }, value: 3 },
    ])
    expect(await prometheus.query('sum(up)')).toEqual([{ labels: {}, value: 2 }])
  })
})

async function startPrometheus(command: string) {
  const directory = mkdtempSync(join(tmpdir(), 'weft-prometheus-'))
  const port = await freePort()
  const relabel = ['mesh', 'node', 'gateway'].map((name) => ({
    source_labels: [`__meta_weft_${name}`],
    target_label: name,
  }))
  // JSON is YAML.
  const settings = {
    global: { scrape_interval: '1s' },
    scrape_configs: [
      {
        job_name: 'weft',
        http_sd_configs: [{ url: `${mesh.controlPlane.apiUrl}/v1/prometheus/targets`, refresh_interval: '1s' }],
        relabel_configs: relabel,
      },
    ],
  }
  writeFileSync(join(directory, 'prometheus.yml'), JSON.stringify(settings))
  const flags = {
    'config.file': join(directory, 'prometheus.yml'),
    'storage.tsdb.path': directory,
    'web.listen-address': `127.0.0.1:${port}`,
    'log.level': 'error',
  }
  const child = spawn(
    command,
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  cleanup.push(async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    rmSync(directory, { recursive: true, force: true })
  })
  const query = async (expression: string) => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`
    const answer = await fetch(url).then(
      (response) => response.json() as Promise<PrometheusAnswer>,
      () => undefined,
    )
    const found = answer?.data?.result ?? []
    return found
      .map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
      .toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
  }
  return { query }
}

interface PrometheusAnswer {
  readonly data?: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>
      readonly value: readonly [number, string]
    }[]
  }
}

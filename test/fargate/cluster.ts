import { chmodSync, copyFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { proxyProcess } from '../../bin/proxy-process.ts'
import { type Addresses, type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { linkOrCopy } from '../support/image-root.ts'
import { directoryOfRun, run, Subnet } from '../support/network-namespaces.ts'
import { startTaskMetadata, type TaskMetadata } from '../support/task-metadata.ts'
import { behindIam, FUNCTION_URL, type Plane, selfHosted } from './control-plane.ts'
import { Task, type TaskOptions } from './task.ts'

const MESH = 'shop'

/** What a task runs on: the test's own ECS, VPC and DNS. */
export interface Host {
  readonly mesh: string
  readonly directory: string
  readonly controlPlane: Plane
  readonly subnet: Subnet
  readonly metadata: TaskMetadata
  /** The proxy as `weft proxy` and the image run it. */
  readonly proxy: { readonly command: readonly string[]; readonly env: NodeJS.ProcessEnv }
  /** Cloud Map: addresses of the running tasks of each virtual node. */
  readonly instances: Map<string, Set<string>>
}

/** A control plane, self-hosted or behind `iam` as on Lambda; the zones of a VPC; tasks. */
export class Cluster implements AsyncDisposable {
  readonly host: Host
  readonly dns: DnsServer
  /** Names that the test answers itself. */
  readonly records: Map<string, Addresses>
  readonly #cleanup: AsyncDisposableStack
  readonly #vips: Map<string, string>

  private constructor(
    host: Host,
    dns: DnsServer,
    zones: { records: Map<string, Addresses>; vips: Map<string, string> },
    cleanup: AsyncDisposableStack,
  ) {
    this.host = host
    this.dns = dns
    this.records = zones.records
    this.#vips = zones.vips
    this.#cleanup = cleanup
  }

  static async create({ iam }: { iam: boolean }): Promise<Cluster> {
    await using cleanup = new AsyncDisposableStack()
    const directory = directoryOfRun()
    cleanup.defer(() => rmSync(directory, { recursive: true, force: true }))
    chmodSync(directory, 0o755)
    const subnet = cleanup.use(await Subnet.create())
    const controlPlane = cleanup.use(await (iam ? behindIam(subnet.gateway, directory) : selfHosted(subnet.gateway)))
    const metadata = cleanup.use(await startTaskMetadata(subnet.gateway))
    const instances: Host['instances'] = new Map()
    const records = new Map<string, Addresses>([[FUNCTION_URL, { addresses: [subnet.gateway], ttl: 60 }]])
    const zones = { records, vips: new Map<string, string>() }
    const dns = cleanup.use(
      await startDnsServer(subnet.gateway, (name) => zones.records.get(name) ?? inZones(name, zones.vips, instances)),
    )
    const proxy = await proxyCommand(directory)
    const host = { mesh: MESH, directory, controlPlane, subnet, metadata, proxy, instances }
    const cluster = new Cluster(host, dns, zones, cleanup.move())
    await cluster.#put('', { meshName: MESH })
    return cluster
  }

  /** A virtual node whose app listens on 8080, and a virtual service of its name in front of it. */
  async service(name: string, options: { backends?: readonly string[]; dns?: string } = {}): Promise<void> {
    const backends = (options.backends ?? []).map((virtualServiceName) => ({ virtualService: { virtualServiceName } }))
    const discovery =
      options.dns === undefined
        ? {}
        : { serviceDiscovery: { dns: { hostname: options.dns, responseType: 'ENDPOINTS' } } }
    const spec = { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }], backends, ...discovery }
    await this.#put(`/${MESH}/virtualNodes`, { virtualNodeName: name, spec })
    const provider = { virtualNode: { virtualNodeName: name } }
    await this.#put(`/${MESH}/virtualServices`, { virtualServiceName: name, spec: { provider } })
    await this.#publish()
  }

  /** A virtual service of TCP on `port`, in front of the app of a node of its own on 8080. */
  async tcpService(name: string, port: number): Promise<void> {
    const listeners = [{ portMapping: { port: 8080, protocol: 'tcp' } }]
    await this.#put(`/${MESH}/virtualNodes`, { virtualNodeName: name, spec: { listeners } })
    const router = { listeners: [{ portMapping: { port, protocol: 'tcp' } }] }
    await this.#put(`/${MESH}/virtualRouters`, { virtualRouterName: name, spec: router })
    const route = { tcpRoute: { action: { weightedTargets: [{ virtualNode: name, weight: 1 }] } } }
    await this.#put(`/${MESH}/virtualRouter/${name}/routes`, { routeName: 'all', spec: route })
    const provider = { virtualRouter: { virtualRouterName: name } }
    await this.#put(`/${MESH}/virtualServices`, { virtualServiceName: name, spec: { provider } })
    await this.#publish()
  }

  /** Starts a task and resolves when its app listens. */
  async task(options: TaskOptions): Promise<Task> {
    const task = await Task.create(this.host, options)
    this.#cleanup.defer(() => task.destroy())
    await task.start()
    return task
  }

  /** What the private zone of the mesh holds: each virtual service's VIP, as the API tells it. */
  async #publish(): Promise<void> {
    const answer = await this.host.controlPlane.request(`/v1/meshes/${MESH}/resources`)
    const { resources } = (await answer.json()) as { resources: { kind: string; name: string; vip?: string }[] }
    for (const { kind, name, vip } of resources) {
      if (kind === 'virtual-service' && vip !== undefined) this.#vips.set(`${name}.${MESH}.internal`, vip)
    }
  }

  async #put(path: string, body: object): Promise<void> {
    const init = { method: 'PUT', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const answer = await this.host.controlPlane.request(`/v20190125/meshes${path}`, init)
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cleanup.disposeAsync()
  }
}

/** The mesh's private hosted zone, and Cloud Map's. */
function inZones(name: string, vips: ReadonlyMap<string, string>, instances: Host['instances']): Addresses | undefined {
  const vip = vips.get(name)
  if (vip !== undefined) return { addresses: [vip], ttl: 60 }
  const [, node] = /^([^.]+)\.shop\.local$/.exec(name) ?? []
  const addresses = instances.get(node ?? '')
  return addresses === undefined ? undefined : { addresses: [...addresses], ttl: 10 }
}

/** Where uid 1337 can read it, wherever the checkout is. */
async function proxyCommand(directory: string): Promise<Host['proxy']> {
  const { args, env } = await proxyProcess({ PATH: process.env.PATH })
  const bundle = args.at(-1)!
  const [node, copy] = [join(directory, 'node'), join(directory, basename(bundle))]
  linkOrCopy(process.execPath, node)
  copyFileSync(bundle, copy)
  chmodSync(copy, 0o444)
  return { command: [node, ...args.slice(0, -1), copy], env }
}

/** Waits until the sidecar of `task` has heard of `peer`. */
export async function hearsOf(task: Task, peer: Task): Promise<void> {
  const known = `${peer.namespace.address}:15000::`
  while (!(await curl(task, 'http://127.0.0.1:9901/clusters')).body.includes(known)) await delay(50)
}

/** One request from inside of a task by a client that knows nothing of a mesh. */
export async function curl(task: Task, url: string, ...options: readonly string[]) {
  const limits = ['--silent', '--show-error', '--max-time', '5', '--write-out', '\n%{http_code}']
  const answer = await run(...task.namespace.enter(['curl', ...limits, ...options, url]))
  const end = answer.lastIndexOf('\n')
  return { status: Number(answer.slice(end + 1)), body: answer.slice(0, end) }
}

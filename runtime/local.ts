import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from './model/problem.ts'
import type { Subject } from './model/reference.ts'
import { type ControlPlane, startControlPlane } from './server.ts'

/** What `weft up` needs to know; whatever stands above this layer is handed in. */
export interface LocalMeshOptions {
  readonly apiPort: number
  readonly dataPlanePort: number
  readonly gatewayPort: number
  /** The control plane's and the proxies' state; must exist. */
  readonly stateDir: string
  /** Where each child writes `<name>.log`. */
  readonly logDir: string
  /** Path of a program of the shop, such as `web`. */
  readonly program: (name: string) => string
  /** Creates the shop's resources through the API. */
  readonly applyResources: (apiUrl: string) => Promise<void>
  /** Arguments and environment of a node process that is a proxy. */
  readonly proxy: (
    env: NodeJS.ProcessEnv,
  ) => Promise<{ readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv }>
  /** Takes one line about what happens. */
  readonly report: (line: string) => void
  /** Gives up a start that is under way. */
  readonly signal: AbortSignal
}

/** One instance of a virtual node: the app and its sidecar. */
export interface LocalInstance {
  readonly name: string
  readonly node: string
  readonly appPid: number
  readonly sidecarPid: number
  /** The sidecar's admin pages, on loopback. */
  readonly adminPort: number
}

export interface LocalMesh {
  readonly apiUrl: string
  readonly dataPlaneUrl: string
  readonly gatewayUrl: string
  readonly gatewayPid: number
  readonly gatewayAdminPort: number
  readonly instances: readonly LocalInstance[]
  /** Ends every child and the control plane. `force` does not wait for requests in flight. */
  close(options?: { readonly force: boolean }): Promise<void>
}

const HOST = '127.0.0.1'
const MESH = 'shop'
const GATEWAY = 'ingress'
/** The port of every listener in the shop's resources. */
const DESIGNED_PORT = 8080

/** The shop: catalog v1 runs twice, so that one of them can be killed. */
const SHOP = [
  { name: 'web-1', node: 'web', program: 'web', version: 'v1' },
  { name: 'catalog-v1-1', node: 'catalog-v1', program: 'catalog', version: 'v1' },
  { name: 'catalog-v1-2', node: 'catalog-v1', program: 'catalog', version: 'v1' },
  { name: 'catalog-v2-1', node: 'catalog-v2', program: 'catalog', version: 'v2' },
  { name: 'basket-1', node: 'basket', program: 'basket', version: 'v1' },
] as const

const READY_TIMEOUT_MS = 30_000
/** From the request to end to SIGKILL: longer than proxies drain here. */
const END_TIMEOUT_MS = 3000

/** Loaded into every child: the channel to the parent closes however the parent dies. It must not hold the child up. */
const END_WITH_PARENT = 'data:text/javascript,process.once("disconnect",()=>process.exit());process.channel?.unref()'

/**
 * Starts control plane, shop and gateway on 127.0.0.1 and resolves when the first request went through.
 * @throws MeshError `conflict` when a port is taken (nothing was started then), `unavailable` when a part does not come up.
 */
export async function startLocalMesh(options: LocalMeshOptions): Promise<LocalMesh> {
  await assertPortsFree(options)
  mkdirSync(options.logDir, { recursive: true })
  const { apiPort, dataPlanePort, stateDir } = options
  const controlPlane = await startControlPlane({
    apiPort,
    dataPlanePort,
    stateDirectory: join(stateDir, 'control-plane'),
  })
  const children = new Children(options.logDir, options.report)
  let closing: Promise<void> | undefined
  const close: LocalMesh['close'] = async ({ force } = { force: false }) => {
    await children.end(force)
    closing ??= controlPlane.close()
    await closing
  }
  try {
    options.report(`control plane answers at ${controlPlane.apiUrl}`)
    await options.applyResources(controlPlane.apiUrl)
    const shop = new LocalShop(options, controlPlane, children)
    const started = await shop.start()
    const { apiUrl, dataPlaneUrl } = controlPlane
    return { apiUrl, dataPlaneUrl, gatewayUrl: `http://${HOST}:${options.gatewayPort}`, ...started, close }
  } catch (error) {
    await close({ force: true })
    throw error
  }
}

class LocalShop {
  readonly #options: LocalMeshOptions
  readonly #controlPlane: ControlPlane
  readonly #children: Children
  readonly #ports: FreePorts

  constructor(options: LocalMeshOptions, controlPlane: ControlPlane, children: Children) {
    this.#options = options
    this.#controlPlane = controlPlane
    this.#children = children
    this.#ports = new FreePorts([options.apiPort, options.dataPlanePort, options.gatewayPort])
  }

  async start(): Promise<Pick<LocalMesh, 'gatewayPid' | 'gatewayAdminPort' | 'instances'>> {
    const admins: { name: string; port: number }[] = []
    const instances: LocalInstance[] = []
    for (const { name, node, program, version } of SHOP) {
      const [app, outbound, mesh, published, admin] = await this.#ports.take(5)
      const env = { PORT: String(app), OUTBOUND: `http://${HOST}:${outbound}`, INSTANCE: name, VERSION: version }
      const appPid = this.#children.start(`${name}-app`, [this.#options.program(program)], {
        ...withoutWeft(process.env),
        ...env,
      })
      const sidecar = `${name}-sidecar`
      const ports = { 15000: mesh, 15001: outbound, 15010: published, 9901: admin, [DESIGNED_PORT]: app }
      const sidecarPid = await this.#startProxy(sidecar, { kind: 'virtual-node', mesh: MESH, name: node }, ports)
      instances.push({ name, node, appPid, sidecarPid, adminPort: admin! })
      admins.push({ name: sidecar, port: admin! })
    }
    const [outbound, mesh, admin] = await this.#ports.take(3)
    const ports = { 15000: mesh, 15001: outbound, 9901: admin, [DESIGNED_PORT]: this.#options.gatewayPort }
    const gatewayPid = await this.#startProxy('gateway', { kind: 'virtual-gateway', mesh: MESH, name: GATEWAY }, ports)
    admins.push({ name: 'gateway', port: admin! })

    this.#options.report(`${SHOP.length} instances with their sidecars and the gateway are starting`)
    const deadline = Date.now() + READY_TIMEOUT_MS
    await Promise.all(admins.map(({ name, port }) => this.#answers(name, `http://${HOST}:${port}/ready`, deadline)))
    await this.#answers('the first request', `http://${HOST}:${this.#options.gatewayPort}/`, deadline)
    return { gatewayPid, gatewayAdminPort: admin!, instances }
  }

  async #startProxy(name: string, subject: Subject, ports: Readonly<Record<number, number | undefined>>) {
    const stateDir = join(this.#options.stateDir, 'proxies', name)
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    const { args, env } = await this.#options.proxy({
      ...withoutWeft(process.env),
      WEFT_CONTROL_PLANE_URL: this.#controlPlane.dataPlaneUrl,
      WEFT_TOKEN: this.#controlPlane.mintJoinToken(subject),
      WEFT_MESH: MESH,
      [subject.kind === 'virtual-node' ? 'WEFT_NODE' : 'WEFT_GATEWAY']: subject.name,
      WEFT_BIND_ADDRESS: HOST,
      WEFT_ADVERTISE_ADDRESS: HOST,
      WEFT_PORTS: Object.entries(ports)
        .map(([designed, actual]) => `${designed}=${actual}`)
        .join(','),
      // Other loopback addresses than 127.0.0.1 do not exist on macOS.
      WEFT_VIPS: 'off',
      WEFT_STATE_DIR: stateDir,
      LISTENER_DRAIN_WAIT_TIME_S: '1',
    })
    return this.#children.start(name, args, env)
  }

  /** Waits for a 200. */
  async #answers(name: string, url: string, deadline: number): Promise<void> {
    let last = 'no connection'
    while (Date.now() < deadline) {
      this.#options.signal.throwIfAborted()
      const died = this.#children.died()
      if (died !== undefined) throw new MeshError('unavailable', `${died} ended at start; see ${this.#options.logDir}`)
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
        const text = await response.text()
        if (response.status === 200) return
        last = `${response.status} ${text.slice(0, 200).trim()}`
      } catch (error) {
        last = error instanceof Error ? error.message : String(error)
      }
      await delay(50)
    }
    const seconds = READY_TIMEOUT_MS / 1000
    throw new MeshError('unavailable', `${name} is not ready after ${seconds} s (${last}); see ${this.#options.logDir}`)
  }
}

/** The processes of the mesh. They are in groups of their own, so that Ctrl-C reaches this process alone. */
class Children {
  readonly #running = new Map<ChildProcess, string>()
  readonly #logDir: string
  readonly #report: (line: string) => void
  #died: string | undefined
  #ending = false

  constructor(logDir: string, report: (line: string) => void) {
    this.#logDir = logDir
    this.#report = report
  }

  /** The first one that ended by itself. */
  died(): string | undefined {
    return this.#died
  }

  start(name: string, args: readonly string[], env: NodeJS.ProcessEnv): number {
    const log = openSync(join(this.#logDir, `${name}.log`), 'w', 0o600)
    const child = spawn(process.execPath, ['--import', END_WITH_PARENT, ...args], {
      env,
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    })
    closeSync(log)
    this.#running.set(child, name)
    const gone = (how: string) => {
      if (!this.#running.delete(child) || this.#ending) return
      this.#died ??= name
      this.#report(`${name} (pid ${child.pid}) ended: ${how}; it is not started again`)
    }
    child.on('error', (error) => gone(error.message))
    child.on('exit', (code, signal) => gone(signal ?? `exit code ${code}`))
    return child.pid ?? 0
  }

  async end(force: boolean): Promise<void> {
    this.#ending = true
    const deadline = Date.now() + END_TIMEOUT_MS
    for (const child of this.#running.keys()) child.kill(force ? 'SIGKILL' : 'SIGTERM')
    while (this.#running.size > 0) {
      if (Date.now() > deadline) for (const child of this.#running.keys()) child.kill('SIGKILL')
      await delay(20)
    }
  }
}

/** Hands out ports below the ranges from which systems take those of outgoing connections. */
class FreePorts {
  readonly #reserved: ReadonlySet<number>
  // Two meshes that start at the same time look in different places.
  #next = 20_000 + ((process.pid * 41) % 10_000)

  constructor(reserved: readonly number[]) {
    this.#reserved = new Set(reserved)
  }

  async take(count: number): Promise<number[]> {
    const ports: number[] = []
    while (ports.length < count) {
      const port = this.#next++
      if (port > 32_000) throw new MeshError('unavailable', 'there are no free ports between 20000 and 32000')
      if (!this.#reserved.has(port) && (await isFree(port))) ports.push(port)
    }
    return ports
  }
}

async function assertPortsFree({ apiPort, dataPlanePort, gatewayPort }: LocalMeshOptions): Promise<void> {
  const wanted = [
    { what: 'the API', port: apiPort, option: '--api-port' },
    { what: 'the data plane', port: dataPlanePort, option: '--data-plane-port' },
    { what: 'the gateway', port: gatewayPort, option: '--gateway-port' },
  ]
  const problems: string[] = []
  const seen = new Set<number>()
  for (const { what, port, option } of wanted) {
    if (seen.has(port)) problems.push(`port ${port} is asked for twice; give ${what} another one with ${option}`)
    else if (!(await isFree(port))) {
      problems.push(`port ${port} for ${what} is taken; end what listens there or choose another with ${option}`)
    }
    seen.add(port)
  }
  if (problems.length > 0) throw new MeshError('conflict', problems.join('\n'))
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** Children get what this process was told for them, not what its own shell happens to hold. */
function withoutWeft(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('WEFT_')))
}

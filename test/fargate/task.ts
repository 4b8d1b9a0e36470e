import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Namespace, run } from '../support/network-namespaces.ts'
import type { DescribedTask } from '../support/task-metadata.ts'
import type { Host } from './cluster.ts'

export interface TaskOptions {
  readonly node: string
  /** What its app answers. Default: the task's own id. */
  readonly says?: string
  /** Where its app listens. Default 8080. */
  readonly port?: number
  /** How long its app takes until it listens, beyond what node needs. */
  readonly startupMs?: number
  /** Whether it has the members' security group. Default true. */
  readonly member?: boolean
  /** Of the sidecar. Null: a task without one. */
  readonly sidecar?: NodeJS.ProcessEnv | null
}

const UID = 1337
const ACCOUNT = '111122223333'
const roleOf = (node: string) => `${node}-task`
/** Ports of the proxy that the construct opens: for members, and for scraping. */
const [MESH_PORT, SCRAPE_PORT] = [15_000, 9902]
/** ECS's default stopTimeout. */
const STOP_TIMEOUT_MS = 30_000
let count = 0

/** An ECS task: a network namespace with an app and its sidecar, started and stopped in the order of dependsOn. */
export class Task {
  readonly id: string
  readonly namespace: Namespace
  readonly described: DescribedTask
  /** From the start of the sidecar's process to its first good answer at /ready. */
  readyMs = 0
  readonly #host: Host
  readonly #options: TaskOptions
  readonly #volume: string
  #app: ChildProcess | null = null
  #sidecar: ChildProcess | null = null
  #log = ''

  private constructor(host: Host, options: TaskOptions, id: string, namespace: Namespace) {
    this.#host = host
    this.#options = options
    this.id = id
    this.namespace = namespace
    this.#volume = join(host.directory, id)
    mkdirSync(this.#volume, { mode: 0o700 })
    chownSync(this.#volume, UID, UID)
    const { address } = namespace
    const roleArn = `arn:aws:iam::${ACCOUNT}:role/${roleOf(options.node)}`
    const containers = options.sidecar === null ? ['app'] : ['app', 'proxy']
    this.described = { id, address, family: options.node, roleArn, desiredStatus: 'RUNNING', containers }
    host.metadata.add(this.described)
  }

  static async create(host: Host, options: TaskOptions): Promise<Task> {
    const id = `${options.node}${++count}`
    const { subnet, metadata } = host
    const namespace = await subnet.namespace({
      member: options.member ?? true,
      rules: rules(subnet.members, subnet.gateway, metadata.port, options.sidecar === null),
      resolvConf: `nameserver ${subnet.gateway}\noptions timeout:1 attempts:5\n`,
    })
    return new Task(host, options, id, namespace)
  }

  /** What its processes wrote. */
  get log(): string {
    return this.#log
  }

  /** The sidecar first; the app waits until it is healthy. */
  async start(): Promise<void> {
    if (this.#options.sidecar !== null) await this.startSidecar()
    const { says = this.id, port = 8080, startupMs = 0, node } = this.#options
    const script = join(import.meta.dirname, 'app-scenario.ts')
    this.#app = this.#spawn([process.execPath, script, String(port), says, String(startupMs)], this.#ecs('app'))
    await once(this.#app.stdout!, 'data')
    const { instances } = this.#host
    if (!instances.has(node)) instances.set(node, new Set())
    instances.get(node)!.add(this.namespace.address)
  }

  /** Starts the sidecar, once more if one ran before, and resolves when its health check is content. */
  async startSidecar(): Promise<void> {
    const { mesh, controlPlane, proxy } = this.#host
    const { node: name } = this.#options
    const proof = await controlPlane.proof({ mesh, node: name, task: this.id, account: ACCOUNT, role: roleOf(name) })
    const startedMs = performance.now()
    const drop = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all']
    this.#sidecar = this.#spawn(['setpriv', `--reuid=${UID}`, `--regid=${UID}`, ...drop, ...proxy.command], {
      ...proxy.env,
      ...this.#ecs('proxy'),
      WEFT_CONTROL_PLANE_URL: controlPlane.dataPlaneUrl,
      WEFT_MESH: mesh,
      WEFT_NODE: name,
      ...proof,
      WEFT_STATE_DIR: this.#volume,
      ...this.#options.sidecar,
    })
    const exited = once(this.#sidecar, 'exit').then(() => {
      throw new Error(`the sidecar of ${this.id} ended before it was ready:\n${this.#log}`)
    })
    const check = 'until curl -sfo /dev/null http://127.0.0.1:9901/ready; do sleep 0.02; done'
    await Promise.race([run(...this.namespace.enter(['timeout', '15', 'sh', '-c', check])), exited]).catch((error) => {
      throw new Error(`${this.id} is not ready:\n${this.#log}`, { cause: error })
    })
    exited.catch(() => {})
    this.readyMs = performance.now() - startedMs
  }

  /** The variables that ECS gives to a container. */
  #ecs(container: string): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      AWS_REGION: 'eu-west-1',
      ECS_CONTAINER_METADATA_URI_V4: `http://169.254.170.2/v4/${this.id}-${container}`,
      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: `/v2/credentials/${this.id}`,
    }
  }

  /**
   * As ECS does it: the metadata tell it first, Cloud Map forgets the task, then the containers get SIGTERM in the
   * reverse order of dependsOn, each when the one before has ended.
   */
  async stop(): Promise<void> {
    this.#leave()
    for (const process of [this.#app, this.#sidecar]) {
      if (process === null || process.exitCode !== null) continue
      const exit = once(process, 'exit')
      process.kill('SIGTERM')
      const ended = await Promise.race([exit, delay(STOP_TIMEOUT_MS, null, { ref: false })])
      if (ended === null) throw new Error(`a container of ${this.id} outlived its stopTimeout:\n${this.#log}`)
    }
    await this.namespace.remove()
  }

  /** Everything at once, as when the host dies; its address is gone a moment later. */
  async kill(): Promise<void> {
    this.killSidecar()
    this.#app?.kill('SIGKILL')
    await delay(200)
    this.#leave()
    await this.namespace.remove()
  }

  killSidecar(): void {
    this.#sidecar?.kill('SIGKILL')
  }

  get sidecarExitCode(): number | null {
    return this.#sidecar?.exitCode ?? null
  }

  /** When the test is over. */
  async destroy(): Promise<void> {
    this.killSidecar()
    this.#app?.kill('SIGKILL')
    await this.namespace.remove()
  }

  #leave(): void {
    this.described.desiredStatus = 'STOPPED'
    this.#host.instances.get(this.#options.node)?.delete(this.namespace.address)
  }

  #spawn(command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(...this.namespace.enter(command), { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => {
        this.#log += text
      })
    }
    return child
  }
}

/**
 * The task's security group as the construct renders it, and 169.254.170.2. Without a sidecar the app's port is open:
 * such a task is no part of the mesh.
 */
function rules(members: string, scraper: string, metadataPort: number, open: boolean): string {
  const accept = open ? ['-A INPUT -j ACCEPT'] : []
  return [
    // The resolver of a VPC is not subject to security groups. Untracked, since connection tracking may drop one of the
    // two questions, A and AAAA, that come from one socket at once.
    '*raw',
    '-A OUTPUT -p udp --dport 53 -j NOTRACK',
    '-A PREROUTING -p udp --sport 53 -j NOTRACK',
    'COMMIT',
    '*nat',
    `-A OUTPUT -d 169.254.170.2 -p tcp --dport 80 -j DNAT --to-destination ${scraper}:${metadataPort}`,
    'COMMIT',
    '*filter',
    ':INPUT DROP',
    '-A INPUT -i lo -j ACCEPT',
    '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
    `-A INPUT -p udp -s ${scraper} --sport 53 -j ACCEPT`,
    `-A INPUT -p tcp -s ${members} --dport ${MESH_PORT} -j ACCEPT`,
    `-A INPUT -p tcp -s ${scraper} --dport ${SCRAPE_PORT} -j ACCEPT`,
    ...accept,
    'COMMIT',
    '',
  ].join('\n')
}

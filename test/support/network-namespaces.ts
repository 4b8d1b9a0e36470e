import { spawn, spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

/**
 * Network namespaces on a bridge of the test's own, as tasks in a subnet. Everything is named after the process that made
 * it: what a killed run left behind goes at the next start.
 */

const NAMESPACE = /^weft-fg-(\d+)-\d+$/
const LINK = /^wf(\d+)-\d+$/
const ETC = '/etc/netns'

/** Why network namespaces can't be had here: words for `context.skip`. Null: they can. */
export function noNamespaces(): string | null {
  if (process.platform !== 'linux') return 'tasks as network namespaces need Linux'
  if (process.getuid?.() !== 0) return 'tasks as network namespaces need root'
  for (const [tool, ...args] of [
    ['ip', 'netns'],
    ['iptables', '-t', 'nat', '-nL'],
    ['setpriv', '--version'],
  ] as const) {
    const { error, status, stderr } = spawnSync(tool, args, { encoding: 'utf8' })
    if (error !== undefined) return `${tool} is not installed`
    if (status !== 0) return `${tool} does not work here: ${stderr.trim().split('\n')[0]}`
  }
  return null
}

/** Runs a program to its end. @throws Error with its words when it fails. */
export function run(command: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args)
    let out = ''
    let err = ''
    child.stdout.on('data', (text: Buffer) => {
      out += text
    })
    child.stderr.on('data', (text: Buffer) => {
      err += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(out)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${err || out}`))
    })
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

/** A namespace with an address of its own on the bridge. */
export interface Namespace {
  readonly name: string
  readonly address: string
  /** Command line that runs another one inside. */
  enter(command: readonly string[]): readonly [string, readonly string[]]
  /** Adds rules in the form of iptables-save, with their table. */
  filter(rules: string): Promise<void>
  remove(): Promise<void>
}

/** A bridge with addresses `10.213.n.0/24`; the test's process is 10.213.n.1. */
export class Subnet implements AsyncDisposable {
  readonly #prefix: string
  readonly #bridge = `wf${process.pid}-0`
  readonly #namespaces = new Map<string, Namespace>()
  #count = 0

  private constructor(third: number) {
    this.#prefix = `10.213.${third}`
  }

  static async create(): Promise<Subnet> {
    await removeLeftovers()
    // Runs side by side take other numbers.
    const taken = await run('ip', ['-o', '-4', 'address'])
    let third = process.pid % 250
    while (taken.includes(`10.213.${third}.`)) third = (third + 1) % 250
    const subnet = new Subnet(third)
    const link = subnet.#bridge
    // An address of its own, set after it was made: otherwise it takes the lowest of its ports', and changes it as tasks
    // come and go, while they still send to the one before.
    const mac = `02:00:0a:d5:${third.toString(16).padStart(2, '0')}:01`
    const lines = [
      `link add ${link} type bridge`,
      `link set ${link} address ${mac}`,
      `address add ${subnet.gateway}/24 dev ${link}`,
      `link set ${link} up`,
    ]
    await run('ip', ['-batch', '-'], lines.join('\n'))
    return subnet
  }

  /** Where the test's own process is reached from namespaces. */
  get gateway(): string {
    return `${this.#prefix}.1`
  }

  /** Addresses from `host` 128 on belong to members of the mesh, as a security group would have it. */
  get members(): string {
    return `${this.#prefix}.128/25`
  }

  /** `rules` are loaded by iptables-restore; `resolvConf` is what is in /etc/resolv.conf. */
  async namespace(options: { member: boolean; rules: string; resolvConf: string }): Promise<Namespace> {
    const count = ++this.#count
    const name = `weft-fg-${process.pid}-${count}`
    const link = `wf${process.pid}-${count}`
    const address = `${this.#prefix}.${(options.member ? 128 : 2) + (count % 120)}`
    mkdirSync(join(ETC, name), { recursive: true })
    writeFileSync(join(ETC, name, 'resolv.conf'), options.resolvConf)
    const outside = [
      `netns add ${name}`,
      `link add ${link} type veth peer name eth0 netns ${name}`,
      `link set ${link} master ${this.#bridge} up`,
    ]
    await run('ip', ['-batch', '-'], outside.join('\n'))
    const inside = ['link set lo up', `address add ${address}/24 dev eth0`, 'link set eth0 up']
    await run('ip', ['-n', name, '-batch', '-'], [...inside, `route add default via ${this.gateway}`].join('\n'))
    const namespace = this.#describe(name, address)
    // What the construct asks of ECS by systemControls.
    const port = 'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start'
    await run(...namespace.enter(['sh', '-c', `${port} && exec iptables-restore`]), options.rules)
    this.#namespaces.set(name, namespace)
    return namespace
  }

  #describe(name: string, address: string): Namespace {
    const enter = (command: readonly string[]) => ['ip', ['netns', 'exec', name, ...command]] as const
    return {
      name,
      address,
      enter,
      filter: async (rules) => void (await run(...enter(['iptables-restore', '--noflush']), rules)),
      remove: async () => {
        if (!this.#namespaces.delete(name)) return
        await removeNamespace(name)
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#namespaces.values()].map((one) => one.remove()))
    await run('ip', ['link', 'delete', this.#bridge])
  }
}

/** Ends what still runs inside, then takes the namespace and its link away. */
async function removeNamespace(name: string): Promise<void> {
  for (const pid of (await run('ip', ['netns', 'pids', name])).split('\n').filter(Boolean)) kill(Number(pid))
  await run('ip', ['netns', 'delete', name])
  rmSync(join(ETC, name), { recursive: true, force: true })
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** A directory that goes with the others when its run was killed. */
export function directoryOfRun(): string {
  return mkdtempSync(join(tmpdir(), `weft-fg-${process.pid}-`))
}

/** Of runs whose process is gone. */
async function removeLeftovers(): Promise<void> {
  const stale = (pid: string | undefined): boolean => pid !== undefined && !isAlive(Number(pid))
  for (const [name = ''] of (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' '))) {
    if (stale(NAMESPACE.exec(name)?.[1])) await removeNamespace(name).catch(() => {})
  }
  for (const path of globSync(join(ETC, 'weft-fg-*'))) {
    if (stale(NAMESPACE.exec(basename(path))?.[1])) rmSync(path, { recursive: true, force: true })
  }
  for (const path of globSync(join(tmpdir(), 'weft-fg-*'))) {
    if (stale(/^weft-fg-(\d+)-/.exec(basename(path))?.[1])) rmSync(path, { recursive: true, force: true })
  }
  const links = JSON.parse((await run('ip', ['-json', 'link'])) || '[]') as { ifname: string }[]
  for (const { ifname } of links) {
    if (stale(LINK.exec(ifname)?.[1])) await run('ip', ['link', 'delete', ifname]).catch(() => {})
  }
}

function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8') !== ''
  } catch {
    return false
  }
}

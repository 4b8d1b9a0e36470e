import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { stageImage } from '../../scripts/image.ts'
import { type FinalStage, readDockerfile } from '../support/dockerfile.ts'
import { layOut } from '../support/image-root.ts'

const ROOT = dirname(dirname(import.meta.dirname))
const CONTEXT = join(ROOT, 'proxy-image')
const NAMESPACE = `weft-image-${process.pid}`
const PROGRAMS = {
  '/usr/local/bin/node': process.execPath,
  '/bin/sh': '/bin/sh',
  '/usr/bin/curl': '/usr/bin/curl',
  '/usr/bin/grep': '/bin/grep',
}
/** What the image may take beyond its base: bundle and curl. */
const MAX_BEYOND_BASE = 60_000_000

const absent = ['ip', 'unshare', 'nsenter', 'chroot', 'ldd', 'curl'].find(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
)
const reason =
  process.platform !== 'linux'
    ? 'a container of our own needs Linux'
    : process.getuid?.() !== 0
      ? 'a container of our own needs root'
      : absent === undefined
        ? null
        : `${absent} is not installed`

/** Mounts as ECS makes them with readonlyRootFilesystem and a task volume, then the image's own command. */
const CONTAINER = `
set -e
root=$1 user=$2 volume=$3 workdir=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o "mode=0700,uid=\${user%:*},gid=\${user#*:}" tmpfs "$root$volume"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
cd "$root$workdir"
exec chroot --userspec="$user" --groups= "$root" "$@"
`

/** A process in the test's network namespace, which has loopback and nothing else. */
function inNamespace(command: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}): ChildProcess {
  return spawn('ip', ['netns', 'exec', NAMESPACE, ...command], { stdio: ['pipe', 'pipe', 'pipe'], ...options })
}

/** Runs a shell command inside the container, as its health check and `ecs execute-command` are. */
function inside(pid: number, user: string, env: NodeJS.ProcessEnv, command: string) {
  const [uid, gid] = user.split(':')
  const where = ['--target', String(pid), '--mount', '--pid', '--net', '--root', '--wd', '--setuid', uid!]
  return spawnSync('nsenter', [...where, '--setgid', gid!, '--', '/bin/sh', '-c', command], { env, encoding: 'utf8' })
}

function start(image: FinalStage, root: string, env: NodeJS.ProcessEnv) {
  const unshare = ['unshare', '--mount', '--pid', '--ipc', '--uts', '--fork', '--kill-child']
  const facts = [root, image.user!, image.volumes[0]!, image.workdir!]
  const process = inNamespace([...unshare, 'sh', '-c', CONTAINER, 'sh', ...facts, ...image.entrypoint], { env })
  let log = ''
  for (const stream of [process.stdout!, process.stderr!]) {
    stream.on('data', (text: Buffer) => {
      log += text
    })
  }
  return { process, log: () => log }
}

async function childOf(pid: number): Promise<number> {
  for (;;) {
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    if (child !== '') return Number(child)
    await delay(5)
  }
}

beforeAll(() => stageImage(ROOT), 60_000)

describe('the image, laid out and run', () => {
  it('gets ready as uid 1337 on a read-only root, says so to its own health check, drains on SIGTERM and ends with 0', async (context) => {
    if (reason !== null) context.skip(reason)
    const image = readDockerfile(join(CONTEXT, 'Dockerfile'))
    await using cleanup = new AsyncDisposableStack()
    const root = mkdtempSync(join(tmpdir(), 'weft-image-'))
    cleanup.defer(() => rmSync(root, { recursive: true, force: true }))
    chmodSync(root, 0o755)
    layOut(image, CONTEXT, root, PROGRAMS)
    execFileSync('ip', ['netns', 'add', NAMESPACE])
    cleanup.defer(() => void execFileSync('ip', ['netns', 'delete', NAMESPACE]))
    execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up'])
    const controlPlane = inNamespace([process.execPath, join(import.meta.dirname, 'image-scenario.ts')])
    cleanup.defer(() => void controlPlane.kill('SIGKILL'))
    const [told] = (await once(createInterface(controlPlane.stdout!), 'line')) as [string]

    const env = { ...image.env, ...(JSON.parse(told) as NodeJS.ProcessEnv), LISTENER_DRAIN_WAIT_TIME_S: '5' }
    const container = start(image, root, env)
    cleanup.defer(() => void container.process.kill('SIGKILL'))
    const pid = await childOf(container.process.pid!)
    const user = image.user!
    let health = inside(pid, user, env, image.health)
    for (let tries = 0; health.status !== 0 && tries < 100 && container.process.exitCode === null; tries++) {
      await delay(50)
      health = inside(pid, user, env, image.health)
    }
    expect({ status: health.status, log: health.status === 0 ? '' : container.log() }).toEqual({ status: 0, log: '' })

    // As App Mesh's documentation has it.
    const appMesh = 'curl -s http://localhost:9901/server_info | grep state | grep -q LIVE'
    expect(inside(pid, user, env, appMesh).status).toBe(0)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(/^Uid:\s+1337\s+1337\s+1337\s+1337$/m)
    expect(status).toMatch(/^Groups:\s*$/m)
    expect(status).toMatch(/^CapEff:\s+0+$/m)
    expect(status).toMatch(/^NSpid:\s+\d+\s+1$/m)
    expect(inside(pid, user, env, ': > /opt/weft/x').stderr).toContain('Read-only file system')
    expect(inside(pid, user, env, '[ -s /var/lib/weft/identity.pem ]').status).toBe(0)

    process.kill(pid, 'SIGTERM')
    const [code] = (await once(container.process, 'exit')) as [number]
    expect(code).toBe(0)
    expect(container.log()).toMatch(/draining[\s\S]*stopped/)
  }, 30_000)

  it('takes less than 60 MB beyond its base', async (context) => {
    if (reason !== null) context.skip(reason)
    const image = readDockerfile(join(CONTEXT, 'Dockerfile'))
    const root = mkdtempSync(join(tmpdir(), 'weft-image-'))
    try {
      // With libc, which is the base's: more than what is added.
      const curl = layOut(image, CONTEXT, root, { '/usr/bin/curl': '/usr/bin/curl' })
      const [bundle] = image.copies[0]!.sources
      expect(existsSync(join(root, 'opt/weft/proxy.mjs'))).toBe(true)
      expect(curl + readFileSync(join(CONTEXT, bundle!)).length).toBeLessThan(MAX_BEYOND_BASE)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
})

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { Context } from 'hono'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundleProxy } from '../../bin/proxy-bundle.ts'
import { readEnvironment } from '../../proxy-image/src/env.ts'
import { Log } from '../../proxy-image/src/log.ts'
import { RunningProxy } from '../../proxy-image/src/proxy.ts'
import { IamIdentity } from '../../runtime/adapters/iam-identity.ts'
import { openLocalCa } from '../../runtime/adapters/local-ca.ts'
import { MemoryStore } from '../../runtime/adapters/memory-store.ts'
import { Registry } from '../../runtime/adapters/registry.ts'
import { openSqliteRoleBindings } from '../../runtime/adapters/sqlite-role-bindings.ts'
import { Changes } from '../../runtime/app/changes.ts'
import { polledEvery } from '../../runtime/app/pace.ts'
import { quotasOf } from '../../runtime/app/quotas.ts'
import { useCases } from '../../runtime/app/use-cases.ts'
import { dataPlaneApp } from '../../runtime/http/dataplane-app.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { createTestCa, type TestCa } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { startLinkLocal } from '../support/link-local.ts'
import { REGION, type Session, startSignedFront } from '../support/signed-front.ts'

const ACCOUNT = '111122223333'
const orders: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' }

function session(role: string, account = ACCOUNT): Session {
  const unique = randomUUID().replaceAll('-', '').toUpperCase()
  return {
    accessKeyId: `ASIA${unique.slice(0, 16)}`,
    secretAccessKey: unique,
    sessionToken: `token/of+${role}==`,
    caller: { accountId: account, arn: `arn:aws:sts::${account}:assumed-role/${role}/${unique}` },
  }
}

let publicCa: TestCa
let trusted: string[]
let directory: string
let lines: string[]
let sessions: Session[]
const toClose: (() => unknown)[] = []
beforeAll(async () => {
  publicCa = await createTestCa('public')
  trusted = getCACertificates('default')
  setDefaultCACertificates([...trusted, publicCa.certificatePem])
})
afterAll(() => setDefaultCACertificates(trusted))
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-iam-'))
  lines = []
  sessions = []
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
  await rm(directory, { recursive: true })
})

/** The control plane as it is on Lambda, as far as proxies see it: behind IAM, every call answered at once. */
async function controlPlane(intervalMs = 30_000) {
  const clock = { now: () => Date.now() }
  const bindings = openSqliteRoleBindings(':memory:')
  const directoryOfEndpoints = new Registry(clock)
  const cases = useCases({
    store: new MemoryStore(),
    directory: directoryOfEndpoints,
    issuer: await openLocalCa({ directory: join(directory, 'ca'), trustDomain: 'weft.internal', clock }),
    mint: () => {
      throw new Error('there are no join tokens here')
    },
    changes: new Changes(),
    clock,
    newUid: randomUUID,
    trustDomain: 'weft.internal',
    quotas: quotasOf({}),
    pace: polledEvery(intervalMs),
    stopping: new AbortController().signal,
  })
  const front = await startSignedFront(publicCa, sessions)
  toClose.push(() => front.close())
  const credentials = (c: Context) => ({ iam: c.env.iam })
  const report = (error: unknown) => lines.push(`control plane: ${error}`)
  front.serve(dataPlaneApp({ useCases: cases, callers: new IamIdentity(bindings, clock), clock, credentials, report }))
  const spec = (port: number) => ({
    listeners: [{ portMapping: { port, protocol: 'http' } }],
    serviceDiscovery: { dns: { hostname: 'orders.local' } },
  })
  const write = { tags: {}, actor: 'test' }
  for (const mesh of ['shop', 'other']) {
    await cases.createResource({ ref: { kind: 'mesh', mesh, name: mesh }, spec: {}, ...write })
    for (const name of ['orders', 'cart']) {
      await cases.createResource({ ref: { kind: 'virtual-node', mesh, name }, spec: spec(8080), ...write })
    }
  }
  return {
    front,
    bind: (roleName: string, subject: Subject) => bindings.bind({ accountId: ACCOUNT, roleName, subject }),
    /** Ends with another port in the node's snapshot. */
    change: (port: number) => cases.updateResource({ ref: { ...orders }, spec: spec(port), actor: 'test' }),
    states: async () => (await directoryOfEndpoints.endpoints('shop', 'orders')).endpoints.map(({ state }) => state),
    instances: () => directoryOfEndpoints.proxies('shop'),
  }
}

type Front = Awaited<ReturnType<typeof controlPlane>>['front']

async function variablesOf(front: Front, linkLocal: { readonly variables: Readonly<Record<string, string>> }) {
  return {
    WEFT_CONTROL_PLANE_URL: front.url,
    WEFT_IDENTITY: `lambda/${REGION}`,
    WEFT_PUSH_URL: front.pushUrl,
    WEFT_MESH: 'shop',
    WEFT_NODE: 'orders',
    WEFT_BIND_ADDRESS: '127.0.0.1',
    WEFT_VIPS: 'off',
    WEFT_STATE_DIR: join(directory, randomUUID()),
    LISTENER_DRAIN_WAIT_TIME_S: '0',
    ...linkLocal.variables,
  }
}

/** A proxy with the role of `as`, on its way, beside an app. */
async function proxy(front: Front, as: Session, variables: Record<string, string> = {}) {
  const app = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  await once(app, 'listening')
  toClose.push(() => app.close())
  const linkLocal = await startLinkLocal(as, '0123abcd')
  toClose.push(() => linkLocal.close())
  const environment = readEnvironment({
    ...(await variablesOf(front, linkLocal)),
    WEFT_PORTS: `15000=0,15001=0,9901=0,8080=${(app.address() as AddressInfo).port}`,
    ...variables,
  })
  if (!environment.ok) throw new Error(JSON.stringify(environment.problems))
  const running = new RunningProxy(environment.value, new Log('info', (line) => lines.push(line)))
  toClose.push(() => running.stop())
  const started = running.start()
  started.catch(() => {})
  return { running, started, linkLocal }
}

const ready = (running: RunningProxy) =>
  expect.poll(() => running.notReady(), { timeout: 10_000, interval: 20 }).toEqual([])
const portOf = (running: RunningProxy) =>
  running.serving.snapshot?.listeners.flatMap((listener) => (listener.kind === 'inbound' ? listener.ports : []))[0]
    ?.port

describe('a proxy with a task role', () => {
  it('joins without a token, signs every call, and reports by the task’s id and address', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const { running } = await proxy(mesh.front, sessions[0]!)
    await ready(running)
    expect(running.identity.spiffeId).toBe('spiffe://weft.internal/shop/orders')
    await expect.poll(() => mesh.states()).toEqual(['ready'])
    expect(await mesh.instances()).toMatchObject([{ instance: '0123abcd', address: '127.0.0.1' }])
    expect(mesh.front.faults).toEqual([])
    // Nothing is held where seconds have a price.
    expect(mesh.front.paths.filter((path) => path.includes('wait'))).toEqual([])
    expect(lines.join('')).not.toMatch(/token\/of|ASIA/)
  })

  it('sees a change within a second by the push, though it asks every 30 seconds only', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const { running } = await proxy(mesh.front, sessions[0]!)
    await ready(running)
    await expect.poll(() => mesh.front.sockets.size).toBe(1)
    const latencies: number[] = []
    for (const port of [9001, 9002]) {
      await mesh.change(port)
      const fromMs = performance.now()
      for (const socket of mesh.front.sockets) socket.send('{"sync":"now"}')
      await expect.poll(() => portOf(running), { timeout: 5_000, interval: 5 }).toBe(port)
      latencies.push(performance.now() - fromMs)
      await delay(1_000)
    }
    expect(Math.min(...latencies)).toBeLessThan(1_000)
    // However loud the push, it brings one call forward and no more than one a second.
    const before = mesh.front.paths.length
    for (let i = 0; i < 100; i++) for (const socket of mesh.front.sockets) socket.send('now')
    await delay(1_500)
    expect(mesh.front.paths.length - before).toBeLessThanOrEqual(3)
  })

  it('goes on asking at its interval while the push is dead, and listens again when it is back', async () => {
    const mesh = await controlPlane(1_000)
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const deadPort = await freePort()
    const { running } = await proxy(mesh.front, sessions[0]!, { WEFT_PUSH_URL: `wss://127.0.0.1:${deadPort}/push` })
    await ready(running)
    await mesh.change(9001)
    await expect.poll(() => portOf(running), { timeout: 5_000 }).toBe(9001)
    expect(lines.filter((line) => line.includes('not pushed for now'))).toHaveLength(1)

    const { running: other } = await proxy(mesh.front, sessions[0]!)
    await expect.poll(() => mesh.front.sockets.size, { timeout: 5_000 }).toBe(1)
    for (const socket of mesh.front.sockets) socket.terminate()
    await expect.poll(() => mesh.front.sockets.size).toBe(0)
    await expect.poll(() => mesh.front.sockets.size, { timeout: 5_000 }).toBe(1)
    await ready(other)
  })

  it('is told what to do when its role is bound to nothing, and starts once it is bound', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    const { running } = await proxy(mesh.front, sessions[0]!)
    await expect.poll(() => lines.join('')).toMatch(/403: The role orders-task of account 111122223333 is bound to no/)
    await mesh.bind('orders-task', orders)
    await ready(running)
  })

  it.each<[string, Session, Subject]>([
    ['of another node', session('cart-task'), { ...orders, name: 'cart' }],
    ['of the same node of another mesh', session('cart-task'), { ...orders, mesh: 'other' }],
  ])(
    'with the role %s gets that node’s certificate, and takes no part as the one that it names',
    async (_, as, subject) => {
      const mesh = await controlPlane()
      sessions.push(as)
      await mesh.bind('cart-task', subject)
      const { running } = await proxy(mesh.front, as)
      const names = `the certificate is for virtual-node ${subject.mesh}/${subject.name}, but this proxy is virtual-node shop/orders`
      await expect.poll(() => lines.join('')).toContain(names)
      expect(running.identity.ready).toBe(false)
      expect(await mesh.instances()).toEqual([])
    },
  )

  it('of the same name in another account is a stranger', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task', '999988887777'))
    await mesh.bind('orders-task', orders)
    await proxy(mesh.front, sessions[0]!)
    await expect.poll(() => lines.join('')).toContain('The role orders-task of account 999988887777 is bound to no')
  })

  it('that IAM lets call nothing is told which permissions it needs', async () => {
    const mesh = await controlPlane()
    sessions.push({ ...session('orders-task'), denied: true })
    await proxy(mesh.front, sessions[0]!)
    await expect
      .poll(() => lines.join(''))
      .toMatch(/403: Forbidden \(IAM does not let the task role .*lambda:InvokeFunctionUrl and lambda:InvokeFunction/)
  })

  it('reads its credentials anew when AWS does not take them any more', async () => {
    const mesh = await controlPlane(1_000)
    const [old, fresh] = [session('orders-task'), session('orders-task')]
    sessions.push(old)
    await mesh.bind('orders-task', orders)
    const { running, linkLocal } = await proxy(mesh.front, old)
    await ready(running)
    linkLocal.state.session = fresh
    sessions.splice(0, 1, fresh)
    const refused = 'does not take the credentials of the task role'
    await expect.poll(() => lines.join(''), { timeout: 5_000 }).toContain(refused)
    await mesh.change(9001)
    await expect.poll(() => portOf(running), { timeout: 10_000 }).toBe(9001)
  })

  it('drains as soon as ECS wants the task to end, and serves on until it is asked itself', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const { running, linkLocal } = await proxy(mesh.front, sessions[0]!)
    await ready(running)
    await expect.poll(() => mesh.states()).toEqual(['ready'])
    linkLocal.state.desiredStatus = 'STOPPED'
    await expect.poll(() => mesh.states(), { timeout: 3_000 }).toEqual(['draining'])
    expect(running.notReady()).toEqual(['draining'])
    expect(running.serving.ports.actual('127.0.0.1', 15000)).toBeGreaterThan(0)
    await running.stop()
  })

  it('starts with its saved certificate and snapshot while AWS is away', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const { running } = await proxy(mesh.front, sessions[0]!)
    await ready(running)
    await running.stop()
    mesh.front.close()
    const again = await proxy(mesh.front, sessions[0]!, { WEFT_STATE_DIR: running.environment.stateDir })
    await ready(again.running)
  })
})

/** On SIGUSR2, the process under test writes down which of node's own modules it has loaded. */
const PROBE = `data:text/javascript;base64,${Buffer.from(
  `process.on('SIGUSR2', () => process.getBuiltinModule('node:fs').writeFileSync(process.env.PROBE, JSON.stringify(process.moduleLoadList)))`,
).toString('base64')}`

describe('a sidecar as a process', () => {
  it('is ready within a second of its start, by its task role and with a new certificate, and loads no fetch for it', async () => {
    const mesh = await controlPlane()
    sessions.push(session('orders-task'))
    await mesh.bind('orders-task', orders)
    const bundle = await bundleProxy(join(directory, 'proxy.mjs'))
    const [trust, probe] = [join(directory, 'public-ca.pem'), join(directory, 'modules.json')]
    await writeFile(trust, publicCa.certificatePem)
    const linkLocal = await startLinkLocal(sessions[0]!, '0123abcd')
    toClose.push(() => linkLocal.close())
    const start = async (...flags: string[]) => {
      const adminPort = await freePort()
      const environment = {
        ...(await variablesOf(mesh.front, linkLocal)),
        WEFT_PORTS: `15000=0,15001=0,9901=${adminPort}`,
        ENVOY_LOG_LEVEL: 'warning',
        NODE_EXTRA_CA_CERTS: trust,
        PROBE: probe,
      }
      const fromMs = performance.now()
      const child = spawn(process.execPath, [...flags, bundle], {
        env: environment,
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const ended = once(child, 'exit')
      toClose.push(() => child.kill('SIGKILL'))
      const status = () =>
        fetch(`http://127.0.0.1:${adminPort}/ready`).then(
          (answer) => answer.status,
          () => 0,
        )
      await expect.poll(status, { timeout: 10_000, interval: 10 }).toBe(200)
      return { child, ended, tookMs: performance.now() - fromMs }
    }
    const startsMs: number[] = []
    for (let round = 0; round < 4; round++) {
      const { child, ended, tookMs } = await start()
      startsMs.push(tookMs)
      child.kill('SIGKILL')
      await ended
    }
    // The best of four: other tests share these processors.
    expect(Math.min(...startsMs)).toBeLessThan(1_000)

    await expect.poll(() => mesh.front.sockets.size).toBe(0)
    const { child } = await start(`--import=${PROBE}`)
    await expect.poll(() => mesh.front.sockets.size).toBe(1)
    child.kill('SIGUSR2')
    const loaded = async () => JSON.parse(await readFile(probe, 'utf8').catch(() => '[]')) as string[]
    await expect.poll(loaded).toContain('NativeModule https')
    expect(
      (await loaded()).filter((name) => /undici|http2|webcrypto_util|webstreams\/(readable|writable)/.test(name)),
    ).toEqual([])
  })
})

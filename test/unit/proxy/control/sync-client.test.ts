import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StateDirectory } from '../../../../proxy-image/src/control/state.ts'
import { pauseAfter, SyncClient, type SyncClientOptions } from '../../../../proxy-image/src/control/sync-client.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import { WorkloadIdentity } from '../../../../proxy-image/src/tls/identity.ts'
import type { EndpointSet } from '../../../../runtime/model/endpoints.ts'
import type { Snapshot } from '../../../../runtime/model/snapshot.ts'
import { createTestCa, type TestCa } from '../../../support/certificates.ts'
import { type Answer, type SeenCall, startStandIn } from '../../../support/stand-in-control-plane.ts'

const ORDERS = 'spiffe://weft.internal/shop/orders'
const subject = { kind: 'virtual-node', mesh: 'shop', name: 'orders' } as const

function snapshot(revision: string, more: Partial<Snapshot> = {}): Snapshot {
  const empty = { listeners: [], tables: [], clusters: [], accessLogs: [] }
  return { schema: 1, revision, subject, trustDomain: 'weft.internal', ...empty, ...more }
}

/** A snapshot that needs the endpoints of one node. */
function snapshotCalling(revision: string, node: string): Snapshot {
  const origin = { kind: 'virtual-node', name: node } as const
  const cluster: Snapshot['clusters'][number] = {
    name: node,
    origin,
    port: 8080,
    protocol: 'http',
    discovery: { kind: 'endpoints', node },
    tls: { mesh: null, plain: { kind: 'plaintext' } },
    connectTimeoutMs: 1000,
    limits: { maxConnections: null, maxPendingRequests: null, maxRequests: null },
    healthCheck: null,
    outlierDetection: null,
    retryBudget: { percent: 20, minRetriesPerSecond: 10 },
  }
  return snapshot(revision, { clusters: [cluster] })
}

function endpoints(node: string, revision: string): EndpointSet {
  return { node, revision, endpoints: [{ id: 'a', address: '10.0.0.1', port: 80, sidecar: null, state: 'ready' }] }
}

let ca: TestCa
let strangers: TestCa
let directory: string
let lines: string[]
const toClose: (() => void | Promise<void>)[] = []
beforeAll(async () => {
  ca = await createTestCa('mesh')
  strangers = await createTestCa('strangers')
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-sync-'))
  lines = []
})
afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close()
  await rm(directory, { recursive: true })
})

const ok = (body: object): Answer => ({ status: 200, body: { endpoints: [], nextSyncMs: 0, ...body } })

/** Plays the answers in turn, then holds every call until its caller goes away. */
async function script(...answers: (Answer | ((call: SeenCall) => Answer))[]) {
  const server = await startStandIn(ca, async (call) => {
    const next = answers.shift()
    if (next !== undefined) return typeof next === 'function' ? next(call) : next
    if (call.path.includes('wait=')) await new Promise((resolve) => call.gone.addEventListener('abort', resolve))
    return ok({})
  })
  toClose.push(() => server.close())
  return server
}

async function proxy(url: string, options: Partial<SyncClientOptions> = {}) {
  const log = new Log('info', (line) => lines.push(line))
  const identity = new WorkloadIdentity()
  identity.update({ ...(await ca.issue([{ type: 'url', value: ORDERS }])), trust: ca.trust })
  const state = new StateDirectory(directory, log)
  const seen = { snapshots: [] as string[], events: [] as string[], refused: 0, failed: 0 }
  const sync = new SyncClient({
    controlPlaneUrl: url,
    subject,
    identity,
    proof: null,
    state,
    log,
    describe: () => ({ id: 'one', address: '127.0.0.1', meshPort: 15000, protocols: ['http/1.1'], version: '0' }),
    onSnapshot: ({ revision }) => {
      seen.snapshots.push(revision)
      seen.events.push(`snapshot ${revision}`)
    },
    onEndpoints: ({ node, revision }) => seen.events.push(`endpoints ${node} ${revision}`),
    onRefused: () => seen.refused++,
    listening: () => false,
    onFailure: () => seen.failed++,
    ...options,
  })
  toClose.push(async () => {
    sync.close()
    await state.flush()
  })
  return { sync, identity, state, seen }
}

describe('the sync client', () => {
  it('calls half as often at rest while news come by themselves, and as soon as ever where it is told to', () => {
    expect(pauseAfter(30_000, false)).toBe(30_000)
    expect(pauseAfter(30_000, true)).toBe(60_000)
    // Peers do not see it yet.
    expect(pauseAfter(5_000, true)).toBe(5_000)
  })

  it('asks over mTLS, applies what changed, endpoints first, and reports it with the next call', async () => {
    const server = await script(ok({ snapshot: snapshotCalling('r1', 'cart'), endpoints: [endpoints('cart', 'e1')] }))
    const { sync, seen, identity } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(2)
    expect(seen.events).toEqual(['endpoints cart e1', 'snapshot r1'])
    const [first, second] = server.calls
    expect(first).toMatchObject({ path: '/v1/dataplane/sync?wait=30s', client: `URI:${ORDERS}`, bearer: undefined })
    expect(first!.body).toEqual({
      schemas: [1],
      instance: {
        id: 'one',
        address: '127.0.0.1',
        meshPort: 15000,
        protocols: ['http/1.1'],
        version: '0',
        state: 'starting',
      },
      known: { snapshot: null, endpoints: {}, trust: ca.trust.revision },
      status: { applied: null, rejected: null, certificateNotAfterMs: identity.notAfterMs },
    })
    expect(second!.body).toMatchObject({
      known: { snapshot: 'r1', endpoints: { cart: 'e1' } },
      status: { applied: 'r1', rejected: null },
    })
  })

  it('asks for another certificate when its CA is gone from the trust, not while that is being rotated', async () => {
    const both = { revision: 'both', certificates: [strangers.certificatePem, ca.certificatePem] }
    const gone = { revision: 'gone', certificates: [strangers.certificatePem] }
    const server = await script(ok({ trust: both }), ok({ trust: gone }))
    const { sync, identity, seen } = await proxy(server.url)
    const refused: string[] = []
    identity.onChange(() => refused.push(`${identity.trust.revision} ${seen.refused}`))
    void sync.run()
    await expect.poll(() => seen.refused).toBeGreaterThan(0)
    expect(refused).toEqual(['both 0', 'gone 0'])
  })

  it('refuses a bad snapshot whole, says why, and does not ask for it again', async () => {
    const bad = { ...snapshot('r2'), listeners: [{ kind: 'teleport' }] }
    const server = await script(ok({ snapshot: snapshot('r1') }), ok({ snapshot: bad }))
    const { sync, seen } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(3)
    expect(seen.snapshots).toEqual(['r1'])
    const { known, status } = server.calls[2]!.body
    expect(known.snapshot).toBe('r2')
    expect(status.applied).toBe('r1')
    expect(status.rejected.revision).toBe('r2')
    expect(status.rejected.problems[0].path).toContain('listeners.0')
    expect(JSON.parse(await readFile(join(directory, 'snapshot.json'), 'utf8')).revision).toBe('r1')
  })

  it('refuses a snapshot that can not be put in force, and takes the next one', async () => {
    const server = await script(ok({ snapshot: snapshot('r1') }), ok({ snapshot: snapshot('r2') }))
    const { sync } = await proxy(server.url, {
      onSnapshot: async ({ revision }) => {
        if (revision === 'r1') throw new Error('port 8080 is taken')
      },
    })
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(3)
    expect(server.calls[1]!.body.status).toMatchObject({
      applied: null,
      rejected: { revision: 'r1', problems: [{ code: 'not-applicable', message: 'port 8080 is taken' }] },
    })
    expect(server.calls[2]!.body.status).toMatchObject({ applied: 'r2', rejected: null })
  })

  it("refuses another node's snapshot", async () => {
    const server = await script(ok({ snapshot: snapshot('r1', { subject: { ...subject, name: 'cart' } }) }))
    const { sync, seen } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(2)
    expect(seen.snapshots).toEqual([])
    expect(server.calls[1]!.body.status.rejected.problems[0].code).toBe('foreign-subject')
  })

  it('takes a new trust bundle, saves it, and shows its revision', async () => {
    const both = { revision: 'both', certificates: [ca.certificatePem, strangers.certificatePem] }
    const server = await script(ok({ trust: both }))
    const { sync, identity } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(2)
    expect(identity.trust).toEqual(both)
    expect(server.calls[1]!.body.known.trust).toBe('both')
    expect(JSON.parse(await readFile(join(directory, 'trust.json'), 'utf8'))).toEqual(both)
  })

  it('reports a changed state at once although a call is held, then holds again', async () => {
    const server = await script()
    const { sync } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(1)
    const before = performance.now()
    await sync.setState('draining')
    expect(performance.now() - before).toBeLessThan(1000)
    await expect.poll(() => server.calls.length).toBe(3)
    expect(server.calls[0]!.gone.aborted).toBe(true)
    expect(server.calls.map(({ path }) => path)).toEqual([
      '/v1/dataplane/sync?wait=30s',
      '/v1/dataplane/sync',
      '/v1/dataplane/sync?wait=30s',
    ])
    expect(server.calls.map(({ body }) => body.instance.state)).toEqual(['starting', 'draining', 'draining'])
  })

  it('ends a held call when closed, also for those who wait to be heard', async () => {
    const server = await script()
    const { sync } = await proxy(server.url)
    const running = sync.run()
    await expect.poll(() => server.calls.length).toBe(1)
    const heard = sync.setState('ready')
    sync.close()
    await Promise.all([running, heard])
    await expect.poll(() => server.calls[0]!.gone.aborted).toBe(true)
  })

  it('keeps trying with growing pauses, and says when the control plane refuses its certificate', async () => {
    const refusal = { status: 401, body: { detail: 'unknown workload' } }
    const server = await script(refusal, { status: 503, body: 'gone' }, { status: 200, body: 'no JSON' }, ok({}))
    const { sync, seen } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => server.calls.length, { timeout: 5000 }).toBeGreaterThanOrEqual(4)
    expect(seen).toMatchObject({ refused: 1, failed: 3 })
    const log = lines.join('')
    expect(log).toMatch(/answered 401: unknown workload/)
    expect(log).toMatch(/answered 503: gone/)
    expect(log).toMatch(/not JSON/)
  })

  it('tries again as soon as there is a new certificate', async () => {
    const refusal = { status: 401, body: {} }
    const server = await script(...Array.from({ length: 4 }, () => refusal))
    const { sync, identity } = await proxy(server.url)
    void sync.run()
    const failures = () => lines.filter((line) => line.includes('sync with the control plane failed')).length
    await expect.poll(failures, { timeout: 5000, interval: 5 }).toBe(4)
    // The fifth try would come after 400 ms at the earliest.
    identity.update(identity.credentials)
    await expect.poll(() => server.calls.length, { timeout: 300, interval: 10 }).toBe(5)
  })

  it('does not spin when a broken control plane answers nothing at once', async () => {
    const server = await startStandIn(ca, () => ok({}))
    toClose.push(() => server.close())
    const { sync } = await proxy(server.url)
    void sync.run()
    await new Promise((done) => setTimeout(done, 700))
    expect(server.calls).toHaveLength(1)
  })

  it('gives up an answer that never ends instead of filling the memory', async () => {
    const server = await startStandIn(ca, () => ({ status: 200, body: ' '.repeat(17 * 1024 * 1024) }))
    toClose.push(() => server.close())
    const { sync } = await proxy(server.url)
    void sync.run()
    await expect.poll(() => lines.join(''), { timeout: 5000 }).toMatch(/longer than 16777216 bytes/)
  })

  it('goes over a new connection as soon as there is a new certificate', async () => {
    const server = await script(ok({ snapshot: snapshot('r1') }), ok({ snapshot: snapshot('r2') }))
    const renewed = await ca.issue([{ type: 'url', value: `${ORDERS}2` }])
    const { sync, identity } = await proxy(server.url, {
      onSnapshot: ({ revision }) => {
        if (revision === 'r1') identity.update({ ...renewed, trust: ca.trust })
      },
    })
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(3)
    expect(server.calls.map(({ client }) => client)).toEqual([`URI:${ORDERS}`, `URI:${ORDERS}2`, `URI:${ORDERS}2`])
  })

  it('serves the saved snapshot and endpoints after a restart without control plane', async () => {
    const server = await script(ok({ snapshot: snapshotCalling('r1', 'cart'), endpoints: [endpoints('cart', 'e1')] }))
    const first = await proxy(server.url)
    void first.sync.run()
    await expect.poll(() => server.calls.length).toBe(2)
    first.sync.close()
    await first.state.flush()
    server.close()

    const second = await proxy('https://127.0.0.1:1')
    expect(await second.sync.startFromState()).toBe(true)
    expect(second.seen.events).toEqual(['endpoints cart e1', 'snapshot r1'])
  })

  it('starts empty when the saved snapshot can not be put in force any more', async () => {
    const { state } = await proxy('https://127.0.0.1:1')
    await state.saveSnapshot(snapshot('r1'))
    const server = await script()
    const { sync } = await proxy(server.url, { onSnapshot: () => Promise.reject(new Error('port 80 is taken')) })
    expect(await sync.startFromState()).toBe(false)
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(1)
    expect(server.calls[0]!.body).toMatchObject({
      known: { snapshot: null },
      status: { applied: null, rejected: null },
    })
  })

  it('says what it knows from disk, so that an unchanged restart moves nothing', async () => {
    const { state } = await proxy('https://127.0.0.1:1')
    await state.saveSnapshot(snapshotCalling('r1', 'cart'))
    state.saveEndpointsSoon(() => [endpoints('cart', 'e1')])
    await state.flush()
    const server = await script()
    const { sync } = await proxy(server.url)
    await sync.startFromState()
    void sync.run()
    await expect.poll(() => server.calls.length).toBe(1)
    expect(server.calls[0]!.body.known).toMatchObject({ snapshot: 'r1', endpoints: { cart: 'e1' } })
  })
})

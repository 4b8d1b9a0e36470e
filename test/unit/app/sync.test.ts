import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { Registry } from '../../../runtime/adapters/registry.ts'
import { Changes, endpointsTopic, meshTopic } from '../../../runtime/app/changes.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { HELD_CALLS, polledEvery, type SyncPace } from '../../../runtime/app/pace.ts'
import { SnapshotCache } from '../../../runtime/app/snapshot-cache.ts'
import { type SyncInput, sync } from '../../../runtime/app/sync.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { SyncRequest, SyncResponse } from '../../../runtime/model/sync.ts'
import type { Change } from '../../../runtime/ports.ts'

const clock = { now: () => Date.now() }
const subject = (name: string): Subject => ({ kind: 'virtual-node', mesh: 'shop', name })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** A mesh where web calls cart, and the use case on it. */
async function makeShop() {
  const store = new MemoryStore()
  const changes = new Changes()
  const write = async (...specs: [kind: 'mesh' | 'virtual-node' | 'virtual-service', name: string, spec: object][]) => {
    const written: Change[] = specs.map(([kind, name, spec]) => {
      const ref = { kind, mesh: 'shop', name }
      const resource = { ref, spec, tags: {}, uid: 'u', version: 1, createdAtMs: 0, updatedAtMs: 0 }
      return { kind: 'put', resource }
    })
    const expectedGeneration = await store.generation('shop')
    await store.commit({ mesh: 'shop', expectedGeneration, changes: written, actor: 'test', atMs: 0 })
    changes.notify(meshTopic('shop'))
  }
  await write(
    ['mesh', 'shop', {}],
    ['virtual-node', 'cart', { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] }],
    ['virtual-service', 'cart.local', { provider: { virtualNode: { virtualNodeName: 'cart' } } }],
    ['virtual-node', 'web', { backends: [{ virtualService: { virtualServiceName: 'cart.local' } }] }],
  )
  const directory = new Registry(clock)
  directory.onChange((mesh, name) => changes.notify(endpointsTopic({ mesh, name })))
  const trust = { revision: 'trust', certificates: [] }
  const issuer = { trust: async () => trust, issue: async () => 'chain' }
  const states = new MeshStates(store)
  const snapshots = new SnapshotCache(states, 'weft.internal')
  const stopping = new AbortController().signal
  const deps = { states, snapshots, directory, issuer, changes, stopping }
  const useCase = (pace: SyncPace = HELD_CALLS) => sync({ ...deps, pace })
  return { write, directory, store, useCase, call: useCase() }
}

function input(name: string, options: Partial<SyncInput> & { known?: Partial<SyncRequest['known']> } = {}): SyncInput {
  const instance = { id: `${name}-1`, address: '10.0.0.1', meshPort: 15_000, protocols: ['http/1.1'], version: '1' }
  const request: SyncRequest = {
    schemas: [1],
    instance: { ...instance, state: 'ready' },
    known: { snapshot: null, endpoints: {}, trust: 'trust', ...options.known },
    status: { applied: null, rejected: null, certificateNotAfterMs: null },
  }
  const signal = new AbortController().signal
  return { subject: subject(name), request, peerAddress: '10.0.0.9', waitMs: 0, signal, ...options }
}

function knownFrom(answer: SyncResponse): Partial<SyncRequest['known']> {
  const endpoints = Object.fromEntries(answer.endpoints.map(({ node, revision }) => [node, revision]))
  return { endpoints, ...(answer.snapshot && { snapshot: answer.snapshot.revision }) }
}

describe('sync', () => {
  it('keeps an instance listed for as long as its call is held, and lets it lapse after that', async () => {
    const { call, directory } = await makeShop()
    const { known } = input('cart', { known: knownFrom(await call(input('cart'))) }).request
    const held = call(input('cart', { known, waitMs: 60_000 }))
    await vi.advanceTimersByTimeAsync(59_000)
    expect((await directory.endpoints('shop', 'cart')).endpoints).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await held).toEqual({ endpoints: [], nextSyncMs: 0 })
    await vi.advanceTimersByTimeAsync(15_000)
    expect((await directory.endpoints('shop', 'cart')).endpoints).toEqual([])
  })

  it('never holds longer than 60 s, whatever is asked', async () => {
    const { call } = await makeShop()
    const held = call(input('web', { known: knownFrom(await call(input('web'))), waitMs: 3_600_000 }))
    await vi.advanceTimersByTimeAsync(60_000)
    expect((await held).endpoints).toEqual([])
  })

  it('answers a burst of writes once, with the last of them', async () => {
    const { call, write } = await makeShop()
    const first = await call(input('web'))
    const held = call(input('web', { known: knownFrom(first), waitMs: 30_000 }))
    await vi.advanceTimersByTimeAsync(10)
    await write(['virtual-service', 'cart.local', {}])
    await write(['virtual-node', 'web', { backends: [] }])
    await vi.advanceTimersByTimeAsync(10)
    const { snapshot } = await held
    const settled = await call(input('web'))
    expect(snapshot?.revision).toBe(settled.snapshot?.revision)
    expect(snapshot?.revision).not.toBe(first.snapshot?.revision)
  })

  it('does not empty a set that a proxy has at hand while a restarted control plane still waits for reports', async () => {
    const { useCase, directory } = await makeShop()
    const restarted = useCase()
    const known = { ...knownFrom(await restarted(input('web'))), endpoints: { cart: 'of-the-process-before' } }
    const early = restarted(input('web', { known, waitMs: 10_000 }))
    await vi.advanceTimersByTimeAsync(10_000)
    expect((await early).endpoints).toEqual([])
    const late = restarted(input('web', { known, waitMs: 20_000 }))
    await vi.advanceTimersByTimeAsync(10_000)
    expect((await late).endpoints).toEqual([await directory.endpoints('shop', 'cart')])
  })

  it('tells a restarted proxy fleet of the first instance at once', async () => {
    const { call } = await makeShop()
    const known = { ...knownFrom(await call(input('web'))), endpoints: { cart: 'of-the-process-before' } }
    await call(input('cart'))
    expect((await call(input('web', { known }))).endpoints).toEqual([
      expect.objectContaining({ node: 'cart', endpoints: [expect.objectContaining({ id: 'cart-1' })] }),
    ])
  })

  it('uses the address it sees for an instance that names none', async () => {
    const { call, directory } = await makeShop()
    const { request, ...rest } = input('cart')
    await call({ ...rest, request: { ...request, instance: { ...request.instance, address: null } } })
    expect((await directory.endpoints('shop', 'cart')).endpoints).toMatchObject([{ address: '10.0.0.9' }])
  })

  it('answers at once on Lambda whatever hold is asked for, and spreads the next calls around the interval', async () => {
    const { useCase } = await makeShop()
    const polled = useCase(polledEvery(30_000))
    const { known } = input('web', { known: knownFrom(await polled(input('web'))) }).request
    const pauses: number[] = []
    for (let n = 0; n < 200; n++) {
      const { nextSyncMs, ...answer } = await polled(input('web', { known, waitMs: 30_000 }))
      expect(answer).toEqual({ endpoints: [] })
      pauses.push(nextSyncMs)
    }
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(24_000)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(36_000)
    expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(6_000)
  })

  it('reads the head once for all who call within a quarter of a second on Lambda, and sees a write after that', async () => {
    const { useCase, store, write } = await makeShop()
    const polled = useCase(polledEvery(30_000))
    const first = await polled(input('web'))
    const known = knownFrom(first)
    const heads = vi.spyOn(store, 'generation')
    await vi.advanceTimersByTimeAsync(300)
    for (let n = 0; n < 50; n++) await polled(input('web', { known }))
    expect(heads).toHaveBeenCalledTimes(1)
    await write(['virtual-node', 'web', { backends: [] }])
    await vi.advanceTimersByTimeAsync(250)
    expect((await polled(input('web', { known }))).snapshot?.revision).not.toBe(first.snapshot?.revision)
  })

  it('loses no instance on Lambda to a few polls that did not come', async () => {
    const { useCase, directory } = await makeShop()
    await useCase(polledEvery(30_000))(input('cart'))
    await vi.advanceTimersByTimeAsync(20 * 60_000)
    expect((await directory.endpoints('shop', 'cart')).endpoints).toHaveLength(1)
  })

  it('has the registrations of the nodes it calls and of its own looked at, and calls again soon while not seen', async () => {
    const { useCase, directory, write } = await makeShop()
    const cloudMap = { namespaceName: 'prod', serviceName: 'cart', attributes: [{ key: 'color', value: 'blue' }] }
    const listeners = [{ portMapping: { port: 8080, protocol: 'http' }, tls: undefined }]
    await write(['virtual-node', 'cart', { listeners, serviceDiscovery: { awsCloudMap: cloudMap } }])
    const refresh = vi.spyOn(directory, 'refresh').mockImplementation(async () => [{ node: 'web', settled: false }])
    const { nextSyncMs } = await useCase(polledEvery(30_000))(input('web'))
    const cart = { namespace: 'prod', service: 'cart', attributes: { color: 'blue' } }
    const asked = [
      { node: 'cart', cloudMap: cart, plainPort: 8080 },
      { node: 'web', cloudMap: null, plainPort: null },
    ]
    expect(refresh).toHaveBeenCalledExactlyOnceWith('shop', asked, 'due')
    expect(nextSyncMs).toBeLessThanOrEqual(6_000)
    // Somebody else's registration is no reason to hurry.
    refresh.mockImplementation(async () => [{ node: 'cart', settled: false }])
    expect((await useCase(polledEvery(30_000))(input('web'))).nextSyncMs).toBeGreaterThanOrEqual(24_000)
  })

  it('brings more endpoints than Lambda carries at once one part after another, and the snapshot with the last', async () => {
    const { useCase, write, directory } = await makeShop()
    const names = ['a', 'b', 'c']
    for (const name of names) {
      await write(
        ['virtual-node', name, { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }] }],
        ['virtual-service', `${name}.local`, { provider: { virtualNode: { virtualNodeName: name } } }],
      )
    }
    const backends = names.map((name) => ({ virtualService: { virtualServiceName: `${name}.local` } }))
    await write(['virtual-node', 'web', { backends }])
    const endpoint = (n: number) => ({
      id: `i${n}`,
      address: '10.0.0.1',
      port: 1,
      sidecar: null,
      state: 'ready' as const,
    })
    const endpoints = Array.from({ length: 6_000 }, (_, n) => endpoint(n))
    vi.spyOn(directory, 'endpoints').mockImplementation(async (_, node) => ({
      node,
      revision: `of-${node}`,
      endpoints,
    }))
    const call = useCase(polledEvery(30_000))
    const known: SyncRequest['known'] = { snapshot: null, endpoints: {}, trust: 'trust' }
    const answers: SyncResponse[] = []
    for (let n = 0; n < 4; n++) {
      const answer = await call(input('web', { known }))
      answers.push(answer)
      for (const { node, revision } of answer.endpoints) known.endpoints[node] = revision
      if (answer.snapshot !== undefined) known.snapshot = answer.snapshot.revision
    }
    expect(answers.map((answer) => answer.endpoints.map(({ node }) => node))).toEqual([['a'], ['b'], ['c'], []])
    expect(answers.map(({ snapshot }) => snapshot !== undefined)).toEqual([false, false, true, false])
    expect(answers.slice(0, 2).map(({ nextSyncMs }) => nextSyncMs)).toEqual([0, 0])
    expect(answers[2]!.nextSyncMs).toBeGreaterThan(20_000)
  })

  it('refuses a proxy that can read none of its snapshots, naming both sides', async () => {
    const { call } = await makeShop()
    const { request, ...rest } = input('cart')
    await expect(call({ ...rest, request: { ...request, schemas: [7, 8] } })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/schema 1.*7, 8/),
    })
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { changedPaths } from '../../../runtime/app/changed-paths.ts'
import { Changes, meshTopic } from '../../../runtime/app/changes.ts'
import { createResource } from '../../../runtime/app/create-resource.ts'
import { deleteResource } from '../../../runtime/app/delete-resource.ts'
import { diffGenerations } from '../../../runtime/app/diff.ts'
import { readHistory, readState } from '../../../runtime/app/history.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { quotasOf } from '../../../runtime/app/quotas.ts'
import { rollback } from '../../../runtime/app/rollback.ts'
import { updateResource } from '../../../runtime/app/update-resource.ts'
import type { ResourceKind, ResourceRef } from '../../../runtime/model/reference.ts'
import type { Change, StoredResource } from '../../../runtime/ports.ts'
import { randomMesh } from '../compiler/random-mesh.ts'

const ref = (kind: ResourceKind, name: string, parent?: string): ResourceRef => ({
  kind,
  mesh: 'shop',
  name,
  ...(parent !== undefined && { parent }),
})
const MESH = ref('mesh', 'shop')
const listening = (port: number) => ({ listeners: [{ portMapping: { port, protocol: 'http' } }] })
const split = (weight: number) => ({
  httpRoute: { match: { prefix: '/' }, action: { weightedTargets: [{ virtualNode: 'v1', weight }] } },
})

function makeShop() {
  const store = new MemoryStore()
  const changes = new Changes()
  let now = 1_000
  let uids = 0
  const deps = {
    store,
    states: new MeshStates(store),
    changes,
    clock: { now: () => now++ },
    newUid: () => `uid-${uids++}`,
    quotas: quotasOf({}),
  }
  const create = createResource(deps)
  const update = updateResource(deps)
  const remove = deleteResource(deps)
  const back = rollback(deps)
  return {
    store,
    changes,
    create: (name: ResourceRef, spec: unknown = {}) => create({ ref: name, spec, tags: {}, actor: 'ann' }),
    update: (name: ResourceRef, spec: unknown) => update({ ref: name, spec, actor: 'ann' }),
    remove: (name: ResourceRef) => remove({ ref: name, actor: 'ann', accountId: '000000000000' }),
    back: (generation: number, more: { expectedGeneration?: number; dryRun?: boolean } = {}) =>
      back({ mesh: 'shop', generation, actor: 'bob', ...more }),
    diff: (query: { mesh: string; from: number; to?: number }) => diffGenerations(deps)({ limit: 1_000, ...query }),
    history: readHistory(deps),
    state: (mesh: string, generation?: number) => readState(deps)({ mesh, generation, limit: 1_000 }),
    head: () => store.generation('shop'),
    get: (name: ResourceRef) => store.get(name),
  }
}

/** A mesh with a node, a router and a route; returns its generation. */
async function fill(shop: ReturnType<typeof makeShop>): Promise<number> {
  await shop.create(MESH)
  await shop.create(ref('virtual-node', 'v1'), listening(8080))
  await shop.create(ref('virtual-router', 'r'), listening(8080))
  await shop.create(ref('route', 'all', 'r'), split(1))
  return shop.head()
}

const contents = (resources: readonly StoredResource[]) =>
  resources.map(({ ref: name, spec, tags }) => [name, spec, tags])

describe('changed paths', () => {
  it('name the members and places that differ, and nothing else', () => {
    const before = { spec: { listeners: [{ port: 1, tls: null }], gone: { a: 1 } }, tags: { a: 'x' } }
    const after = { spec: { listeners: [{ port: 2, tls: null }, {}], added: [] }, tags: { a: 'x' } }
    expect(changedPaths(before, after)).toEqual([
      'spec.listeners[0].port',
      'spec.listeners[1]',
      'spec.gone',
      'spec.added',
    ])
  })

  it('are none exactly when two JSON values are equal', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(changedPaths(a, structuredClone(a))).toEqual([])
        // Through JSON: -0 is 0 there, and the order of members means nothing.
        const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
        expect(changedPaths(a, b).length === 0).toBe(same)
      }),
    )
  })

  it('stop at a number that somebody can read', () => {
    const large = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`m${n}`, n]))
    expect(changedPaths({}, large)).toHaveLength(200)
  })
})

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => [name, sorted(inner)])
    .concat([['object', '']])
}

describe('the past of a mesh', () => {
  it('is there to read at any generation, also after the mesh was deleted', async () => {
    const shop = makeShop()
    const full = await fill(shop)
    for (const name of [ref('route', 'all', 'r'), ref('virtual-router', 'r'), ref('virtual-node', 'v1'), MESH]) {
      await shop.remove(name)
    }
    expect((await shop.state('shop')).resources).toEqual([])
    expect((await shop.state('shop', full)).resources.map(({ ref: { name } }) => name)).toEqual([
      'shop',
      'all',
      'v1',
      'r',
    ])
    expect((await shop.history({ mesh: 'shop', limit: 2 })).items[0]).toMatchObject({
      actor: 'ann',
      ref: MESH,
      after: null,
    })
  })

  it('of a mesh that never was is not found', async () => {
    const shop = makeShop()
    await expect(shop.history({ mesh: 'shop', limit: 1 })).rejects.toMatchObject({ code: 'not-found' })
    await expect(shop.state('shop', 0)).rejects.toMatchObject({ code: 'not-found' })
    await expect(shop.diff({ mesh: 'shop', from: 0 })).rejects.toMatchObject({ code: 'not-found' })
    await expect(shop.back(0)).rejects.toMatchObject({ code: 'not-found' })
  })

  it('shows what was created, updated and deleted between two generations, in both directions', async () => {
    const shop = makeShop()
    const from = await fill(shop)
    await shop.update(ref('route', 'all', 'r'), split(7))
    await shop.create(ref('virtual-node', 'v2'), listening(9090))
    await shop.create(ref('virtual-node', 'brief'))
    await shop.remove(ref('virtual-node', 'brief'))
    const there = await shop.diff({ mesh: 'shop', from })
    expect(there.changes.map(({ change, ref: { name }, paths }) => [change, name, paths])).toEqual([
      ['updated', 'all', ['spec.httpRoute.action.weightedTargets[0].weight']],
      ['created', 'v2', []],
    ])
    const back = await shop.diff({ mesh: 'shop', from: there.to, to: from })
    expect(back.changes.map(({ change, ref: { name } }) => [change, name])).toEqual([
      ['updated', 'all'],
      ['deleted', 'v2'],
    ])
    expect(back.changes[0]?.before).toEqual(there.changes[0]?.after)
  })
})

describe('a rollback', () => {
  it('makes all resources what they were in one commit, and says so in the log', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    await shop.update(ref('route', 'all', 'r'), split(7))
    await shop.remove(ref('route', 'all', 'r'))
    await shop.remove(ref('virtual-router', 'r'))
    await shop.create(ref('virtual-node', 'v2'), listening(9090))
    const bad = await shop.head()
    const watch = shop.changes.watch()
    watch.add(meshTopic('shop'))

    const { generation, changes } = await shop.back(good)
    expect(generation).toBe(bad + 1)
    expect(changes.map(({ change, ref: { name } }) => [change, name])).toEqual([
      ['created', 'all'],
      ['deleted', 'v2'],
      ['created', 'r'],
    ])
    await watch.changed
    expect(contents((await shop.state('shop')).resources)).toEqual(contents((await shop.state('shop', good)).resources))
    const { items } = await shop.history({ mesh: 'shop', limit: 4 })
    expect(items.map(({ rolledBackTo, actor }) => [rolledBackTo, actor])).toEqual([
      [good, 'bob'],
      [good, 'bob'],
      [good, 'bob'],
      [undefined, 'ann'],
    ])
  })

  it('lets versions count on and keeps the uid of what still exists; what comes back is a new one', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    const node = ref('virtual-node', 'v1')
    const route = ref('route', 'all', 'r')
    const [nodeThen, routeThen] = [await shop.get(node), await shop.get(route)]
    await shop.update(node, { ...listening(8080), backends: [] })
    await shop.update(node, { ...listening(8080), logging: {} })
    await shop.remove(route)
    await shop.back(good)
    expect(await shop.get(node)).toMatchObject({ uid: nodeThen!.uid, version: 4, createdAtMs: nodeThen!.createdAtMs })
    const routeNow = (await shop.get(route))!
    expect(routeNow).toMatchObject({ spec: routeThen!.spec, version: routeThen!.version + 1 })
    expect(routeNow.uid).not.toBe(routeThen!.uid)
    expect(routeNow.createdAtMs).toBe(routeNow.updatedAtMs)
    expect(routeNow.createdAtMs).toBeGreaterThan(routeThen!.createdAtMs)
  })

  it('gives a virtual service that comes back its former VIP, and never gives one away twice', async () => {
    const shop = makeShop()
    await shop.create(MESH)
    const [one, two, three] = ['one', 'two', 'three'].map((name) => ref('virtual-service', name)) as [
      ResourceRef,
      ResourceRef,
      ResourceRef,
    ]
    await shop.create(one)
    const good = await shop.head()
    await shop.create(two)
    await shop.remove(one)
    await shop.back(good)
    expect((await shop.get(one))?.vip).toBe('127.64.0.1')
    expect(await shop.get(two)).toBeUndefined()
    expect((await shop.get(MESH))?.vip).toBe('127.64.0.2')
    expect((await shop.create(three)).vip).toBe('127.64.0.3')
  })

  it('brings a deleted mesh back with its mark, so that its VIPs go on where they stopped', async () => {
    const shop = makeShop()
    await shop.create(MESH)
    const good = await shop.head()
    await shop.create(ref('virtual-service', 'one'))
    await shop.remove(ref('virtual-service', 'one'))
    await shop.remove(MESH)
    await shop.back(good)
    expect(await shop.get(MESH)).toMatchObject({ vip: '127.64.0.1', version: 2 })
    expect((await shop.create(ref('virtual-service', 'two'))).vip).toBe('127.64.0.2')
  })

  it('does nothing when everything is as it was, however it came to be so', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    expect(await shop.back(good)).toEqual({ generation: good, changes: [] })
    await shop.remove(ref('route', 'all', 'r'))
    const { generation } = await shop.back(good)
    expect(await shop.back(good)).toEqual({ generation, changes: [] })
    expect(await shop.head()).toBe(generation)
  })

  it('only says what it would do when it is tried', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    await shop.update(ref('route', 'all', 'r'), split(7))
    const tried = await shop.back(good, { dryRun: true })
    expect(tried).toMatchObject({ generation: good + 1, changes: [{ change: 'updated' }] })
    expect(await shop.head()).toBe(good + 1)
  })

  it('is refused when the mesh is not at the expected generation any more', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    await shop.update(ref('route', 'all', 'r'), split(7))
    await expect(shop.back(good, { expectedGeneration: good })).rejects.toMatchObject({ code: 'conflict' })
    expect((await shop.back(good, { expectedGeneration: good + 1 })).generation).toBe(good + 2)
  })

  it('decides again when somebody else writes in between', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    await shop.update(ref('route', 'all', 'r'), split(7))
    const commit = shop.store.commit.bind(shop.store)
    let rivals = 1
    shop.store.commit = async (input) => {
      if (input.rolledBackTo !== undefined && rivals-- > 0) await shop.create(ref('virtual-node', 'rival'))
      return commit(input)
    }
    expect((await shop.back(good)).changes.map(({ change, ref: { name } }) => [change, name])).toEqual([
      ['updated', 'all'],
      ['deleted', 'rival'],
    ])
  })

  it('is refused to a time before the mesh, and to one that is still to come', async () => {
    const shop = makeShop()
    const good = await fill(shop)
    await expect(shop.back(0)).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('delete it') })
    await expect(shop.back(good + 1)).rejects.toMatchObject({ code: 'not-found' })
    expect(await shop.head()).toBe(good)
  })

  it('is refused with every problem when that state breaks the rules of today', async () => {
    const shop = makeShop()
    const mesh: StoredResource = { ref: MESH, spec: {}, tags: {}, uid: 'u', version: 1, createdAtMs: 1, updatedAtMs: 1 }
    // As an older version with fewer rules might have left them.
    const route = { ...mesh, ref: ref('route', 'lost', 'none'), spec: split(1) }
    const node = { ...mesh, ref: ref('virtual-node', 'odd'), spec: { listeners: 'all' } }
    const changes = [mesh, route, node].map((resource): Change => ({ kind: 'put', resource }))
    await shop.store.commit({ mesh: 'shop', expectedGeneration: 0, changes, actor: 'x', atMs: 1 })
    await shop.remove(route.ref).catch(() => {})
    const removal: Change[] = [{ kind: 'remove', ref: node.ref }]
    const at = await shop.head()
    await shop.store.commit({ mesh: 'shop', expectedGeneration: at, changes: removal, actor: 'x', atMs: 2 })
    const error = await shop.back(1).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'invalid' })
    const paths = (error as { problems: { path: string }[] }).problems.map(({ path }) => path)
    expect(paths).toEqual(expect.arrayContaining(['route/none/lost: parent', 'virtual-node/odd: spec.listeners']))
    expect(await shop.head()).toBe(at + 1)
  })

  it('goes back to every state that was ever accepted, also to one between two steps of a deployment', async () => {
    const shop = makeShop()
    await fill(shop)
    const router = ref('virtual-router', 'r')
    const both = { listeners: [8080, 9090].flatMap((port) => listening(port).listeners) }
    await shop.update(router, both)
    const between = await shop.head()
    const ported = { httpRoute: { ...split(1).httpRoute, match: { prefix: '/', port: 8080 } } }
    await expect(shop.update(ref('route', 'all', 'r'), split(2))).rejects.toMatchObject({ code: 'invalid' })
    await shop.update(ref('route', 'all', 'r'), ported)
    const done = await shop.head()
    for (const generation of [between, done, 4, between]) {
      await shop.back(generation)
      const { resources } = await shop.state('shop', generation)
      expect(contents((await shop.state('shop')).resources)).toEqual(contents(resources))
    }
  })

  it('is refused to no state that writes led to, whatever they were', async () => {
    const pool = fc.array(fc.tuple(randomMesh, fc.array(fc.nat(), { minLength: 30, maxLength: 60 })), { maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(pool, async (rounds) => {
        const shop = makeShop()
        for (const [mesh, picks] of rounds) {
          for (const { ref: name, spec } of [...mesh, ...picks.map((pick) => mesh[pick % mesh.length]!)]) {
            const write = (await shop.get(name)) === undefined ? shop.create(name, spec) : shop.update(name, spec)
            // Some are refused: what they name, or who names them, does not let them.
            await write.catch(() => shop.remove(name)).catch(() => {})
          }
        }
        for (let generation = 1; generation <= (await shop.head()); generation++) {
          if ((await shop.state('shop', generation)).resources.length > 0) await shop.back(generation, { dryRun: true })
        }
      }),
      { numRuns: 15 },
    )
  })

  it('of 500 resources is one generation', async () => {
    const shop = makeShop()
    await shop.create(MESH)
    const good = await shop.head()
    const nodes = Array.from({ length: 500 }, (_, n) => ref('virtual-node', `n${n}`))
    for (const name of nodes) await shop.create(name, listening(8080))
    const full = await shop.head()
    expect((await shop.back(good)).generation).toBe(full + 1)
    expect((await shop.back(full)).generation).toBe(full + 2)
    expect((await shop.state('shop')).resources).toHaveLength(501)
  })
})

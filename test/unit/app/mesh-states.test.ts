import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { openSqliteStore } from '../../../runtime/adapters/sqlite-store.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { Slices } from '../../../runtime/app/slices.ts'
import { buildGraph } from '../../../runtime/compiler/graph.ts'
import type { ResourceStore } from '../../../runtime/ports.ts'
import { node, put, resource } from '../../contract/stored.ts'
import { openApi } from '../http/api.ts'

/** A store that counts how often a whole mesh is read. */
class CountingStore extends MemoryStore {
  loads = 0

  override async load(mesh: string): ReturnType<MemoryStore['load']> {
    this.loads++
    return super.load(mesh)
  }
}

const directories: string[] = []

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

const path = '/v20190125/meshes/m/virtualNodes'

async function expectSame(states: MeshStates, store: ResourceStore): Promise<void> {
  const { generation, graph } = await states.current('m')
  const loaded = await store.load('m')
  expect(generation).toBe(loaded.generation)
  const whole = buildGraph(loaded.resources)
  expect(graph.resources).toEqual(whole.resources)
  const names = (children: typeof graph.children) =>
    Object.fromEntries([...children].map(([key, siblings]) => [key, siblings.map(({ ref }) => ref.name).sort()]))
  expect(names(graph.children)).toEqual(names(whole.children))
}

describe('a mesh in memory', () => {
  it('is read from the store once, however many writes follow', async () => {
    const store = new CountingStore()
    const { call } = openApi({ store })
    await call('PUT', '/v20190125/meshes', { meshName: 'm' })
    const loads = store.loads
    for (let n = 0; n < 20; n++) await call('PUT', path, { virtualNodeName: `n${n}`, spec: {} })
    expect((await call('PUT', `${path}/n3`, { spec: {} })).json.metadata.version).toBe(2)
    expect((await call('DELETE', `${path}/n4`)).status).toBe(200)
    expect(store.loads - loads).toBeLessThanOrEqual(1)
  })

  it('stays in memory among as many others as the quota lets there be', async () => {
    const store = new CountingStore()
    const { call } = openApi({ store })
    const meshes = Array.from({ length: 150 }, (_, n) => `m${n}`)
    for (const meshName of meshes) await call('PUT', '/v20190125/meshes', { meshName })
    const write = async (name: string) => {
      for (const mesh of meshes)
        await call('PUT', `/v20190125/meshes/${mesh}/virtualNodes`, { virtualNodeName: name, spec: {} })
    }
    await write('a')
    const loads = store.loads
    await write('b')
    expect(store.loads).toBe(loads)
  })

  it('makes room for others when they are too large together, the one not used for longest first', async () => {
    const store = new CountingStore()
    const states = new MeshStates(store, 10)
    for (const mesh of ['a', 'b', 'c', 'large']) {
      const nodes = Array.from({ length: mesh === 'large' ? 20 : 4 }, (_, n) => node(mesh, `n${n}`))
      await store.commit({ mesh, expectedGeneration: 0, changes: put(...nodes), actor: 'a', atMs: 1 })
    }
    const loadsOf = async (...meshes: string[]) => {
      const before = store.loads
      for (const mesh of meshes) await states.current(mesh)
      return store.loads - before
    }
    expect(await loadsOf('a', 'b', 'a')).toBe(2)
    expect(await loadsOf('c', 'a', 'c')).toBe(1)
    await states.current('a', 60_000)
    expect(await loadsOf('b', 'a', 'b')).toBe(1)
    expect(await loadsOf('large', 'large')).toBe(1)
    expect(await loadsOf('a', 'a')).toBe(1)
  })

  it('goes through puts and removals of parents and children to the same graph that the store has', async () => {
    const store = new MemoryStore()
    const states = new MeshStates(store)
    const router = resource({ kind: 'virtual-router', mesh: 'm', name: 'r' })
    const route = (name: string, version = 1) => resource({ kind: 'route', mesh: 'm', parent: 'r', name }, { version })
    const steps = [
      [{ kind: 'put', resource: resource({ kind: 'mesh', mesh: 'm', name: 'm' }) }],
      [
        { kind: 'put', resource: router },
        { kind: 'put', resource: route('a') },
      ],
      [
        { kind: 'put', resource: route('b') },
        { kind: 'put', resource: route('a', 2) },
      ],
      [{ kind: 'remove', ref: route('a').ref }],
      [
        { kind: 'remove', ref: route('b').ref },
        { kind: 'remove', ref: router.ref },
      ],
    ] as const
    for (const changes of steps) {
      const before = await states.current('m')
      const input = { mesh: 'm', expectedGeneration: before.generation, changes, actor: 'a', atMs: 1 }
      states.advance('m', before, await store.commit(input), changes)
      await expectSame(states, store)
    }
  })

  it('sees at once what another process wrote, and refuses nothing on what it knew before', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-states-'))
    directories.push(directory)
    const stores = [openSqliteStore(join(directory, 'weft.db')), openSqliteStore(join(directory, 'weft.db'))]
    const [one, two] = stores.map((store) => openApi({ store }).call) as [
      ReturnType<typeof openApi>['call'],
      ReturnType<typeof openApi>['call'],
    ]
    await one('PUT', '/v20190125/meshes', { meshName: 'm' })
    const writes = Array.from({ length: 10 }, async (_, n) => {
      const created = await [one, two][n % 2]!('PUT', path, { virtualNodeName: `n${n}`, spec: {} })
      const service = { virtualServiceName: `s${n}`, spec: { provider: { virtualNode: { virtualNodeName: `n${n}` } } } }
      const other = await [two, one][n % 2]!('PUT', '/v20190125/meshes/m/virtualServices', service)
      return [created.status, other.status]
    })
    expect(new Set((await Promise.all(writes)).flat())).toEqual(new Set([200]))
    for (const store of stores) await store.close()
  })

  it('that is gone is gone, and made again goes on from where it was', async () => {
    const { call, store } = openApi()
    await call('PUT', '/v20190125/meshes', { meshName: 'm' })
    await call('DELETE', '/v20190125/meshes/m')
    expect((await call('PUT', path, { virtualNodeName: 'n', spec: {} })).json.message).toMatch(
      /^Mesh with name m is missing/,
    )
    await call('PUT', '/v20190125/meshes', { meshName: 'm' })
    expect(await store.generation('m')).toBe(3)
    const outside = { kind: 'put', resource: node('m', 'outside') } as const
    await store.commit({ mesh: 'm', expectedGeneration: 3, changes: [outside], actor: 'a', atMs: 1 })
    expect((await call('PUT', path, { virtualNodeName: 'outside', spec: {} })).exception).toBe('ConflictException')
  })
})

describe('work in slices', () => {
  it('is done in order, each piece once, and tells its own failure', async () => {
    const slices = new Slices()
    const done: number[] = []
    const pieces = Array.from({ length: 50 }, (_, n) => slices.run(() => done.push(n)))
    const failed = slices.run(() => {
      throw new Error('odd')
    })
    await expect(failed).rejects.toThrow('odd')
    await Promise.all(pieces)
    expect(done).toEqual(Array.from({ length: 50 }, (_, n) => n))
  })

  it('lets the event loop run between pieces that take long', async () => {
    const slices = new Slices()
    const busy = () => {
      const end = performance.now() + 3
      while (performance.now() < end);
    }
    const pieces = Promise.all(Array.from({ length: 40 }, () => slices.run(busy)))
    let turns = 0
    let working = true
    pieces.finally(() => {
      working = false
    })
    while (working) {
      await new Promise((resolve) => setImmediate(resolve))
      turns++
    }
    // 120 ms of work in slices of 5 ms: were it done in one go, this would count one turn.
    expect(turns).toBeGreaterThan(10)
  })
})

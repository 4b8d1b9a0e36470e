import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { SnapshotCache } from '../../../runtime/app/snapshot-cache.ts'
import type { ResourceRef, Subject } from '../../../runtime/model/reference.ts'
import type { ResourceStore } from '../../../runtime/ports.ts'

const ref = (kind: ResourceRef['kind'], name: string): ResourceRef => ({ kind, mesh: 'shop', name })
const cart: Subject = { kind: 'virtual-node', mesh: 'shop', name: 'cart' }
const listening = (port: number) => ({ listeners: [{ portMapping: { port, protocol: 'http' } }] })

/** A store that counts what the cache costs it. */
class CountingStore extends MemoryStore {
  readonly reads = { generation: 0, load: 0 }

  override async generation(mesh: string): Promise<number> {
    this.reads.generation++
    return super.generation(mesh)
  }

  override async load(mesh: string): ReturnType<MemoryStore['load']> {
    this.reads.load++
    return super.load(mesh)
  }
}

async function write(store: ResourceStore, name: ResourceRef, spec: unknown): Promise<void> {
  const resource = { ref: name, spec, tags: {}, uid: 'u', version: 1, createdAtMs: 0, updatedAtMs: 0 }
  const expectedGeneration = await store.generation('shop')
  await store.commit({ mesh: 'shop', expectedGeneration, changes: [{ kind: 'put', resource }], actor: 'test', atMs: 0 })
}

async function makeShop() {
  const store = new CountingStore()
  await write(store, ref('mesh', 'shop'), {})
  await write(store, ref('virtual-node', 'cart'), listening(8080))
  store.reads.generation = 0
  return { store, cache: new SnapshotCache(new MeshStates(store), 'weft.internal') }
}

describe('the snapshot cache', () => {
  it('costs one generation read a poll while nothing changes', async () => {
    const { store, cache } = await makeShop()
    const first = await cache.of(cart)
    expect(store.reads).toEqual({ generation: 1, load: 1 })
    expect(await cache.of(cart)).toBe(first)
    expect(store.reads).toEqual({ generation: 2, load: 1 })
  })

  it('loads and compiles once for all who ask at the same time', async () => {
    const { store, cache } = await makeShop()
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.of(cart)))
    expect(new Set(answers).size).toBe(1)
    expect(store.reads.load).toBe(1)
  })

  it('sees a write that was made while a load was under way', async () => {
    const { store, cache } = await makeShop()
    const before = cache.of(cart)
    await write(store, ref('virtual-node', 'cart'), listening(9090))
    const after = await cache.of(cart)
    expect(JSON.stringify(after.snapshot)).toContain('9090')
    await before
  })

  it('keeps the very snapshot when a write elsewhere leaves its content alone', async () => {
    const { store, cache } = await makeShop()
    const { snapshot, generation } = await cache.of(cart)
    await write(store, ref('virtual-node', 'other'), {})
    const later = await cache.of(cart)
    expect(later.snapshot).toBe(snapshot)
    expect(later.generation).toBe(generation + 1)
  })

  it('keeps the last good snapshot in force when the mesh does not compile any more, and says so', async () => {
    const { store, cache } = await makeShop()
    const { snapshot } = await cache.of(cart)
    await write(store, ref('virtual-node', 'cart'), { listeners: [null] })
    for (const _ of [1, 2]) {
      expect(await cache.of(cart)).toMatchObject({ snapshot, problems: [{ code: 'compiler-failed' }] })
      await write(store, ref('virtual-node', 'other'), {})
    }
    await write(store, ref('virtual-node', 'cart'), listening(9090))
    expect(await cache.of(cart)).toMatchObject({ problems: [] })
  })

  it('has nothing for a node that never compiled, and tells why', async () => {
    const { store, cache } = await makeShop()
    await write(store, ref('virtual-node', 'cart'), { listeners: [null] })
    await expect(cache.of(cart)).rejects.toMatchObject({ code: 'unavailable', problems: [{ code: 'compiler-failed' }] })
  })

  it('forgets a node that was removed, and a mesh with it', async () => {
    const { store, cache } = await makeShop()
    await cache.of(cart)
    const remove = (name: ResourceRef, expectedGeneration: number) =>
      store.commit({ mesh: 'shop', expectedGeneration, changes: [{ kind: 'remove', ref: name }], actor: 't', atMs: 0 })
    await remove(ref('virtual-node', 'cart'), 2)
    await expect(cache.of(cart)).rejects.toMatchObject({ code: 'not-found' })
    await remove(ref('mesh', 'shop'), 3)
    await expect(cache.of(cart)).rejects.toMatchObject({ code: 'not-found' })
    await expect(cache.of({ ...cart, mesh: 'never-was' })).rejects.toMatchObject({ code: 'not-found' })
  })
})

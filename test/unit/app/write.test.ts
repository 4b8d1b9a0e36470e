import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { Changes, meshTopic } from '../../../runtime/app/changes.ts'
import { createResource } from '../../../runtime/app/create-resource.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { quotasOf } from '../../../runtime/app/quotas.ts'
import type { ResourceRef } from '../../../runtime/model/reference.ts'
import type { ResourceStore } from '../../../runtime/ports.ts'

const ref = (kind: ResourceRef['kind'], name: string): ResourceRef => ({ kind, mesh: 'shop', name })

/** A store in which each of `rivals` in turn writes just before a commit. */
class ContestedStore extends MemoryStore {
  readonly rivals: (() => Promise<unknown>)[] = []

  override async commit(input: Parameters<ResourceStore['commit']>[0]): Promise<number> {
    await this.rivals.shift()?.()
    return super.commit(input)
  }
}

function makeShop() {
  const store = new ContestedStore()
  const changes = new Changes()
  let uids = 0
  const create = createResource({
    store,
    states: new MeshStates(store),
    changes,
    quotas: quotasOf({ policiesPerMesh: 2 }),
    clock: { now: () => 1_000 },
    newUid: () => `uid-${uids++}`,
  })
  const createNamed = (name: ResourceRef, spec: unknown = {}) => create({ ref: name, spec, tags: {}, actor: 'test' })
  return { store, changes, create, createNamed }
}

describe('a write while others write', () => {
  it('decides again on what the others left, so that two services never share a VIP', async () => {
    const { store, createNamed } = makeShop()
    await createNamed(ref('mesh', 'shop'))
    let rival: { vip?: string } = {}
    store.rivals.push(async () => {
      rival = await createNamed(ref('virtual-service', 'rival'))
    })
    const own = await createNamed(ref('virtual-service', 'own'))
    expect([rival.vip, own.vip]).toEqual(['127.64.0.1', '127.64.0.2'])
  })

  it('finds out that the other was faster with the same name', async () => {
    const { store, createNamed } = makeShop()
    await createNamed(ref('mesh', 'shop'))
    store.rivals.push(() => createNamed(ref('virtual-node', 'cart')))
    await expect(createNamed(ref('virtual-node', 'cart'))).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('exists already'),
    })
  })

  it('takes the place of a policy of its own, and never of one that somebody else gave its name meanwhile', async () => {
    const { store, create, createNamed } = makeShop()
    await createNamed(ref('mesh', 'shop'))
    await createNamed(ref('virtual-service', 'cart'))
    const policy = (name: string) => ({ ...ref('policy', name), parent: 'retry' })
    const retries = (targetRef: object) => ({ kind: 'retry', targetRef, spec: { maxRetries: 3 } })
    const ofMesh = retries({ kind: 'mesh', name: 'shop' })
    const former = await createNamed(policy('a'), ofMesh)
    const mayReplace = ({ uid }: { uid: string }) => uid === former.uid
    const rename = (name: string) => create({ ref: policy(name), spec: ofMesh, tags: {}, actor: 'test', mayReplace })

    const ofService = retries({ kind: 'virtual-service', name: 'cart' })
    store.rivals.push(() => createNamed(policy('b'), ofService))
    await expect(rename('b')).rejects.toMatchObject({ code: 'conflict' })
    expect((await store.get(policy('b')))?.spec).toEqual(ofService)
    expect((await store.get(policy('a')))?.uid).toBe(former.uid)
    // There may be two, and there are.
    await rename('c')
    expect([await store.get(policy('a')), await store.get(policy('c'))]).toMatchObject([undefined, { spec: ofMesh }])
  })

  it('gives up after losing every time, changes nothing and wakes nobody', async () => {
    const { store, changes, createNamed } = makeShop()
    await createNamed(ref('mesh', 'shop'))
    const bump = async () => {
      const { generation, resources } = await store.load('shop')
      const put = { kind: 'put', resource: resources[0]! } as const
      const input = { mesh: 'shop', expectedGeneration: generation, changes: [put], actor: 'rival', atMs: 0 }
      return MemoryStore.prototype.commit.call(store, input)
    }
    store.rivals.push(...Array.from({ length: 20 }, () => bump))
    const watch = changes.watch()
    watch.add(meshTopic('shop'))
    await expect(createNamed(ref('virtual-node', 'cart'))).rejects.toMatchObject({ code: 'conflict' })
    expect(await store.get(ref('virtual-node', 'cart'))).toBeUndefined()
    const woken = watch.changed.then(() => 'woken')
    expect(await Promise.race([woken, new Promise((done) => setImmediate(done, 'asleep'))])).toBe('asleep')
  })
})

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { compareRefs, storeKey } from '../../runtime/adapters/store-rules.ts'
import type { MeshErrorCode } from '../../runtime/model/problem.ts'
import type { ResourceRef } from '../../runtime/model/reference.ts'
import type { Change, Page, ResourceStore, StoredResource } from '../../runtime/ports.ts'
import { node, put, resource } from './stored.ts'

/** Names that a careless key, page token or query would confuse. */
const HOSTILE_NAMES = [
  'a/b',
  'a',
  'b/c',
  "'; DROP TABLE head; --",
  '"quoted"',
  '100%',
  '%2F',
  '_',
  '*',
  '\\',
  ' ',
  'ünïcödé',
  'u\u0308',
  '\u{1F600}',
  '\uFFFD',
  '\uFF5E',
  '__proto__',
  'constructor',
  '../../etc/passwd',
  'line\nbreak',
  'x'.repeat(255),
]

/** What every ResourceStore must do. `open` gives an empty one; the suite closes it. */
export function resourceStoreContract(title: string, open: () => Promise<ResourceStore>): void {
  describe(`${title} is a resource store`, () => {
    let store: ResourceStore

    beforeEach(async () => {
      store = await open()
    })
    afterEach(async () => {
      await store.close()
    })

    /** Commits on top of whatever is there. */
    async function commit(changes: readonly Change[], mesh = 'm'): Promise<number> {
      const expectedGeneration = await store.generation(mesh)
      return store.commit({ mesh, expectedGeneration, changes, actor: 'alice', atMs: 1000 + expectedGeneration })
    }

    async function pages<T>(read: (after: string | undefined) => Promise<Page<T>>): Promise<T[][]> {
      const result: T[][] = []
      let after: string | undefined
      do {
        const page = await read(after)
        result.push([...page.items])
        after = page.next
      } while (after !== undefined)
      return result
    }

    it('says generation 0, nothing found and empty lists of a mesh that never was', async () => {
      expect(await store.generation('m')).toBe(0)
      expect(await store.get({ kind: 'mesh', mesh: 'm', name: 'm' })).toBeUndefined()
      expect(await store.list({ kind: 'virtual-node', mesh: 'm', limit: 10 })).toEqual({ items: [] })
      expect(await store.load('m')).toEqual({ generation: 0, resources: [] })
      expect(await store.history({ mesh: 'm', limit: 10 })).toEqual({ items: [] })
    })

    it('gives back exactly what was put', async () => {
      const service = resource(
        { kind: 'virtual-service', mesh: 'm', name: 'orders.local' },
        {
          spec: { provider: { virtualNode: { virtualNodeName: 'o' } }, odd: [null, 0.1, '\ud800', '\0', 'é'] },
          tags: { team: 'a b' },
          uid: '0f1e',
          version: 7,
          createdAtMs: 1_700_000_000_000,
          updatedAtMs: 1_700_000_000_001,
          vip: '127.64.0.1',
        },
      )
      expect(await commit(put(service))).toBe(1)
      expect(await store.get(service.ref)).toEqual(service)
      expect(await store.generation('m')).toBe(1)
    })

    it('is not changed by what a caller later does to a value it put or got', async () => {
      const spec = { port: 1 }
      const value = node('m', 'a', { spec })
      await commit(put(value))
      spec.port = 2
      const got = await store.get(value.ref)
      expect(got?.spec).toEqual({ port: 1 })
      ;(got?.spec as { port: number }).port = 3
      expect((await store.get(value.ref))?.spec).toEqual({ port: 1 })
    })

    it('counts generations apart for each mesh', async () => {
      await commit(put(node('m', 'a')))
      await commit(put(node('m', 'b')))
      await commit(put(node('other', 'a')), 'other')
      expect(await store.generation('m')).toBe(2)
      expect(await store.generation('other')).toBe(1)
      expect((await store.load('other')).resources).toHaveLength(1)
    })

    it('replaces on a second put and forgets nothing else', async () => {
      await commit(put(node('m', 'a'), node('m', 'b')))
      await commit(put(node('m', 'a', { version: 2 })))
      expect((await store.get(node('m', 'a').ref))?.version).toBe(2)
      expect((await store.get(node('m', 'b').ref))?.version).toBe(1)
    })

    it('keeps the counter of a mesh when the mesh is removed, and takes the uid that a new one brings', async () => {
      const ref = { kind: 'mesh', mesh: 'm', name: 'm' } as const
      await commit(put(resource(ref, { uid: 'first' })))
      await commit([{ kind: 'remove', ref }])
      expect(await store.get(ref)).toBeUndefined()
      expect(await store.generation('m')).toBe(2)
      expect(await store.list({ kind: 'mesh', mesh: '', limit: 10 })).toEqual({ items: [] })
      expect(await commit(put(resource(ref, { uid: 'second' })))).toBe(3)
      expect((await store.get(ref))?.uid).toBe('second')
    })

    it('pages through names in the order of their code points, without gaps or repeats', async () => {
      const names = ['b', 'a', 'B', '10', '9', 'ä', '\uFF5E', '\u{1F600}', 'ab']
      await commit(put(...names.map((name) => node('m', name))))
      const read = await pages((after) =>
        store.list({ kind: 'virtual-node', mesh: 'm', limit: 4, ...(after !== undefined && { after }) }),
      )
      expect(read.map((page) => page.length)).toEqual([4, 4, 1])
      expect(read.flat().map((item) => item.ref.name)).toEqual([
        '10',
        '9',
        'B',
        'a',
        'ab',
        'b',
        'ä',
        '\uFF5E',
        '\u{1F600}',
      ])
    })

    it('gives no further page when the last one is exactly full', async () => {
      await commit(put(node('m', 'a'), node('m', 'b')))
      expect((await store.list({ kind: 'virtual-node', mesh: 'm', limit: 2 })).next).toBeUndefined()
    })

    it('goes on behind a page end that was removed meanwhile', async () => {
      await commit(put(node('m', 'a'), node('m', 'b'), node('m', 'c')))
      const first = await store.list({ kind: 'virtual-node', mesh: 'm', limit: 2 })
      await commit([{ kind: 'remove', ref: node('m', 'b').ref }])
      const second = await store.list({ kind: 'virtual-node', mesh: 'm', limit: 2, after: first.next! })
      expect(second.items.map((item) => item.ref.name)).toEqual(['c'])
    })

    it('lists meshes over all partitions, and the children of one parent only', async () => {
      for (const mesh of ['m2', 'm1']) {
        const parents = ['r1', 'r2'].map((name) => resource({ kind: 'virtual-router', mesh, name }))
        const routes = ['r1', 'r2'].map((parent) => resource({ kind: 'route', mesh, parent, name: `in-${parent}` }))
        await commit(put(resource({ kind: 'mesh', mesh, name: mesh }), ...parents, ...routes), mesh)
      }
      const meshes = await store.list({ kind: 'mesh', mesh: 'ignored', limit: 10 })
      expect(meshes.items.map((item) => item.ref.name)).toEqual(['m1', 'm2'])
      const routes = await store.list({ kind: 'route', mesh: 'm1', parent: 'r2', limit: 10 })
      expect(routes.items.map((item) => item.ref)).toEqual([{ kind: 'route', mesh: 'm1', parent: 'r2', name: 'in-r2' }])
    })

    it.each([0, -1, 1.5, Number.NaN])('refuses the page limit %s', async (limit) => {
      await expect(store.list({ kind: 'virtual-node', mesh: 'm', limit })).rejects.toMatchObject({ code: 'invalid' })
      await expect(store.history({ mesh: 'm', limit })).rejects.toMatchObject({ code: 'invalid' })
    })

    it('gives at most 1,000 items in a page, whatever limit was asked for', async () => {
      await commit(put(...Array.from({ length: 1001 }, (_, index) => node('m', `n${index}`))))
      const page = await store.list({ kind: 'virtual-node', mesh: 'm', limit: 1_000_000 })
      expect(page.items).toHaveLength(1000)
      expect(page.next).toBeDefined()
    })

    const forged = {
      empty: '',
      text: 'x',
      'an empty list': 'W10',
      null: 'bnVsbA',
      JSON: '{"a":1}',
      endless: 'A'.repeat(100_000),
    }
    it.each(Object.entries(forged))('refuses a page token it never gave: %s', async (_what, after) => {
      const query = { kind: 'virtual-node', mesh: 'm', limit: 1, after } as const
      await expect(store.list(query)).rejects.toMatchObject({ code: 'invalid' })
      await expect(store.history({ mesh: 'm', limit: 1, after })).rejects.toMatchObject({ code: 'invalid' })
    })

    it('refuses the page token of a list in the history', async () => {
      await commit(put(node('m', 'a'), node('m', 'b')))
      const { next } = await store.list({ kind: 'virtual-node', mesh: 'm', limit: 1 })
      await expect(store.history({ mesh: 'm', limit: 1, after: next! })).rejects.toMatchObject({ code: 'invalid' })
    })

    it('loads the whole mesh with the generation it belongs to, and only live resources', async () => {
      await commit(put(node('m', 'a'), node('m', 'b')))
      await commit([{ kind: 'remove', ref: node('m', 'a').ref }, ...put(node('m', 'c'))])
      const { generation, resources } = await store.load('m')
      expect(generation).toBe(2)
      expect(resources.map((item) => item.ref.name).sort()).toEqual(['b', 'c'])
    })

    it('lets exactly one of two writers with the same expected generation win', async () => {
      await commit(put(node('m', 'a')))
      const write = (actor: string) =>
        store.commit({ mesh: 'm', expectedGeneration: 1, changes: put(node('m', actor)), actor, atMs: 5 })
      const results = await Promise.allSettled([write('x'), write('y')])
      expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected'])
      const lost = results.find((result) => result.status === 'rejected')
      expect(lost?.reason).toMatchObject({ code: 'conflict' })
      expect((await store.load('m')).resources).toHaveLength(2)
      expect(await store.generation('m')).toBe(2)
    })

    it.each([-1, 0, 2, 1.5, Number.NaN])(
      'answers conflict to expected generation %s of a mesh at 1',
      async (expectedGeneration) => {
        await commit(put(node('m', 'a')))
        const attempt = store.commit({
          mesh: 'm',
          expectedGeneration,
          changes: put(node('m', 'b')),
          actor: 'x',
          atMs: 1,
        })
        await expect(attempt).rejects.toMatchObject({ code: 'conflict' })
        expect((await store.load('m')).resources).toHaveLength(1)
      },
    )

    const refused: [what: string, code: MeshErrorCode, changes: Change[]][] = [
      ['removes what is not there', 'not-found', [{ kind: 'remove', ref: node('m', 'ghost').ref }]],
      ['changes another mesh', 'invalid', put(node('other', 'x'))],
      ['gives the mesh another name', 'invalid', put(resource({ kind: 'mesh', mesh: 'm', name: 'x' }))],
      ['changes one resource twice', 'invalid', put(node('m', 'twice'), node('m', 'twice'))],
      ['leaves out the router of a route', 'invalid', put(resource({ kind: 'route', mesh: 'm', name: 'r' }))],
      [
        'puts a node into a router',
        'invalid',
        put(resource({ kind: 'virtual-node', mesh: 'm', name: 'r', parent: 'p' })),
      ],
      ['brings a name with a lone surrogate', 'invalid', put(node('m', '\ud800'))],
      ['brings a name with NUL', 'invalid', put(node('m', 'a\0b'))],
      ['brings an empty name', 'invalid', put(node('m', ''))],
    ]
    it.each(refused)('leaves nothing behind when one change of many %s', async (_what, code, changes) => {
      await commit(put(node('m', 'a')))
      const before = await store.load('m')
      const attempt = commit([...put(node('m', 'a', { version: 9 }), node('m', 'new')), ...changes])
      await expect(attempt).rejects.toMatchObject({ code })
      expect(await store.load('m')).toEqual(before)
      expect((await store.history({ mesh: 'm', limit: 10 })).items).toHaveLength(1)
      expect((await store.load('other')).resources).toEqual([])
    })

    it('makes no commit that nobody waits for any more', async () => {
      await commit(put(node('m', 'a')))
      const input = { mesh: 'm', expectedGeneration: 1, changes: put(node('m', 'b')), actor: 'x', atMs: 1 }
      await expect(store.commit({ ...input, stopped: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'unavailable',
      })
      expect(await store.generation('m')).toBe(1)
      expect(await store.commit({ ...input, stopped: new AbortController().signal })).toBe(2)
    })

    it('keeps the receipt of a client token with its commit, in its mesh only, until it expires', async () => {
      const receipt = {
        token: 't',
        digest: 'd',
        uid: 'u',
        version: 1,
        createdAtMs: 1,
        updatedAtMs: 2,
        expiresAtMs: 100,
      }
      const input = { mesh: 'm', changes: put(node('m', 'a')), actor: 'x', atMs: 5, receipt }
      await expect(store.commit({ ...input, expectedGeneration: 7 })).rejects.toMatchObject({ code: 'conflict' })
      expect(await store.receipt('m', 't', 5)).toBeUndefined()
      await store.commit({ ...input, expectedGeneration: 0 })
      expect(await store.receipt('m', 't', 99)).toEqual(receipt)
      expect(await store.receipt('m', 't', 100)).toBeUndefined()
      expect(await store.receipt('m', 'T', 5)).toBeUndefined()
      expect(await store.receipt('other', 't', 5)).toBeUndefined()
      const again = { ...receipt, uid: 'v' }
      await store.commit({ ...input, expectedGeneration: 1, atMs: 50, receipt: again })
      expect(await store.receipt('m', 't', 50)).toEqual(again)
      const later = { ...receipt, digest: 'e', expiresAtMs: 200 }
      await store.commit({ ...input, expectedGeneration: 2, atMs: 101, receipt: later })
      expect(await store.receipt('m', 't', 101)).toEqual(later)
    })

    it('reads every past generation as it was, also of a mesh that is gone', async () => {
      const ref = { kind: 'mesh', mesh: 'm', name: 'm' } as const
      await commit(put(resource(ref), node('m', 'a'), node('m', 'b')))
      const past = [{ generation: 0, resources: [] }, await store.load('m')]
      await commit([
        { kind: 'remove', ref: node('m', 'a').ref },
        ...put(node('m', 'b', { version: 2 }), node('m', 'c')),
      ])
      past.push(await store.load('m'))
      await commit(put(node('m', 'a', { uid: 'second' })))
      past.push(await store.load('m'))
      await commit(['a', 'b', 'c'].map((name) => ({ kind: 'remove', ref: node('m', name).ref }) as const))
      await commit([{ kind: 'remove', ref }])
      const byName = (state: Awaited<ReturnType<ResourceStore['load']>>) => ({
        ...state,
        resources: state.resources.toSorted((x, y) => (x.ref.name < y.ref.name ? -1 : 1)),
      })
      for (const [generation, state] of past.entries()) {
        expect(byName(await store.load('m', generation))).toEqual(byName(state))
      }
      expect(past.map(({ resources }) => resources.length)).toEqual([0, 3, 3, 4])
      expect(await store.load('m', 5)).toEqual({ generation: 5, resources: [] })
    })

    it('pages through any past generation and through what differs between two, as whole states show it', async () => {
      const odd = HOSTILE_NAMES.map((name) => resource({ kind: 'virtual-router', mesh: 'm', name }))
      const spec = { text: 'x'.repeat(3_000) }
      const many = (version: number) => Array.from({ length: 90 }, (_, n) => node('m', `n${n}`, { version, spec }))
      await commit(put(resource({ kind: 'mesh', mesh: 'm', name: 'm' }), ...odd, ...many(1)))
      const routes = odd.map(({ ref }) => resource({ kind: 'route', mesh: 'm', parent: ref.name, name: 'r' }))
      await commit(put(...routes, ...many(2).slice(0, 40)))
      await commit([...many(1).slice(20, 60)].map(({ ref }) => ({ kind: 'remove', ref }) as const))
      // As it was, and one that is there in between only.
      await commit(put(...many(1).slice(20, 30), node('m', 'brief')))
      await commit([{ kind: 'remove', ref: node('m', 'brief').ref }])

      const inOrder = (all: Iterable<StoredResource>) => [...all].sort((a, b) => compareRefs(a.ref, b.ref))
      const states = await Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (at) => inOrder((await store.load('m', at)).resources)),
      )
      async function walk<T>(
        read: (after: { after?: ResourceRef }) => Promise<readonly T[]>,
        refOf: (one: T) => ResourceRef,
      ) {
        const found: T[] = []
        for (;;) {
          const page = await read(found.length === 0 ? {} : { after: refOf(found.at(-1)!) })
          found.push(...page)
          if (page.length < 7) return found
          expect(page).toHaveLength(7)
        }
      }
      for (const [generation, state] of states.entries()) {
        const query = { mesh: 'm', generation, limit: 7 }
        expect(
          await walk(
            (after) => store.loadPage({ ...query, ...after }),
            ({ ref }) => ref,
          ),
        ).toEqual(state)
        for (const [to, other] of states.entries()) {
          const [was, is] = [state, other].map((all) => new Map(all.map((one) => [storeKey(one.ref), one])))
          const either = inOrder(new Map([...was!, ...is!]).values()).map(({ ref }) => storeKey(ref))
          const differing = either
            .map((key) => ({ before: was!.get(key) ?? null, after: is!.get(key) ?? null }))
            .filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after))
          const read = (after: { after?: ResourceRef }) =>
            store.changed({ mesh: 'm', from: generation, to, limit: 7, ...after })
          expect(await walk(read, ({ before, after }) => (after ?? before)!.ref)).toEqual(differing)
        }
      }
    })

    it('refuses pages of generations that are not there, and begins behind what never was', async () => {
      await commit(put(node('m', 'a'), node('m', 'c')))
      for (const [generation, code] of [
        [2, 'not-found'],
        [-1, 'invalid'],
        [0.5, 'invalid'],
      ] as const) {
        const refusal = { code }
        await expect(store.loadPage({ mesh: 'm', generation, limit: 1 })).rejects.toMatchObject(refusal)
        await expect(store.changed({ mesh: 'm', from: 0, to: generation, limit: 1 })).rejects.toMatchObject(refusal)
        await expect(store.changed({ mesh: 'm', from: generation, to: 1, limit: 1 })).rejects.toMatchObject(refusal)
      }
      const after = node('m', 'b').ref
      expect((await store.loadPage({ mesh: 'm', generation: 1, limit: 9, after })).map(({ ref }) => ref.name)).toEqual([
        'c',
      ])
      expect(await store.changed({ mesh: 'm', from: 1, to: 0, limit: 9, after })).toEqual([
        { before: node('m', 'c'), after: null },
      ])
      expect(await store.loadPage({ mesh: 'none', generation: 0, limit: 9 })).toEqual([])
    })

    it.each([
      [3, 'not-found'],
      [-1, 'invalid'],
      [0.5, 'invalid'],
      [Number.NaN, 'invalid'],
    ])('refuses to read generation %s of a mesh at 2: %s', async (generation, code) => {
      await commit(put(node('m', 'a')))
      await commit(put(node('m', 'b')))
      await expect(store.load('m', generation)).rejects.toMatchObject({ code })
    })

    it('shows readers nothing of a commit of 500 resources, then all of it', async () => {
      const all = (version: number) => Array.from({ length: 500 }, (_, n) => node('m', `n${n}`, { version }))
      await commit(put(...all(1)))
      let writing = true
      const seen = new Set<number>()
      const reading = (async () => {
        while (writing) {
          const { generation, resources } = await store.load('m')
          expect(new Set(resources.map(({ version }) => version))).toEqual(new Set([generation]))
          expect(resources).toHaveLength(500)
          seen.add(generation)
          await new Promise(setImmediate)
        }
      })()
      for (const version of [2, 3, 4]) await commit(put(...all(version)))
      writing = false
      await reading
      expect(await store.load('m')).toMatchObject({ generation: 4 })
      expect((await store.load('m', 2)).resources.every(({ version }) => version === 2)).toBe(true)
      expect(seen.size).toBeGreaterThan(0)
    })

    it('keeps any mix of changes to many resources, in every generation', async () => {
      const spec = { text: 'x'.repeat(1_500) }
      const model = new Map<string, number>()
      const states: string[] = []
      const shown = (entries: Iterable<readonly [string, number]>) => JSON.stringify([...entries].sort())
      // A fixed walk: each round changes, adds and removes somewhere else.
      for (let round = 1; round <= 12; round++) {
        const changes: Change[] = []
        for (let n = 0; n < 120; n++) {
          const name = `n${(n * 37 + round * 101) % 300}`
          if (round % 3 === 0 && model.delete(name)) changes.push({ kind: 'remove', ref: node('m', name).ref })
          else if (round % 3 !== 0) {
            model.set(name, round)
            changes.push(...put(node('m', name, { version: round, spec })))
          }
        }
        await commit(changes)
        states.push(shown(model))
      }
      for (const [index, state] of states.entries()) {
        const { resources } = await store.load('m', index + 1)
        expect(shown(resources.map(({ ref, version }) => [ref.name, version] as const))).toBe(state)
      }
      const listed = await pages((after) =>
        store.list({ kind: 'virtual-node', mesh: 'm', limit: 50, ...(after !== undefined && { after }) }),
      )
      expect(listed.flat().map(({ ref }) => ref.name)).toEqual([...model.keys()].sort())
    })

    it('pages through a log with large commits without gaps or repeats', async () => {
      const spec = { text: 'x'.repeat(1_000) }
      const names = Array.from({ length: 300 }, (_, n) => `n${n}`)
      await commit(put(node('m', 'first')))
      await commit(put(...names.map((name) => node('m', name, { spec }))))
      await commit(put(node('m', 'last')))
      const log = await pages((after) => store.history({ mesh: 'm', limit: 70, ...(after !== undefined && { after }) }))
      expect(log.map((page) => page.length)).toEqual([70, 70, 70, 70, 22])
      expect(log.flat().map(({ ref }) => ref.name)).toEqual(['last', ...names.toReversed(), 'first'])
    })

    it('refuses a commit without changes', async () => {
      await expect(commit([])).rejects.toMatchObject({ code: 'invalid' })
    })

    it('logs who wrote what, with the values before and after, newest first, over pages', async () => {
      const first = node('m', 'a', { version: 1 })
      const second = node('m', 'a', { version: 2 })
      const other = node('m', 'b')
      const route = resource({ kind: 'route', mesh: 'm', parent: 'p/q', name: 'r' })
      await commit(put(first, other))
      await commit(put(second, route))
      await commit([{ kind: 'remove', ref: first.ref }])
      const log = await pages((after) => store.history({ mesh: 'm', limit: 2, ...(after !== undefined && { after }) }))
      expect(log.map((page) => page.length)).toEqual([2, 2, 1])
      const actor = 'alice'
      expect(log.flat()).toEqual([
        { generation: 3, atMs: 1002, actor, ref: first.ref, before: second, after: null },
        { generation: 2, atMs: 1001, actor, ref: route.ref, before: null, after: route },
        { generation: 2, atMs: 1001, actor, ref: first.ref, before: first, after: second },
        { generation: 1, atMs: 1000, actor, ref: other.ref, before: null, after: other },
        { generation: 1, atMs: 1000, actor, ref: first.ref, before: null, after: first },
      ])
    })

    it('says of a rollback in the log where it went back to', async () => {
      await commit(put(node('m', 'a')))
      const input = { mesh: 'm', expectedGeneration: 1, actor: 'x', atMs: 1, rolledBackTo: 0 }
      await store.commit({ ...input, changes: [{ kind: 'remove', ref: node('m', 'a').ref }] })
      const { items } = await store.history({ mesh: 'm', limit: 10 })
      expect(items.map(({ rolledBackTo }) => rolledBackTo)).toEqual([0, undefined])
    })

    it('keeps its place in the log while newer entries arrive', async () => {
      await commit(put(node('m', 'a')))
      await commit(put(node('m', 'b')))
      const first = await store.history({ mesh: 'm', limit: 1 })
      await commit(put(node('m', 'c')))
      const second = await store.history({ mesh: 'm', limit: 1, after: first.next! })
      expect(second.items.map((item) => item.ref.name)).toEqual(['a'])
    })

    it('logs a creation after a removal as a creation', async () => {
      const value = node('m', 'a')
      await commit(put(value))
      await commit([{ kind: 'remove', ref: value.ref }])
      await commit(put(value))
      expect((await store.history({ mesh: 'm', limit: 1 })).items[0]).toMatchObject({ before: null, after: value })
    })

    it('keeps hostile names apart, as mesh, parent and resource', async () => {
      for (const mesh of HOSTILE_NAMES) {
        const routers = HOSTILE_NAMES.map((name) => resource({ kind: 'virtual-router', mesh, name }))
        await commit(put(resource({ kind: 'mesh', mesh, name: mesh }), ...routers), mesh)
      }
      const mesh = HOSTILE_NAMES[0]!
      const routes = HOSTILE_NAMES.flatMap((parent) =>
        HOSTILE_NAMES.map((name) => resource({ kind: 'route', mesh, parent, name }, { uid: `${parent}|${name}` })),
      )
      await commit(put(...routes), mesh)
      for (const route of routes) expect((await store.get(route.ref))?.uid).toBe(route.uid)
      const listed = await pages((after) =>
        store.list({ kind: 'mesh', mesh: '', limit: 2, ...(after !== undefined && { after }) }),
      )
      expect(
        listed
          .flat()
          .map((item) => item.ref.name)
          .sort(),
      ).toEqual([...HOSTILE_NAMES].sort())
      expect((await store.load(HOSTILE_NAMES[1]!)).resources).toHaveLength(HOSTILE_NAMES.length + 1)
    })

    it.each(['\ud800', '\ufffd\0', ''])('finds nothing under the impossible name %j', async (name) => {
      await commit(put(node('m', '\ufffd')))
      expect(await store.get(node('m', name).ref)).toBeUndefined()
    })

    it('writes 10,000 resources in one commit and loads them within two seconds', async () => {
      const spec = { listeners: [{ portMapping: { port: 8080, protocol: 'http' } }], text: 'x'.repeat(400) }
      const started = performance.now()
      await commit(put(...Array.from({ length: 10_000 }, (_, index) => node('m', `n${index}`, { spec }))))
      const written = performance.now()
      expect((await store.load('m')).resources).toHaveLength(10_000)
      expect(performance.now() - written).toBeLessThan(2_000)
      expect(written - started).toBeLessThan(10_000)
    })
  })
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteStore } from '../../../runtime/adapters/sqlite-store.ts'
import { nextTokenOf } from '../../../runtime/http/next-token.ts'
import type { ResourceStore } from '../../../runtime/ports.ts'
import { node, put, resource } from '../../contract/stored.ts'
import { openApi } from './api.ts'

let directory: string
let store: ResourceStore
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-history-'))
  store = openSqliteStore(join(directory, 'weft.db'))
})
afterEach(async () => {
  await store.close()
  rmSync(directory, { recursive: true })
})

const NODES = Array.from({ length: 250 }, (_, n) => node('shop', `n${String(n).padStart(3, '0')}`))

/** A mesh of many nodes; the second generation writes most of them again with the content that they have. */
async function shop() {
  const mesh = resource({ kind: 'mesh', mesh: 'shop', name: 'shop' })
  const input = { mesh: 'shop', actor: 'a', atMs: 1 }
  await store.commit({ ...input, expectedGeneration: 0, changes: put(mesh, ...NODES) })
  const again = NODES.map((one, n) => ({ ...one, version: 2, ...(n >= 240 ? { tags: { n: String(n) } } : {}) }))
  await store.commit({ ...input, expectedGeneration: 1, changes: put(...again) })
  return openApi({ store })
}

describe('the past over the API', () => {
  it('comes page by page without a look at the whole mesh', async () => {
    const { call } = await shop()
    store.load = () => Promise.reject(new Error('the whole mesh'))
    const read = async (path: string, member: string) => {
      const names: string[] = []
      let token = ''
      do {
        const { status, json } = await call('GET', `/v1/meshes/shop/${path}&limit=7${token}`)
        expect(status).toBe(200)
        names.push(...json[member].map(({ name }: { name: string }) => name))
        token = json.nextToken === undefined ? '' : `&nextToken=${json.nextToken}`
      } while (token !== '')
      return names
    }
    const all = NODES.map(({ ref }) => ref.name)
    expect(await read('resources?generation=1', 'resources')).toEqual(['shop', ...all])
    expect(await read('diff?from=0', 'changes')).toEqual(['shop', ...all])
    expect(await read('diff?from=1', 'changes')).toEqual(all.slice(240))
    expect(await read('diff?from=2&to=1', 'changes')).toEqual(all.slice(240))
    const full = (await call('GET', '/v1/meshes/shop/diff?from=1&limit=10')).json
    expect([full.changes.length, full.nextToken]).toEqual([10, undefined])
  })

  it.each([
    'x',
    '[]',
    '1 2 3',
    '[1,1]',
    '[1,99,"mesh","shop"]',
    '[-1,1,"mesh","shop"]',
    '[1,1.5,"mesh","shop"]',
    '[1,1,"pod","x"]',
    '[1,1,"route","x"]',
    '[1,1,"mesh","shop","parent"]',
    '[1,1,"mesh",{"toString":1}]',
  ])('refuses a place that nobody handed out: %s', async (position) => {
    const { call, reported } = await shop()
    for (const [path, listing] of [
      ['resources?', 'state of shop'],
      ['diff?from=1&', 'diff of shop'],
    ] as const) {
      const token = nextTokenOf(listing, position)
      const { status } = await call('GET', `/v1/meshes/shop/${path}nextToken=${token}`)
      expect([400, 404]).toContain(status)
    }
    expect(reported).toEqual([])
  })
})

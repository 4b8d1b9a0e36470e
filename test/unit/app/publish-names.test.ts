import { describe, expect, it } from 'vitest'
import { publishNames } from '../../../runtime/app/publish-names.ts'
import { buildGraph } from '../../../runtime/compiler/graph.ts'
import type { StoredResource } from '../../../runtime/ports.ts'

function service(name: string, vip: string): StoredResource {
  const ref = { kind: 'virtual-service', mesh: 'shop', name } as const
  return { ref, spec: {}, tags: {}, uid: name, version: 1, createdAtMs: 0, updatedAtMs: 0, vip }
}

async function published(...services: StoredResource[]): Promise<Record<string, string>> {
  const calls: [string, ReadonlyMap<string, string>][] = []
  const publish = publishNames({
    states: { current: async () => ({ generation: 1, graph: buildGraph(services) }) },
    publisher: { publish: async (mesh, names) => void calls.push([mesh, names]) },
    zone: { mesh: 'shop', name: 'shop.internal' },
  })
  await publish('shop')
  await publish('another')
  expect(calls.map(([mesh]) => mesh)).toEqual(['shop'])
  return Object.fromEntries(calls[0]![1])
}

describe('the names of a mesh', () => {
  it('are those of its virtual services, short ones inside of the zone', async () => {
    expect(await published(service('orders', '127.64.0.1'), service('Basket.shop.internal', '127.64.0.2'))).toEqual({
      'orders.shop.internal': '127.64.0.1',
      'basket.shop.internal': '127.64.0.2',
    })
  })

  it('keep a full name of another zone as it is, and lead to it by its first label inside of the zone, too', async () => {
    expect(await published(service('orders.other.internal', '127.64.0.1'))).toEqual({
      'orders.other.internal': '127.64.0.1',
      'orders.shop.internal': '127.64.0.1',
    })
  })

  it('leave out a first label that two services share', async () => {
    expect(await published(service('orders.a', '127.64.0.1'), service('orders.b', '127.64.0.2'))).toEqual({
      'orders.a': '127.64.0.1',
      'orders.b': '127.64.0.2',
    })
  })

  it('let the full name win where two come to the same, in whatever order they stand', async () => {
    const [short, full] = [service('orders', '127.64.0.1'), service('orders.shop.internal', '127.64.0.2')]
    expect(await published(short, full)).toEqual({ 'orders.shop.internal': '127.64.0.2' })
    expect(await published(full, short)).toEqual({ 'orders.shop.internal': '127.64.0.2' })
  })
})

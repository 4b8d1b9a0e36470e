import { beforeEach, describe, expect, it, vi } from 'vitest'
import { MemoryStore } from '../../../runtime/adapters/memory-store.ts'
import { Registry } from '../../../runtime/adapters/registry.ts'
import { MeshStates } from '../../../runtime/app/mesh-states.ts'
import { type RefreshInput, refreshEndpoints } from '../../../runtime/app/refresh-endpoints.ts'
import type { DirectoryRefresh, EndpointDirectory, ProxyReport } from '../../../runtime/ports.ts'
import { node, put, resource } from '../../contract/stored.ts'

const status = { applied: null, rejected: null, certificateNotAfterMs: null }

function report(id: string, address: string): ProxyReport {
  const fixed = { meshPort: 15_000, protocols: ['h2'], version: '1', state: 'ready' as const }
  return { instance: { id, address, ...fixed }, status }
}

describe('a refresh of endpoints', () => {
  let store: MemoryStore
  let directory: EndpointDirectory
  let asked: [mesh: string, node: string, when: string][]
  let refresh: (input: RefreshInput) => ReturnType<ReturnType<typeof refreshEndpoints>>
  let answer: (node: string) => DirectoryRefresh

  beforeEach(async () => {
    store = new MemoryStore()
    directory = new Registry({ now: () => 0 })
    asked = []
    answer = (name) => ({ node: name, settled: true })
    vi.spyOn(directory, 'refresh').mockImplementation(async (mesh, nodes, when) => {
      asked.push(...nodes.map((asking): [string, string, string] => [mesh, asking.node, when]))
      return nodes.map((asking) => answer(asking.node))
    })
    refresh = refreshEndpoints({ store, states: new MeshStates(store), directory })
    for (const mesh of ['m', 'n']) {
      const own = resource({ kind: 'mesh', mesh, name: mesh })
      const gateway = resource({ kind: 'virtual-gateway', mesh, name: 'edge' })
      const changes = put(own, gateway, ...[1, 2].map((number) => node(mesh, `${mesh}${number}`)))
      await store.commit({ mesh, expectedGeneration: 0, changes, actor: 'x', atMs: 1 })
    }
  })

  it('asks for every node of every mesh, and of nothing else, as far as it is due', async () => {
    expect(await refresh({ budgetMs: 1_000 })).toEqual({ refreshed: 4, left: 0, failures: [] })
    expect(asked.sort()).toEqual([
      ['m', 'm1', 'due'],
      ['m', 'm2', 'due'],
      ['n', 'n1', 'due'],
      ['n', 'n2', 'due'],
    ])
    asked.length = 0
    await refresh({ budgetMs: 1_000, mesh: 'n' })
    expect(asked).toHaveLength(2)
  })

  it('stops when its time is over, and says how much is left', async () => {
    expect(await refresh({ budgetMs: 0 })).toEqual({ refreshed: 0, left: 4, failures: [] })
    expect(asked).toEqual([])
  })

  it('tells what could not be read, and where', async () => {
    answer = (name) => ({ node: name, settled: true, ...(name === 'm2' ? { failure: 'busy' } : {}) })
    expect((await refresh({ budgetMs: 1_000 })).failures).toEqual([{ mesh: 'm', node: 'm2', reason: 'busy' }])
  })

  it('looks at the node of a task that starts or stops, now, and leaves its proxy listed', async () => {
    await directory.report({ kind: 'virtual-node', mesh: 'n', name: 'n1' }, report('a', '10.0.0.1'), 1_000)
    const task = { id: 'a', stopped: false }
    expect(await refresh({ task })).toEqual({ refreshed: 1, left: 0, failures: [] })
    expect(asked).toEqual([['n', 'n1', 'now']])
    expect(await directory.proxies('n')).toHaveLength(1)
    await refresh({ task: { id: 'b', stopped: false } })
    expect(asked).toHaveLength(1)
  })

  it('takes out what a stopped task ran, gateways and nodes that were deleted too, and nobody else', async () => {
    await directory.report({ kind: 'virtual-node', mesh: 'n', name: 'n1' }, report('a', '10.0.0.1'), 1_000)
    await directory.report({ kind: 'virtual-node', mesh: 'n', name: 'gone' }, report('a', '10.0.0.1'), 1_000)
    await directory.report({ kind: 'virtual-gateway', mesh: 'm', name: 'edge' }, report('a', '10.0.0.1'), 1_000)
    await directory.report({ kind: 'virtual-node', mesh: 'n', name: 'n1' }, report('d', '10.0.0.2'), 1_000)
    await refresh({ task: { id: 'a', stopped: true } })
    expect(await directory.proxies('m')).toEqual([])
    expect((await directory.proxies('n')).map(({ instance }) => instance)).toEqual(['d'])
    expect(asked).toEqual([['n', 'n1', 'now']])
  })

  it('leaves alone the task that got the address of one whose end is told late, or that has it in another VPC', async () => {
    await directory.report({ kind: 'virtual-node', mesh: 'n', name: 'n1' }, report('new', '10.0.0.1'), 1_000)
    await refresh({ task: { id: 'old', stopped: true } })
    expect((await directory.proxies('n')).map(({ instance }) => instance)).toEqual(['new'])
  })

  it.each([
    ['takes plaintext at its first port', undefined, 8080],
    ['takes either at its first port', { mode: 'PERMISSIVE' }, 8080],
    ['wants TLS', { mode: 'STRICT' }, null],
  ])('says of a node that %s whether instances without proxy can be called', async (_, tls, plainPort) => {
    const listeners = [{ portMapping: { port: 8080, protocol: 'http' }, ...(tls && { tls }) }]
    const attributes = [{ key: 'color', value: 'blue' }]
    const awsCloudMap = { namespaceName: 'prod', serviceName: 'cart', attributes }
    const changes = put(node('m', 'm1', { spec: { listeners, serviceDiscovery: { awsCloudMap } } }))
    await store.commit({ mesh: 'm', expectedGeneration: 1, changes, actor: 'x', atMs: 1 })
    await refresh({ mesh: 'm', budgetMs: 1_000 })
    const nodes = vi.mocked(directory.refresh).mock.calls.flatMap(([, given]) => given)
    const cloudMap = { namespace: 'prod', service: 'cart', attributes: { color: 'blue' } }
    expect(nodes).toContainEqual({ node: 'm1', cloudMap, plainPort })
    expect(nodes).toContainEqual({ node: 'm2', cloudMap: null, plainPort: null })
  })
})

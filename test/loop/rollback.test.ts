import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { request, startMesh } from './mesh.ts'

const HOST = 'catalog.shop.local'
const http = { portMapping: { port: 8080, protocol: 'http' } }
const routeTo = (virtualNode: string) => ({
  httpRoute: { match: { prefix: '/' }, action: { weightedTargets: [{ virtualNode, weight: 1 }] } },
})

async function api(url: string, body?: unknown): Promise<{ status: number; type: string | null; body: never }> {
  const response = await fetch(url, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/json' },
  })
  return { status: response.status, type: response.headers.get('content-type'), body: (await response.json()) as never }
}

describe('the past of a running mesh', () => {
  it('comes back within a second of a rollback: the proxy routes as it did', { timeout: 60_000 }, async () => {
    await using mesh = await startMesh('shop')
    for (const name of ['v1', 'v2']) {
      await mesh.put('/virtualNodes', { virtualNodeName: name, spec: { listeners: [http] } })
    }
    await mesh.put('/virtualRouters', { virtualRouterName: 'catalog', spec: { listeners: [http] } })
    await mesh.put('/virtualRouter/catalog/routes', { routeName: 'all', spec: routeTo('v1') })
    const provider = { virtualRouter: { virtualRouterName: 'catalog' } }
    await mesh.put('/virtualServices', { virtualServiceName: HOST, spec: { provider } })
    const backends = [{ virtualService: { virtualServiceName: HOST } }]
    await mesh.put('/virtualNodes', { virtualNodeName: 'web', spec: { listeners: [http], backends } })
    const base = `${mesh.controlPlane.apiUrl}/v1/meshes/shop`
    const { body: good } = (await api(`${base}/resources`)) as { body: { generation: number } }

    for (const name of ['v1', 'v2'])
      await mesh.proxy({ node: name }, { 8080: await mesh.app((_in, out) => out.end(name)) })
    const port = mesh.port(await mesh.proxy({ node: 'web' }), 15001)
    const answersFrom = async (name: string): Promise<number> => {
      const started = performance.now()
      while ((await request(port, { headers: { host: HOST } })).body !== name) {
        if (performance.now() - started > 15_000) throw new Error(`${name} does not answer`)
        await sleep(10)
      }
      return performance.now() - started
    }
    await answersFrom('v1')
    await mesh.put('/virtualRouter/catalog/routes/all', { spec: routeTo('v2') })
    await mesh.put('/virtualNodes', { virtualNodeName: 'extra', spec: { listeners: [http] } })
    await answersFrom('v2')

    const back = await api(`${base}/rollback`, { generation: good.generation })
    expect(back).toMatchObject({
      status: 200,
      body: { generation: good.generation + 3, rolledBackTo: good.generation },
    })
    expect(await answersFrom('v1')).toBeLessThan(1_000)
  })

  it('is told over the API in pages, and problems as problem details', async () => {
    await using mesh = await startMesh('shop')
    const base = `${mesh.controlPlane.apiUrl}/v1/meshes/shop`
    for (const name of ['a', 'b', 'c']) await mesh.put('/virtualNodes', { virtualNodeName: name, spec: {} })
    for (const [path, member, names] of [
      ['history?', 'entries', ['c', 'b', 'a', 'shop']],
      ['resources?generation=3&', 'resources', ['shop', 'a', 'b']],
      ['diff?from=2&to=4&', 'changes', ['b', 'c']],
    ] as const) {
      const found: unknown[] = []
      let token = ''
      do {
        const { body } = (await api(`${base}/${path}limit=1${token}`)) as { body: Record<string, unknown> }
        found.push(...(body[member] as unknown[]))
        token = body.nextToken === undefined ? '' : `&nextToken=${String(body.nextToken)}`
      } while (token !== '')
      expect(found.map((item) => (item as { name: string }).name)).toEqual(names)
    }
    const { body: first } = (await api(`${base}/diff?from=1&limit=2`)) as { body: { to: number; nextToken: string } }
    await mesh.put('/virtualNodes', { virtualNodeName: 'aa', spec: {} })
    const rest = await api(`${base}/diff?from=1&limit=2&nextToken=${first.nextToken}`)
    expect(rest.body, 'a later page stays with the generation of the first').toMatchObject({
      to: first.to,
      changes: [{ name: 'c' }],
    })
    await fetch(`${mesh.controlPlane.apiUrl}/v20190125/meshes/shop/virtualNodes/aa`, { method: 'DELETE' })
    const [entry] = ((await api(`${base}/history?limit=1`)).body as { entries: unknown[] }).entries
    expect(entry).toMatchObject({
      generation: 6,
      actor: 'local-admin',
      change: 'deleted',
      kind: 'virtual-node',
      name: 'aa',
      before: { spec: {}, version: 1 },
      after: null,
    })

    const refused = [
      [400, await api(`${base}/diff`)],
      [400, await api(`${base}/diff?from=-1`)],
      [400, await api(`${base}/history?limit=101`)],
      [400, await api(`${base}/history?nextToken=x`)],
      [400, await api(`${base}/resources?generation=1e3`)],
      [404, await api(`${base}/resources?generation=7`)],
      [404, await api(`${base}x/history`)],
      [400, await api(`${base}/rollback`, { generation: 0 })],
      [400, await api(`${base}/rollback`, { generation: '1' })],
      [400, await api(`${base}/rollback`, { generation: 1, more: true })],
      [404, await api(`${base}/rollback`, { generation: 7 })],
      [409, await api(`${base}/rollback`, { generation: 3, expectedGeneration: 3 })],
    ] as const
    for (const [status, answer] of refused) {
      expect(answer).toMatchObject({ status, type: 'application/problem+json', body: { detail: expect.any(String) } })
    }
    expect(await api(`${base}/resources`)).toMatchObject({ body: { generation: 6 } })
  })
})

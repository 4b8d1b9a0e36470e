import { describe, expect, it } from 'vitest'
import { lost, sleep, startLoad } from './load.ts'
import { type Mesh, request, startMesh } from './mesh.ts'

const http = (port: number) => ({ portMapping: { port, protocol: 'http' } })
const HOST = 'catalog.shop.local'

/** `web` calls `catalog`, a router over `v1` and `v2`; each of them one app that answers with its own name. */
async function shop(mesh: Mesh): Promise<void> {
  for (const name of ['v1', 'v2']) {
    await mesh.put('/virtualNodes', { virtualNodeName: name, spec: { listeners: [http(8080)] } })
  }
  await mesh.put('/virtualRouters', { virtualRouterName: 'catalog', spec: { listeners: [http(8080)] } })
  await mesh.put('/virtualRouter/catalog/routes', { routeName: 'split', spec: split(100, 0) })
  await mesh.put('/virtualServices', {
    virtualServiceName: HOST,
    spec: { provider: { virtualRouter: { virtualRouterName: 'catalog' } } },
  })
  await mesh.put('/virtualNodes', {
    virtualNodeName: 'web',
    spec: { listeners: [http(8080)], backends: [{ virtualService: { virtualServiceName: HOST } }] },
  })
}

function split(v1: number, v2: number) {
  return {
    httpRoute: {
      match: { prefix: '/' },
      action: {
        weightedTargets: [
          { virtualNode: 'v1', weight: v1 },
          { virtualNode: 'v2', weight: v2 },
        ],
      },
    },
  }
}

async function until(what: () => Promise<boolean>, limitMs: number): Promise<number> {
  const started = performance.now()
  while (!(await what())) {
    if (performance.now() - started > limitMs) throw new Error(`not within ${limitMs} ms`)
    await sleep(10)
  }
  return performance.now() - started
}

describe('a running mesh', () => {
  it('obeys a changed weight within a second while requests flow, and loses none', async () => {
    await using mesh = await startMesh('shop')
    await shop(mesh)
    for (const name of ['v1', 'v2']) {
      await mesh.proxy({ node: name }, { 8080: await mesh.app((_in, out) => out.end(name)) })
    }
    const caller = await mesh.proxy({ node: 'web' })
    const web = mesh.port(caller, 15001)
    await until(async () => (await request(web, { headers: { host: HOST } })).body === 'v1', 5_000)

    const load = startLoad({ port: web, host: HOST }, 200)
    await sleep(500)
    expect(load.outcome.answers.get('v2')).toBeUndefined()
    await mesh.put('/virtualRouter/catalog/routes/split', { spec: split(0, 100) })
    const tookMs = await until(async () => (await request(web, { headers: { host: HOST } })).body === 'v2', 5_000)
    await sleep(500)
    const outcome = await load.stop()
    expect(tookMs).toBeLessThan(1_000)
    expect(lost(outcome)).toEqual([])
    // Whoever counts revisions over the fleet must find one for each proxy.
    expect(caller.metrics.render().match(/^weft_snapshot_info\{.*\} 1$/gm)).toHaveLength(1)
    expect(outcome.answers.get('v2')).toBeGreaterThan(50)
  })

  it('renews certificates under load without a lost request', async () => {
    await using mesh = await startMesh('shop', { leafLifetimeMs: 4_000 })
    await shop(mesh)
    const app = await mesh.app((_in, out) => out.end('v1'))
    const v1 = await mesh.proxy({ node: 'v1' }, { 8080: app })
    const web = await mesh.proxy({ node: 'web' })
    const port = mesh.port(web, 15001)
    await until(async () => (await request(port, { headers: { host: HOST } })).status === 200, 5_000)
    const firstEnd = [v1, web].map((proxy) => proxy.identity.notAfterMs)
    const load = startLoad({ port, host: HOST }, 200)
    await sleep(9_000)
    const outcome = await load.stop()
    expect(lost(outcome)).toEqual([])
    for (const [i, proxy] of [v1, web].entries()) expect(proxy.identity.notAfterMs).toBeGreaterThan(firstEnd[i]!)
  }, 30_000)

  it('drains a stopped instance without a lost request', async () => {
    await using mesh = await startMesh('shop')
    await shop(mesh)
    const answer = async () => mesh.app((_in, out) => setTimeout(() => out.end('v1'), 20))
    const first = await mesh.proxy({ node: 'v1' }, { 8080: await answer() })
    await mesh.proxy({ node: 'v1' }, { 8080: await answer() })
    const port = mesh.port(await mesh.proxy({ node: 'web' }), 15001)
    await until(async () => (await request(port, { headers: { host: HOST } })).status === 200, 5_000)
    const load = startLoad({ port, host: HOST }, 200)
    await sleep(500)
    await first.stop()
    await sleep(500)
    expect(lost(await load.stop())).toEqual([])
  })

  it('retries on another instance when the app of one refuses connections, for POST too', async () => {
    await using mesh = await startMesh('shop')
    await shop(mesh)
    await mesh.proxy({ node: 'v1' }, { 8080: await mesh.app((_in, out) => out.end('alive')) })
    // Port 9 (discard) is closed: this sidecar lives, its app does not.
    await mesh.proxy({ node: 'v1' }, { 8080: 9 })
    const port = mesh.port(await mesh.proxy({ node: 'web' }), 15001)
    await until(async () => (await request(port, { headers: { host: HOST } })).status === 200, 5_000)
    for (let i = 0; i < 20; i++) {
      const answer = await request(port, { method: 'POST', body: 'x', headers: { host: HOST } })
      expect(answer).toMatchObject({ status: 200, body: 'alive' })
    }
  })

  it('serves from disk when it restarts without a control plane', async () => {
    const mesh = await startMesh('shop')
    await using _ = mesh
    await shop(mesh)
    await mesh.proxy({ node: 'v1' }, { 8080: await mesh.app((_in, out) => out.end('v1')) })
    const web = await mesh.proxy({ node: 'web' })
    await until(async () => (await request(mesh.port(web, 15001), { headers: { host: HOST } })).status === 200, 5_000)
    await web.stop()
    await mesh.controlPlane.close()
    const again = await mesh.restart(web)
    expect(await request(mesh.port(again, 15001), { headers: { host: HOST } })).toMatchObject({
      status: 200,
      body: 'v1',
    })
  })
})

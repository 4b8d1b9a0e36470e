import { describe, expect, it } from 'vitest'
import { curl, hearsOf } from './cluster.ts'
import type { Task } from './task.ts'
import { withCluster } from './with-cluster.ts'

let web: Task
let catalog: Task
let store: Task
let stranger: Task

withCluster(async (cluster) => {
  await cluster.service('catalog')
  await cluster.tcpService('store', 7777)
  await cluster.service('web', { backends: ['catalog', 'store'] })
  ;[web, catalog, store, stranger] = await Promise.all([
    cluster.task({ node: 'web' }),
    cluster.task({ node: 'catalog', says: 'items' }),
    cluster.task({ node: 'store', says: 'goods' }),
    cluster.task({ node: 'stranger', member: false, sidecar: null }),
  ])
  await hearsOf(web, catalog)
  await hearsOf(web, store)
})

describe('capture without privilege', () => {
  it('leads the DNS name of a virtual service through its loopback VIP on port 80 to an app on 8080', async () => {
    expect(await curl(web, 'http://catalog.shop.internal/')).toEqual({ status: 200, body: 'items' })
  })

  it('lets an app on 0.0.0.0:8080 call a service whose app is on 8080, too', async () => {
    const call = 'http://127.0.0.1:8080/call?url=http://catalog.shop.internal/'
    expect(await curl(web, call)).toEqual({ status: 200, body: 'items' })
  })

  it('gives a task no name of a service that does not exist', async () => {
    await expect(curl(web, 'http://nothing.shop.internal/')).rejects.toThrow('Could not resolve host')
  })

  it('carries TCP by name', async () => {
    expect(await curl(web, 'http://store.shop.internal:7777/')).toEqual({ status: 200, body: 'goods' })
    const metrics = await (await fetch(`http://${web.namespace.address}:9902/metrics`)).text()
    expect(metrics).toMatch(/weft_tcp_connections_total\{listener="vip\/store:7777",[^}]*\} 1\n/)
  })
})

describe("a task's security group", () => {
  it('opens the mesh port to members, which is mTLS, and nothing else: not the app and not the metrics', async () => {
    const { address } = catalog.namespace
    expect(await reaches(web, address, 15_000)).toBe(true)
    await expect(curl(web, `http://${address}:15000/`)).rejects.toThrow(/ended with (52|56)/)
    expect(await Promise.all([8080, 9901, 9902, 15_001].map((port) => reaches(web, address, port)))).toEqual([
      false,
      false,
      false,
      false,
    ])
  })

  it('lets in nobody who is no member', async () => {
    const ports = [8080, 9902, 15_000]
    const { address } = catalog.namespace
    expect(await Promise.all(ports.map((port) => reaches(stranger, address, port)))).toEqual([false, false, false])
  })

  it('lets the scraper read metrics', async () => {
    const answer = await fetch(`http://${catalog.namespace.address}:9902/metrics`)
    expect(await answer.text()).toContain('weft_certificate_expiry_seconds')
  })
})

/** Whether a TCP connection comes about within a second, as `curl` sees it. */
async function reaches(task: Task, address: string, port: number): Promise<boolean> {
  const probe = `telnet://${address}:${port}`
  const options = ['--connect-timeout', '1', '--max-time', '2', '--upload-file', '/dev/null']
  return curl(task, probe, ...options).then(
    () => true,
    // 28 is a timeout of the connect; of a connection that was made, it is not.
    (error: Error) => !/Connection timed out|Failed to connect|Connection timeout/i.test(error.message),
  )
}

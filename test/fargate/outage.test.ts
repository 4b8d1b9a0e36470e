import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { lost } from '../loop/load.ts'
import { startClient } from './client.ts'
import { curl, hearsOf } from './cluster.ts'
import type { Task } from './task.ts'
import { withCluster } from './with-cluster.ts'

/** Of the issue, with a warm control plane; the assertion leaves slack for a machine that does other things. */
const READY_MS = 1000
const SLACK = 3

let web: Task
let catalog: Task

const cluster = withCluster(async (cluster) => {
  await cluster.service('catalog')
  await cluster.service('web', { backends: ['catalog'] })
  ;[web, catalog] = await Promise.all([cluster.task({ node: 'web' }), cluster.task({ node: 'catalog' })])
  await hearsOf(web, catalog)
})

describe('a sidecar', () => {
  it('is ready within a second of its start', async (context) => {
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      const task = await cluster().task({ node: 'catalog' })
      times.push(Math.round(task.readyMs))
      await task.stop()
    }
    await context.annotate(`start to ready: ${times.join(', ')} ms`)
    expect(Math.min(...times)).toBeLessThan(READY_MS * SLACK)
  })
})

describe('a mesh whose control plane is out of reach', () => {
  it('goes on, and a sidecar that starts again serves from its volume', async () => {
    const { port } = new URL(cluster().host.controlPlane.dataPlaneUrl)
    const drop = `*filter\n-A OUTPUT -p tcp -d ${cluster().host.subnet.gateway} --dport ${port} -j DROP\nCOMMIT\n`
    await Promise.all([web, catalog].map((task) => task.namespace.filter(drop)))
    const stop = await startClient(web, 'catalog.shop.internal', 100, 'GET')
    await delay(1000)
    expect(lost(await stop())).toEqual([])

    for (const task of [catalog, web]) {
      task.killSidecar()
      await task.startSidecar()
      expect(await curl(web, 'http://catalog.shop.internal/')).toEqual({ status: 200, body: catalog.id })
      expect(task.readyMs).toBeLessThan(READY_MS * SLACK)
    }
  })
})

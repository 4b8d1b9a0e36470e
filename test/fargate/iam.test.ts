import { describe, expect, it } from 'vitest'
import { curl, hearsOf } from './cluster.ts'
import type { Task } from './task.ts'
import { withCluster } from './with-cluster.ts'

let web: Task
let catalog: Task

const cluster = withCluster(
  async (cluster) => {
    await cluster.service('catalog')
    await cluster.service('web', { backends: ['catalog'] })
    ;[web, catalog] = await Promise.all([cluster.task({ node: 'web' }), cluster.task({ node: 'catalog' })])
  },
  { iam: true },
)

describe('tasks with nothing but their task role', () => {
  it('join behind IAM: endpoint by its name, keys from 169.254.170.2, every call signed', async () => {
    const { controlPlane, metadata } = cluster().host
    expect(controlPlane.faults).toEqual([])
    for (const { id } of [web, catalog]) expect(metadata.asked.get(`/v2/credentials/${id}`)).toBeGreaterThan(0)
  })

  it('reach each other at the addresses of their network interfaces, which the task metadata told', async () => {
    await hearsOf(web, catalog)
    expect(await curl(web, 'http://catalog.shop.internal/')).toEqual({ status: 200, body: catalog.id })
  })

  it('are known to the mesh by the id of their task', async () => {
    const answer = await cluster().host.controlPlane.request('/v1/meshes/shop/endpoints/catalog')
    expect(await answer.text()).toContain(`"id":"${catalog.id}"`)
  })
})

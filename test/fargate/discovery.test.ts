import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { lost } from '../loop/load.ts'
import { startClient } from './client.ts'
import { curl } from './cluster.ts'
import type { Task } from './task.ts'
import { withCluster } from './with-cluster.ts'

const NAME = 'legacy.corp.example'
const TTL_S = 2
let web: Task
let before: Task
let after: Task

const cluster = withCluster(async (cluster) => {
  await cluster.service('legacy', { dns: NAME })
  await cluster.service('web', { backends: ['legacy'] })
  // Of no mesh: their ports are open, and they have no sidecar.
  const outside = { node: 'legacy', member: false, sidecar: null }
  ;[before, after] = await Promise.all([cluster.task(outside), cluster.task(outside)])
  cluster.records.set(NAME, { addresses: [before.namespace.address], ttl: TTL_S })
  web = await cluster.task({ node: 'web' })
})

describe('a virtual node that is found by DNS', () => {
  it('is asked for as often as its TTL says, and followed to a new address without a lost request', async () => {
    expect(await curl(web, 'http://legacy.shop.internal/')).toEqual({ status: 200, body: before.id })
    const stop = await startClient(web, 'legacy.shop.internal', 50, 'GET')
    await delay(TTL_S * 2000 + 500)
    cluster().records.set(NAME, { addresses: [after.namespace.address], ttl: TTL_S })
    const changedAtMs = performance.now()
    while ((await curl(web, 'http://legacy.shop.internal/')).body !== after.id) await delay(50)
    expect(performance.now() - changedAtMs).toBeLessThan(TTL_S * 1000 + 1000)
    const outcome = await stop()
    expect(lost(outcome)).toEqual([])
    expect([...outcome.answers.keys()]).toEqual([before.id, after.id])

    const asked = cluster().dns.questions.filter(({ name, from }) => name === NAME && from === web.namespace.address)
    const pauses = asked.slice(1).map(({ atMs }, index) => atMs - asked[index]!.atMs)
    expect(pauses.length).toBeGreaterThanOrEqual(2)
    for (const pause of pauses) {
      expect(pause).toBeGreaterThan(TTL_S * 1000 - 100)
      expect(pause).toBeLessThan(TTL_S * 1000 + 1000)
    }
  })

  it('stays reachable when its name is gone for a moment', async () => {
    cluster().records.delete(NAME)
    const asked = cluster().dns.questions.length
    while (cluster().dns.questions.length < asked + 2) await delay(100)
    expect(await curl(web, 'http://legacy.shop.internal/')).toEqual({ status: 200, body: after.id })
  })
})

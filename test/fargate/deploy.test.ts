import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { lost, type Outcome } from '../loop/load.ts'
import { startClient } from './client.ts'
import { curl, hearsOf } from './cluster.ts'
import type { Task } from './task.ts'
import { withCluster } from './with-cluster.ts'

const HOST = 'catalog.shop.internal'
/** Requests a second, of each method. */
const RATE = 40
/** What a caller sees of the race below. */
const RACE = /^status 502 weft: upstream_(closed|reset)/

let web: Task

const cluster = withCluster(async (cluster) => {
  await cluster.service('catalog')
  await cluster.service('web', { backends: ['catalog'] })
  web = await cluster.task({ node: 'web' })
})

/** Tasks of the service that `web` calls, once it knows them. */
async function catalogs(count: number, options: { startupMs?: number } = {}): Promise<Task[]> {
  const started = Array.from({ length: count }, () => cluster().task({ node: 'catalog', ...options }))
  const tasks = await Promise.all(started)
  await Promise.all(tasks.map((task) => hearsOf(web, task)))
  return tasks
}

/** GETs and POSTs of `web` while `happens` does. */
async function underLoad(happens: () => Promise<void>): Promise<Record<'GET' | 'POST', Outcome>> {
  const [get, post] = await Promise.all(['GET', 'POST'].map((method) => startClient(web, HOST, RATE, method)))
  await delay(500)
  await happens().finally(() => delay(500))
  const [GET, POST] = await Promise.all([get!(), post!()])
  return { GET, POST }
}

/**
 * An app that closes its idle connections on SIGTERM, as node, Go and nginx do, may do so in the moment when a request is
 * on its way to it; nobody can know that it did not see it. That is HTTP/1.1 (RFC 9112, section 9.6), with and without
 * a mesh: repeated are requests of idempotent methods only.
 */
function expectNoneLost({ GET, POST }: Record<'GET' | 'POST', Outcome>): void {
  expect(lost(GET)).toEqual([])
  expect(lost(POST).filter((one) => !RACE.test(one))).toEqual([])
  const raced = [...POST.answers].reduce((sum, [key, count]) => sum + (RACE.test(key) ? count : 0), 0)
  expect(raced).toBeLessThanOrEqual(2)
}

describe('a task that ECS stops under load', () => {
  it('loses no request: metadata first, then the app, then the sidecar', async () => {
    const [stopping, staying] = await catalogs(2)
    const outcomes = await underLoad(() => stopping!.stop())
    expectNoneLost(outcomes)
    for (const { answers } of Object.values(outcomes)) {
      expect(answers.get(stopping!.id)).toBeGreaterThan(5)
      expect(answers.get(staying!.id)).toBeGreaterThan(20)
    }
    expect(stopping!.sidecarExitCode).toBe(0)
    await staying!.stop()
  })

  it('lets its app finish what it began, calls to other services included', async () => {
    const [leaving, catalog] = await Promise.all(['web', 'catalog'].map((node) => cluster().task({ node })))
    await hearsOf(leaving!, catalog!)
    const answer = curl(leaving!, `http://127.0.0.1:8080/call?url=http://${HOST}/&delay=700`)
    await delay(300)
    await leaving!.stop()
    expect(await answer).toEqual({ status: 200, body: catalog!.id })
    await catalog!.stop()
  })
})

describe('a rolling deployment under load', () => {
  it('loses no request while the only task of a service is replaced', async () => {
    const [old] = await catalogs(1)
    let next: Task | undefined
    const outcomes = await underLoad(async () => {
      // The news is a matter of milliseconds; ECS takes seconds from a task that runs to the end of the one before.
      next = (await catalogs(1))[0]
      await old!.stop()
    })
    expectNoneLost(outcomes)
    for (const { answers } of Object.values(outcomes)) {
      expect([...answers.keys()]).toEqual(expect.arrayContaining([old!.id, next!.id]))
    }
    await next!.stop()
  })

  it('sends nothing to a new task before its app listens, which may be long after its sidecar is healthy', async () => {
    const [old] = await catalogs(1)
    let next: Task | undefined
    const outcomes = await underLoad(async () => {
      next = (await catalogs(1, { startupMs: 1000 }))[0]
      await delay(500)
    })
    expectNoneLost(outcomes)
    const { body } = await curl(next!, 'http://127.0.0.1:9901/stats/prometheus')
    expect(body).not.toMatch(/^weft_requests_total\{listener="inbound\/catalog:8080".*status="5/m)
    for (const { answers } of Object.values(outcomes)) expect(answers.get(next!.id)).toBeGreaterThan(5)
    await Promise.all([old, next].map((task) => task!.stop()))
  })
})

describe('a task that dies under load', () => {
  it('costs no GET', async () => {
    const [dying, staying] = await catalogs(2)
    const stop = await startClient(web, HOST, 2 * RATE, 'GET')
    await delay(1000)
    await dying!.kill()
    await delay(1500)
    const outcome = await stop()
    expect(lost(outcome)).toEqual([])
    expect(outcome.answers.get(dying!.id)).toBeGreaterThan(10)
    await staying!.stop()
  })
})

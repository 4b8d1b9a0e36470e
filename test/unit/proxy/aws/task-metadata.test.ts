import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TaskWatch } from '../../../../proxy-image/src/aws/task-metadata.ts'
import { Log } from '../../../../proxy-image/src/log.ts'

const TaskARN = 'arn:aws:ecs:eu-west-1:111122223333:task/shop/158d1c8083dd49d6b527399fd6414f5c'
const awsvpc = (address: string) => [{ Networks: [{ NetworkMode: 'awsvpc', IPv4Addresses: [address] }] }]

let lines: string[]
const toClose: (() => unknown)[] = []
beforeEach(() => {
  lines = []
})
afterEach(() => {
  for (const close of toClose.splice(0).reverse()) close()
})

/** `answer` is asked anew for each request; undefined: 500. */
async function watch(answer: () => unknown) {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    const body = answer()
    response.writeHead(body === undefined ? 500 : 200)
    response.end(JSON.stringify(body ?? {}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stops: number[] = []
  const task = new TaskWatch({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v4/abc`,
    log: new Log('info', (line) => lines.push(line)),
    onStopping: () => stops.push(performance.now()),
  })
  toClose.push(() => {
    task.close()
    server.close()
    server.closeAllConnections()
  })
  return { task, stops, paths }
}

describe('the task that a proxy is in', () => {
  it('has an id, and the address of its one network interface', async () => {
    const { task, paths } = await watch(() => ({ TaskARN, DesiredStatus: 'RUNNING', Containers: awsvpc('10.0.1.7') }))
    await task.start()
    expect(task.task).toMatchObject({ id: '158d1c8083dd49d6b527399fd6414f5c', address: '10.0.1.7', stopping: false })
    expect(paths).toEqual(['/v4/abc/task'])
  })

  it.each<[string, unknown]>([
    ['in network mode host', [{ Networks: [{ NetworkMode: 'host', IPv4Addresses: [''] }] }]],
    ['behind a bridge', [{ Networks: [{ NetworkMode: 'bridge', IPv4Addresses: ['172.17.0.2'] }] }]],
    ['without containers yet', undefined],
    ['with a name where an address should be', awsvpc('orders.local')],
    ['with something odd', [{ Networks: 7 }, null, { Networks: [null] }]],
  ])('has no address of its own %s', async (_what, Containers) => {
    const { task } = await watch(() => ({ TaskARN, DesiredStatus: 'RUNNING', Containers }))
    await task.start()
    expect(task.task?.address).toBeNull()
  })

  it('has an IPv6 address where that is all', async () => {
    const Containers = [{ Networks: [{ NetworkMode: 'awsvpc', IPv6Addresses: ['fd00::7'] }] }]
    const { task } = await watch(() => ({ TaskARN, Containers }))
    await task.start()
    expect(task.task?.address).toBe('fd00::7')
  })

  it('is to end as soon as ECS says so, which is told once', async () => {
    let DesiredStatus = 'RUNNING'
    const { task, stops, paths } = await watch(() => ({ TaskARN, DesiredStatus }))
    await task.start()
    DesiredStatus = 'STOPPED'
    await expect.poll(() => stops.length, { timeout: 3_000 }).toBe(1)
    const asked = paths.length
    await new Promise((resolve) => setTimeout(resolve, 1_300))
    expect(stops).toHaveLength(1)
    expect(paths).toHaveLength(asked)
  })

  it('does not keep a proxy from starting when nobody answers, and is known when somebody does', async () => {
    let answer: unknown
    const { task } = await watch(() => answer)
    const fromMs = performance.now()
    await task.start()
    expect(performance.now() - fromMs).toBeLessThan(4_000)
    expect(task.task).toBeNull()
    answer = { TaskARN, DesiredStatus: 'RUNNING' }
    await expect.poll(() => task.task?.id, { timeout: 3_000 }).toMatch(/^158d/)
    expect(lines.filter((line) => line.includes('no task metadata'))).toHaveLength(1)
  })

  it('is none without an ARN', async () => {
    const { task } = await watch(() => ({ DesiredStatus: 'STOPPED' }))
    await task.start()
    expect(task.task).toBeNull()
  })
})

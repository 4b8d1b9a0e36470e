import { afterAll, expect, it, onTestFinished, vi } from 'vitest'
import { dynamoDbClient } from '../../runtime/adapters/dynamodb-calls.ts'
import { DynamoDbRoleBindings } from '../../runtime/adapters/dynamodb-role-bindings.ts'
import { IamIdentity } from '../../runtime/adapters/iam-identity.ts'
import type { SyncRequest } from '../../runtime/model/sync.ts'
import { node, put, resource } from '../contract/stored.ts'
import { INTERVAL_S, type Line, PROCESSES, polling, SECONDS, TASKS_A_NODE } from '../support/cost-model.ts'
import { startDynamoDb } from '../support/dynamodb-local.ts'
import { ACCOUNT } from '../support/lambda-events.ts'
import { startStandInCloudMap } from '../support/stand-in-cloud-map.ts'
import { polledFunction } from './polled-function.ts'

const database = await startDynamoDb()
const here = 'config' in database ? database : undefined
afterAll(() => here?.[Symbol.asyncDispose]())

/** docs/endpoints.md has what 1,000 took. */
const TASKS = 200
const NODES = TASKS / TASKS_A_NODE
/** Measured when all have come to rest, for as long as a heartbeat takes. */
const REST_S = 300
const MEASURED_S = 1_200
const BACKSTOP_S = 300

interface Consumed {
  reads: number
  writes: number
}

/** A client whose units are counted, as DynamoDB counts them. */
function countingClient(consumed: Consumed) {
  const client = dynamoDbClient(here!.config)
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        Object.assign(args.input, { ReturnConsumedCapacity: 'TOTAL' })
        const kind = /Get|Query/.test(String(commandName)) ? 'reads' : 'writes'
        try {
          const { output, ...result } = await next(args)
          const given = (output as { ConsumedCapacity?: { CapacityUnits?: number } | { CapacityUnits?: number }[] })
            .ConsumedCapacity
          for (const { CapacityUnits = 0 } of [given ?? []].flat()) consumed[kind] += CapacityUnits
          return { output, ...result }
        } catch (error) {
          // An attempt at a lease that another process holds is paid, too.
          if ((error as Error).name === 'ConditionalCheckFailedException') consumed.writes++
          throw error
        }
      },
    { step: 'initialize' },
  )
  return client
}

/** The nodes of a mesh, each of which calls the three next ones. */
function mesh() {
  const awsCloudMap = (n: number) => ({ namespaceName: 'prod', serviceName: `n${n}` })
  const listeners = [{ portMapping: { port: 8080, protocol: 'http' } }]
  const all = Array.from({ length: NODES }, (_, n) => n)
  return put(
    resource({ kind: 'mesh', mesh: 'shop', name: 'shop' }),
    ...all.flatMap((n) => [
      node('shop', `n${n}`, {
        spec: {
          listeners,
          serviceDiscovery: { awsCloudMap: awsCloudMap(n) },
          backends: [1, 2, 3].map((next) => ({
            virtualService: { virtualServiceName: `n${(n + next) % NODES}.local` },
          })),
        },
      }),
      resource(
        { kind: 'virtual-service', mesh: 'shop', name: `n${n}.local` },
        { spec: { provider: { virtualNode: { virtualNodeName: `n${n}` } } } },
      ),
    ]),
  )
}

it('tasks at rest cost what docs/cost.md says', { timeout: 300_000 }, async (context) => {
  if (here === undefined) return context.skip((database as { missing: string }).missing)
  if (!here.isolated) return context.skip('moto counts no units')
  const table = await here.createTable()
  const cloudMap = await startStandInCloudMap()
  onTestFinished(() => cloudMap[Symbol.asyncDispose]())
  const startMs = Date.now()
  let now = startMs
  vi.spyOn(performance, 'now').mockImplementation(() => now - startMs)
  onTestFinished(() => void vi.restoreAllMocks())
  const consumed: Consumed = { reads: 0, writes: 0 }
  const clock = { now: () => now }
  const start = () => {
    const client = countingClient(consumed)
    const cases = polledFunction({
      table,
      client,
      cloudMap: cloudMap.endpoint,
      clock,
      intervalMs: INTERVAL_S * 1000,
    })
    const bindings = new DynamoDbRoleBindings(client, table)
    return { ...cases, bindings, callers: new IamIdentity(bindings, clock) }
  }
  const processes = Array.from({ length: PROCESSES }, start)
  const events = start()
  const [one] = processes
  await one!.store.commit({ mesh: 'shop', expectedGeneration: 0, changes: mesh(), actor: 'x', atMs: 1 })
  for (let n = 0; n < NODES; n++) {
    const subject = { kind: 'virtual-node', mesh: 'shop', name: `n${n}` } as const
    await one!.bindings.bind({ accountId: ACCOUNT, roleName: `n${n}-task`, subject })
  }
  const addressOf = (task: number) => `10.0.${task >> 8}.${task & 255}`
  cloudMap.answer = ({ ServiceName }) => {
    const own = Array.from({ length: TASKS }, (_, task) => task).filter((task) => ServiceName === `n${task % NODES}`)
    return { instances: Object.fromEntries(own.map((task) => [`cm-${task}`, { AWS_INSTANCE_IPV4: addressOf(task) }])) }
  }

  const tasks = Array.from({ length: TASKS }, (_, task) => ({
    task,
    atMs: startMs + Math.random() * INTERVAL_S * 1000,
    known: { snapshot: null, endpoints: {}, trust: 't' } as SyncRequest['known'],
  }))
  const poll = async (of: (typeof tasks)[number]) => {
    const by = processes[Math.floor(Math.random() * PROCESSES)]!
    const role = `arn:aws:sts::${ACCOUNT}:assumed-role/n${of.task % NODES}-task/s`
    const subject = await by.callers.identify({ iam: { accountId: ACCOUNT, arn: role } })
    const id = `3f6d0c1e-8a4b-4c57-9d10-${String(of.task).padStart(12, '0')}`
    const instance = {
      id,
      address: addressOf(of.task),
      meshPort: 15_000,
      protocols: ['h2', 'http/1.1'],
      version: '1.0.0',
    }
    const status = { applied: of.known.snapshot, rejected: null, certificateNotAfterMs: startMs + 86_400_000 }
    const request: SyncRequest = {
      schemas: [1],
      instance: { ...instance, state: 'ready', metricsPort: 9902, zone: 'us-east-1a' },
      known: of.known,
      status,
    }
    const signal = new AbortController().signal
    const answer = await by.sync({ subject, request, peerAddress: '', waitMs: 0, signal })
    for (const set of answer.endpoints) of.known.endpoints[set.node] = set.revision
    if (answer.snapshot !== undefined) of.known.snapshot = answer.snapshot.revision
    of.atMs = now + answer.nextSyncMs
  }

  let polls = 0
  let backstopMs = startMs + BACKSTOP_S * 1000
  let measuring = false
  const endMs = startMs + (REST_S + MEASURED_S) * 1000
  for (;;) {
    const next = tasks.reduce((first, other) => (other.atMs < first.atMs ? other : first))
    if (next.atMs > endMs) break
    now = Math.max(now, next.atMs)
    if (!measuring && now > startMs + REST_S * 1000) {
      measuring = true
      Object.assign(consumed, { reads: 0, writes: 0 })
      cloudMap.calls.length = 0
      polls = 0
    }
    if (now > backstopMs) {
      await events.refreshEndpoints({ budgetMs: 50_000 })
      backstopMs += BACKSTOP_S * 1000
    }
    await poll(next)
    polls++
  }

  const sums = polling(TASKS)
  const billed = (pick: (line: Line) => boolean) =>
    (sums.filter(pick).reduce((sum, { count }) => sum + count, 0) * MEASURED_S) / SECONDS
  const expected = {
    polls: billed(({ what }) => what === 'calls'),
    reads: billed(({ sum }) => sum.endsWith('$0.125 / M')),
    writes: billed(({ sum }) => sum.endsWith('$0.625 / M')),
    discoveries: billed(({ what }) => what === 'Cloud Map'),
  }
  const measured = { polls, ...consumed, discoveries: cloudMap.calls.length }
  for (const name of Object.keys(expected) as (keyof typeof expected)[]) {
    expect(measured[name] / expected[name], name).toBeGreaterThan(0.8)
    expect(measured[name] / expected[name], name).toBeLessThan(1.2)
  }
})

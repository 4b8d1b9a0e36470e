import type { Context, DynamoDBBatchResponse, DynamoDBStreamEvent, EventBridgeEvent } from 'aws-lambda'
import { MeshStates } from '../app/mesh-states.ts'
import { type RefreshSummary, refreshEndpoints } from '../app/refresh-endpoints.ts'
import { rotateCa } from '../app/rotate-ca.ts'
import { readEnv } from './env.ts'
import { errorFields, log } from './log.ts'
import { openDirectory } from './open-directory.ts'
import { openIssuer } from './open-issuer.ts'
import { openNames } from './open-names.ts'
import { publishCommitted } from './stream.ts'
import { type TaskChange, taskOf } from './task-change.ts'
import { wire } from './wire.ts'

const wiring = wire(readEnv(process.env))
const { env, store, clock } = wiring
const states = new MeshStates(store)
const refresh = refreshEndpoints({ store, states, directory: openDirectory(wiring) })
const rotateRoots = rotateCa({ issuer: openIssuer(wiring), clock })
const publishNames = openNames(wiring, states)

type Event = DynamoDBStreamEvent | EventBridgeEvent<string, TaskChange>

/** Kept from the function's time for what comes after the endpoints. */
const RESERVE_MS = 10_000

/** The table's stream, ECS's task events, and the clock. */
export async function handler(
  event: Event,
  context: Pick<Context, 'getRemainingTimeInMillis'>,
): Promise<DynamoDBBatchResponse | undefined> {
  if ('Records' in event) return publishCommitted(publishNames, event.Records)
  if (event['detail-type'] === 'ECS Task State Change') {
    const task = taskOf(event.detail)
    if (task !== undefined) await each([async () => told(await refresh({ task }))])
  } else if (event['detail-type'] === 'Scheduled Event') {
    const budgetMs = Math.max(1_000, context.getRemainingTimeInMillis() - RESERVE_MS)
    // Side by side: a Cloud Map that does not answer must not keep the CA from its next root.
    await each([
      async () => told(await refresh({ budgetMs })),
      rotate,
      async () => env.zone && (await publishNames(env.zone.mesh)),
    ])
  } else log('warn', 'an event that nobody asked for', { source: event.source, type: event['detail-type'] })
  return undefined
}

async function rotate(): Promise<void> {
  const rotation = await rotateRoots()
  if (rotation.added) log('info', 'the CA has a new root', { ...rotation })
  if (rotation.needsOperator)
    log('error', 'the root of the CA ends soon, and only an operator can bring the next', { ...rotation })
}

function told({ failures, left }: RefreshSummary): void {
  for (const failure of failures) log('warn', 'registration not read', { ...failure })
  if (left > 0) log('warn', 'not all nodes were looked at in time', { left })
}

/**
 * Does all of them, whatever becomes of the others.
 * @throws Error when one failed, so that the function's metrics show it and Lambda tries again: each may be done twice.
 */
async function each(works: readonly (() => Promise<unknown>)[]): Promise<void> {
  const results = await Promise.allSettled(works.map((work) => work()))
  const failures = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  for (const { reason } of failures) log('error', 'event not worked off', errorFields(reason))
  if (failures.length > 0)
    throw new Error(`${failures.length} of ${works.length} parts of this event failed; the log has each`)
}

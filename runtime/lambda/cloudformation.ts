import { setTimeout as delay } from 'node:timers/promises'
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda'
import type { ArnOwner } from '../http/arn.ts'
import { MeshError } from '../model/problem.ts'
import { type CloudFormationAnswer, sendAnswer } from './cloudformation-answer.ts'
import { ownerOf } from './function-owner.ts'
import { errorFields, log } from './log.ts'
import type { Provider } from './provider.ts'
import { describeProblems } from './resource-properties.ts'

/**
 * The provider of a resource type such as `Custom::WeftMesh`, for one request; undefined when there is none. Once `stopped` is
 * aborted, it begins no change any more. Throws when the function can't work.
 */
export type FindProvider = (type: string, owner: ArnOwner, stopped: AbortSignal) => Provider | undefined

export type CustomResourceHandler = (
  event: CloudFormationCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis' | 'invokedFunctionArn'>,
) => Promise<void>

/** Kept from a function's time for the answer, its repeats included. */
const ANSWER_MS = 20_000
/** Of that, for a change under way to come to its end, so that the answer says what is. */
const SETTLE_MS = 3_000

/** Answers CloudFormation whatever happens: no answer means a stack that hangs for an hour. */
export function customResourceHandler(find: FindProvider): CustomResourceHandler {
  return async (event, context) => {
    const startedAt = performance.now()
    const answer = await answerTo(event, context, find)
    const { RequestType: request, ResourceType: type, StackId: stack, LogicalResourceId: logicalId } = event
    const about = { request, type, stack, logicalId, requestId: event.RequestId, status: answer.Status }
    log('info', 'custom resource', { ...about, ms: Math.round(performance.now() - startedAt) })
    await sendAnswer(event.ResponseURL, answer)
  }
}

async function answerTo(
  event: CloudFormationCustomResourceEvent,
  context: Parameters<CustomResourceHandler>[1],
  find: FindProvider,
): Promise<CloudFormationAnswer> {
  const { StackId, RequestId, LogicalResourceId } = event
  const ids = { StackId, RequestId, LogicalResourceId }
  // A name that no resource has: what is deleted under it was never made, or is found by its marks.
  const oldId =
    event.RequestType === 'Create' ? `weft-failed/${LogicalResourceId}/${RequestId}` : event.PhysicalResourceId
  const timeMs = Math.max(1_000, context.getRemainingTimeInMillis() - ANSWER_MS)
  try {
    const owner = ownerOf(context.invokedFunctionArn)
    const work = (stopped: AbortSignal) => carryOut(event, (type) => find(type, owner, stopped))
    const outcome = await within(timeMs, (stopped) => untilSettled(() => work(stopped), stopped))
    if (outcome === 'late') {
      const Reason = `not done within ${Math.round(timeMs / 1000)} s: AWS answers too slowly, or the mesh is being written by too many at once; try again, the log of the function has more`
      return { Status: 'FAILED', Reason, PhysicalResourceId: oldId, ...ids }
    }
    if (outcome === undefined) return { Status: 'SUCCESS', PhysicalResourceId: oldId, ...ids }
    return { Status: 'SUCCESS', PhysicalResourceId: outcome.physicalId, Data: outcome.data, ...ids }
  } catch (error) {
    // Values of a template may be secrets (NoEcho): the log names places, the reason goes to the stack's owner alone.
    const paths = error instanceof MeshError ? error.problems.map(({ path }) => path) : []
    const isInvalid = error instanceof MeshError && error.code === 'invalid'
    const fields = { paths, ...(isInvalid ? { code: 'invalid' } : errorFields(error)) }
    log('warn', 'custom resource refused', { requestId: RequestId, ...fields })
    return { Status: 'FAILED', Reason: reasonOf(error, RequestId), PhysicalResourceId: oldId, ...ids }
  }
}

/**
 * What work comes to in its time; 'late' when it does not. Then it is stopped: what went on behind an answer that says FAILED
 * would be left over when CloudFormation has taken everything back.
 */
async function within<T>(timeMs: number, work: (stopped: AbortSignal) => Promise<T>): Promise<T | 'late'> {
  const [stop, over] = [new AbortController(), new AbortController()]
  const late = (ms: number) => delay(ms, 'late' as const, { signal: over.signal }).catch(() => 'late' as const)
  try {
    const done = work(stop.signal)
    const outcome = await Promise.race([done, late(timeMs)])
    if (outcome !== 'late') return outcome
    stop.abort()
    return await Promise.race([done.catch(() => 'late' as const), late(SETTLE_MS)])
  } finally {
    over.abort()
  }
}

async function carryOut(event: CloudFormationCustomResourceEvent, find: (type: string) => ReturnType<FindProvider>) {
  const provider = find(event.ResourceType)
  if (provider === undefined) {
    if (event.RequestType === 'Delete') return undefined
    throw new MeshError(
      'invalid',
      `this control plane has no resource type ${event.ResourceType}; correct it, or deploy a newer control plane`,
    )
  }
  const { StackId, LogicalResourceId, RequestId: requestId, ResourceProperties: properties } = event
  const request = { StackId, LogicalResourceId, requestId, properties }
  switch (event.RequestType) {
    case 'Create':
      return provider.create(request)
    case 'Update':
      return provider.update({
        ...request,
        physicalId: event.PhysicalResourceId,
        oldProperties: event.OldResourceProperties,
      })
    case 'Delete':
      await provider.remove({ ...request, physicalId: event.PhysicalResourceId })
      return undefined
  }
}

const RACE_MS = 50
const MAX_RACE_MS = 2_000

/**
 * Tries again what lost a race, or met a table that is too busy: CloudFormation makes dozens of resources of one mesh at the
 * same moment, and each is a commit of its own.
 */
async function untilSettled<T>(work: () => Promise<T>, stopped: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const passing = error instanceof MeshError && (error.code === 'throttled' || isLostRace(error))
      if (!passing || stopped.aborted) throw error
      await delay(Math.random() * Math.min(MAX_RACE_MS, RACE_MS * 2 ** attempt))
    }
  }
}

/** Of the conflicts, those over the head of a mesh have another conflict, the store's, as their cause. */
function isLostRace({ code, cause }: MeshError): boolean {
  return code === 'conflict' && cause instanceof MeshError && cause.code === 'conflict'
}

function reasonOf(error: unknown, requestId: string): string {
  if (error instanceof MeshError) return describeProblems(error)
  return `internal error; the log of the function has the cause under request ${requestId}`
}

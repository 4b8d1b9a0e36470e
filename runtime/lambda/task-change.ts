import type { RefreshInput } from '../app/refresh-endpoints.ts'

/** What is used of an event "ECS Task State Change" (ECS Developer Guide, task state change events). */
export interface TaskChange {
  readonly taskArn?: string
  readonly lastStatus?: string
}

/** The task and whether it has ended, as refreshEndpoints takes it. Undefined for an event that names no task. */
export function taskOf({
  taskArn = '',
  lastStatus,
}: TaskChange): Extract<RefreshInput, { task: unknown }>['task'] | undefined {
  // Its sidecar reports the same part of the ARN, which the task metadata show, as its instance.
  const id = /^arn:[^/]+:task\/(?:[^/]+\/)?([\w-]{1,255})$/.exec(taskArn)?.[1]
  return id === undefined ? undefined : { id, stopped: lastStatus === 'STOPPED' }
}

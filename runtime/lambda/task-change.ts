import type { RefreshInput } from '../app/refresh-endpoints.ts'

/**
 * What is used of an event "ECS Task State Change" (ECS Developer Guide, task state change events). A task in network mode
 * awsvpc, as all on Fargate, has an attachment with its address.
 */
export interface TaskChange {
  readonly lastStatus?: string
  readonly attachments?: readonly {
    readonly type?: string
    readonly details?: readonly { readonly name?: string; readonly value?: string }[]
  }[]
}

/** The addresses of a task and whether it has ended, as refreshEndpoints takes them. Empty for a task without a network interface. */
export function tasksOf({
  lastStatus,
  attachments = [],
}: TaskChange): readonly Extract<RefreshInput, { task: unknown }>['task'][] {
  const addresses = attachments
    .filter(({ type }) => type === 'eni' || type === 'ElasticNetworkInterface')
    .flatMap(({ details = [] }) => details)
    .filter(({ name, value }) => (name === 'privateIPv4Address' || name === 'privateIPv6Address') && value)
    .map(({ value }) => value!)
  return [...new Set(addresses)].map((address) => ({ address, stopped: lastStatus === 'STOPPED' }))
}

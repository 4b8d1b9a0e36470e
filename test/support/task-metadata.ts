import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the endpoint says of a task. */
export interface DescribedTask {
  readonly id: string
  readonly address: string
  readonly family: string
  /** Of the role's temporary credentials. */
  readonly roleArn: string
  desiredStatus: 'RUNNING' | 'STOPPED'
  /** Names of the containers. */
  readonly containers: readonly string[]
}

/** Keys that {@link startTaskMetadata} gives to a task. */
export function credentialsOf(id: string) {
  return {
    accessKeyId: `ASIA${id.toUpperCase()}`,
    secretAccessKey: `secret-of-${id}`,
    sessionToken: `session-of-${id}`,
  }
}

export interface TaskMetadata extends AsyncDisposable {
  readonly port: number
  add(task: DescribedTask): void
  /** How often tasks asked, by path. */
  readonly asked: ReadonlyMap<string, number>
}

const CLUSTER = 'arn:aws:ecs:eu-west-1:111122223333:cluster/test'

/**
 * What ECS answers on 169.254.170.2: task metadata version 4 at `/v4/<task>-<container>`, as in
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
 * (the fields that somebody reads), and credentials of the task role at `/v2/credentials/<task>`.
 */
export async function startTaskMetadata(address: string): Promise<TaskMetadata> {
  const tasks = new Map<string, DescribedTask>()
  const asked = new Map<string, number>()
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    const body = answer(path, tasks)
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? { message: 'no such task' }))
  })
  server.listen(0, address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    add: (task) => void tasks.set(task.id, task),
    asked,
    async [Symbol.asyncDispose]() {
      const closed = once(server.close(), 'close')
      server.closeAllConnections()
      await closed
    },
  }
}

function answer(path: string, tasks: ReadonlyMap<string, DescribedTask>): object | undefined {
  const [, credentials] = /^\/v2\/credentials\/([^/]+)$/.exec(path) ?? []
  const asking = tasks.get(credentials ?? '')
  if (asking !== undefined) {
    const { accessKeyId, secretAccessKey, sessionToken } = credentialsOf(asking.id)
    const Expiration = new Date(Date.now() + 3_600_000).toISOString()
    const { roleArn: RoleArn } = asking
    return { RoleArn, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration }
  }
  const [, id, name, whole] = /^\/v4\/([^/]+)-([^/-]+)(\/task)?$/.exec(path) ?? []
  const task = tasks.get(id ?? '')
  if (task === undefined || name === undefined) return undefined
  const containers = task.containers.map((container) => describeContainer(task, container))
  if (whole === undefined) return containers.find(({ Name }) => Name === name)
  const { desiredStatus: DesiredStatus, family: Family } = task
  const TaskARN = `${CLUSTER.replace('cluster/', 'task/')}/${task.id}`
  const rest = { Revision: '1', LaunchType: 'FARGATE', AvailabilityZone: 'eu-west-1a', Containers: containers }
  return { Cluster: CLUSTER, TaskARN, Family, DesiredStatus, KnownStatus: 'RUNNING', ...rest }
}

function describeContainer({ id, address, desiredStatus }: DescribedTask, Name: string) {
  const Networks = [{ NetworkMode: 'awsvpc', IPv4Addresses: [address], AttachmentIndex: 0 }]
  return {
    DockerId: `${id}-${Name}`,
    Name,
    DesiredStatus: desiredStatus,
    KnownStatus: 'RUNNING',
    Type: 'NORMAL',
    Networks,
  }
}

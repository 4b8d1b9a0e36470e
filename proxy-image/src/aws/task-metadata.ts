import { isIP } from 'node:net'
import type { Log } from '../log.ts'
import { getJson } from './link-local.ts'

/** What ECS says of the task that this container is in. */
export interface Task {
  /** The last part of the task's ARN. */
  readonly id: string
  /** Address of the task's network interface; null where the task has none of its own (network mode host). */
  readonly address: string | null
  /** Availability zone; Fargate names it. */
  readonly zone: string | null
  /** ECS wants the task to end: it stops its containers one after another from now on. */
  readonly stopping: boolean
}

interface TaskWatchOptions {
  /** Value of ECS_CONTAINER_METADATA_URI_V4. */
  readonly url: string
  readonly log: Log
  /** Called once, at the first answer that says so. */
  readonly onStopping: () => void
}

const INTERVAL_MS = 1_000
const CALL_TIMEOUT_MS = 1_000
/** A proxy that can't learn of its task must start nevertheless. */
const FIRST_ANSWER_MS = 2_000

/**
 * Follows the task by its metadata endpoint, version 4. ECS stops an app before its sidecar, and DesiredStatus is the
 * one sign of it that the sidecar sees in time.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
 */
export class TaskWatch {
  readonly #options: TaskWatchOptions
  #task: Task | null = null
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #failing = false

  constructor(options: TaskWatchOptions) {
    this.#options = options
  }

  /** Null until ECS answered for the first time. */
  get task(): Task | null {
    return this.#task
  }

  /** Resolves at the first good answer, or after two seconds without; goes on watching until it is closed. */
  async start(): Promise<void> {
    const giveUpMs = performance.now() + FIRST_ANSWER_MS
    await this.#look()
    while (this.#task === null && !this.#closed && performance.now() < giveUpMs) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      await this.#look()
    }
    this.#again()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #again(): void {
    if (this.#closed || this.#task?.stopping) return
    this.#timer = setTimeout(() => void this.#look().then(() => this.#again()), INTERVAL_MS).unref()
  }

  async #look(): Promise<void> {
    const { url, log, onStopping } = this.#options
    try {
      this.#task = taskFrom(await getJson(`${url}/task`, { timeoutMs: CALL_TIMEOUT_MS }))
      this.#failing = false
    } catch (error) {
      // Once for each spell of silence, not each second.
      if (!this.#failing && !this.#closed) log.warning('no task metadata', { error: (error as Error).message })
      this.#failing = true
      return
    }
    if (this.#task.stopping && !this.#closed) onStopping()
  }
}

function taskFrom(answer: unknown): Task {
  const { TaskARN, DesiredStatus, Containers, AvailabilityZone } = (answer ?? {}) as Record<string, unknown>
  const id = typeof TaskARN === 'string' ? /\/([\w-]{1,255})$/.exec(TaskARN)?.[1] : undefined
  if (id === undefined) throw new Error('the task metadata name no task (TaskARN)')
  const zone = typeof AvailabilityZone === 'string' && /^[\w-]{1,64}$/.test(AvailabilityZone) ? AvailabilityZone : null
  return { id, address: addressOf(Containers), zone, stopping: DesiredStatus === 'STOPPED' }
}

/** In network mode awsvpc all containers share one interface, and each of them shows it. */
function addressOf(containers: unknown): string | null {
  for (const container of Array.isArray(containers) ? containers : []) {
    const networks: unknown = container?.Networks
    for (const network of Array.isArray(networks) ? networks : []) {
      const addresses: unknown = network?.IPv4Addresses?.length > 0 ? network.IPv4Addresses : network?.IPv6Addresses
      const first: unknown = Array.isArray(addresses) ? addresses[0] : undefined
      if (network?.NetworkMode === 'awsvpc' && typeof first === 'string' && isIP(first) !== 0) return first
    }
  }
  return null
}

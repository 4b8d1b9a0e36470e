import type { Socket } from 'node:net'
import { ProxyError } from '../errors.ts'
import type { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import { dial } from '../upstream/connect.ts'

/** One weighted target of a route. */
export interface TcpTarget {
  readonly cluster: UpstreamCluster
  readonly weight: number
  readonly metrics: TcpMetrics
}

/** Where the connections of one listener go. */
export interface TcpPlan {
  /** The user's name of the route. */
  readonly route: string
  readonly targets: readonly TcpTarget[]
  readonly totalWeight: number
  /** 0: none. */
  readonly idleMs: number
}

/** A connection to an endpoint. It counts under the limits of its cluster until it is closed. */
export interface Dialed {
  readonly socket: Socket
  readonly endpoint: PooledEndpoint
  /** How long its certificates last, in milliseconds. */
  readonly lifeMs: number
}

/** Endpoints that one connection is tried at. */
const MAX_ATTEMPTS = 3

/**
 * The way of one connection to its endpoint: a target by weight, an endpoint by load, and another one where it can't be
 * reached, which is safe because no byte was read by then.
 */
export class Dialing {
  attempts = 0
  readonly target: TcpTarget | undefined
  /** The endpoint tried last. */
  endpoint: PooledEndpoint | null = null
  private readonly plan: TcpPlan
  private readonly done: (result: Dialed | ProxyError) => void
  private readonly tried: PooledEndpoint[] = []
  private cancelDial: (() => void) | null = null

  /** `done` is called once, maybe before {@link start} returns. */
  constructor(plan: TcpPlan, done: (result: Dialed | ProxyError) => void) {
    this.plan = plan
    this.done = done
    this.target = pickTarget(plan)
  }

  start(): void {
    const { target, plan } = this
    if (target === undefined) {
      const message = `every target of route ${plan.route} has weight 0`
      return this.done(new ProxyError('no_target', 'mesh', { message }))
    }
    const endpoint = target.cluster.pick(this.tried)
    if (endpoint === undefined) {
      const message = `no endpoint of ${target.cluster.spec.name} is known`
      return this.done(new ProxyError('no_endpoint', 'mesh', { message }))
    }
    this.tryAt(endpoint, target.cluster)
  }

  /** Takes a connection that another way to the same targets has opened. */
  adopt(dialed: Dialed): void {
    this.attempts = 1
    this.endpoint = dialed.endpoint
    this.done(dialed)
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    this.cancelDial?.()
  }

  private tryAt(endpoint: PooledEndpoint, cluster: UpstreamCluster): void {
    this.attempts++
    this.endpoint = endpoint
    this.tried.push(endpoint)
    if (!cluster.openConnection()) {
      cluster.metrics.failed('overflow')
      const message = `${cluster.spec.name} has as many connections as it may`
      return this.done(new ProxyError('overflow', 'mesh', { message }))
    }
    endpoint.active++
    endpoint.requests++
    const closed = (): void => {
      endpoint.active--
      cluster.connectionClosed()
    }
    const cancel = dial(
      endpoint.pool!.plan,
      cluster.connectTimeoutMs,
      (result) => {
        this.cancelDial = null
        if (result instanceof ProxyError) {
          closed()
          return this.failed(result, endpoint, cluster)
        }
        // Either end may stop sending while the other one goes on.
        result.socket.allowHalfOpen = true
        result.socket.once('close', closed)
        cluster.metrics.connected()
        cluster.outlier?.onSuccess(endpoint)
        this.done({ ...result, endpoint })
      },
      null,
    )
    this.cancelDial = () => {
      cancel()
      closed()
    }
  }

  private failed(error: ProxyError, endpoint: PooledEndpoint, cluster: UpstreamCluster): void {
    endpoint.failures++
    cluster.metrics.failed(error.reason)
    cluster.outlier?.onConnectFailure(endpoint, Date.now())
    const next = this.attempts < MAX_ATTEMPTS ? cluster.pick(this.tried) : undefined
    if (next === undefined || this.tried.includes(next)) this.done(error)
    else this.tryAt(next, cluster)
  }
}

function pickTarget({ targets, totalWeight }: TcpPlan): TcpTarget | undefined {
  let at = Math.random() * totalWeight
  for (const target of targets) {
    at -= target.weight
    if (at < 0) return target
  }
  return undefined
}

import { ProxyError, type Reason } from '../errors.ts'
import type { TcpMetrics } from '../telemetry/tcp-metrics.ts'
import type { PooledEndpoint, UpstreamCluster } from '../upstream/cluster.ts'
import type { TcpEnd } from './end.ts'
import { reach } from './reach.ts'

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

/** A connection to an endpoint. It counts under the limits of its cluster until it is released. */
export interface Dialed {
  readonly end: TcpEnd
  /** `performance.now()` when the first certificate of the way to it ends. */
  readonly endsAtMs: number
  /** Call it once, when the end is closed. */
  readonly release: () => void
}

/** Endpoints that one connection is tried at. */
const MAX_ATTEMPTS = 3
/** What a peer's sidecar says of itself or of us. */
const SAID_NO: ReadonlySet<Reason> = new Set(['unauthorized_caller', 'overflow', 'draining'])
/** The stream met the end of what carries it: another one to the same endpoint may do. */
const LOST: ReadonlySet<Reason> = new Set(['upstream_closed', 'upstream_reset'])

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

  /** `done` is called once, unless it is cancelled before; maybe before {@link start} returns. */
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

  /** Nobody waits for it any more, if anybody did. */
  cancel(): void {
    this.cancelDial?.()
    this.cancelDial = null
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
    const release = (): void => {
      endpoint.active--
      cluster.connectionClosed()
    }
    const cancel = reach(endpoint.pool!, cluster.connectTimeoutMs, (result) => {
      this.cancelDial = null
      if (result instanceof ProxyError) {
        release()
        return this.failed(result, endpoint, cluster)
      }
      cluster.metrics.connected()
      cluster.outlier?.onSuccess(endpoint)
      this.done({ ...result, release })
    })
    this.cancelDial = () => {
      cancel()
      release()
    }
  }

  private failed(error: ProxyError, endpoint: PooledEndpoint, cluster: UpstreamCluster): void {
    endpoint.failures++
    cluster.metrics.failed(error.reason)
    if (!isHarmless(error)) cluster.outlier?.onConnectFailure(endpoint, Date.now())
    const next = error.retry === 'unsent' && this.attempts < MAX_ATTEMPTS ? cluster.pick(this.tried) : undefined
    if (next === undefined || (this.tried.includes(next) && !LOST.has(error.reason))) this.done(error)
    else this.tryAt(next, cluster)
  }
}

/** No fault of the way to an endpoint: its sidecar says why it does not want us, or what carries us comes to its end. */
function isHarmless({ reason, cause }: ProxyError): boolean {
  return SAID_NO.has(reason) || (cause instanceof ProxyError && cause.retry === 'unsent')
}

function pickTarget({ targets, totalWeight }: TcpPlan): TcpTarget | undefined {
  let at = Math.random() * totalWeight
  for (const target of targets) {
    at -= target.weight
    if (at < 0) return target
  }
  return undefined
}

import type { MiddlewareHandler } from 'hono'
import type { ForwardPlan, ForwardTarget } from '../attempts/forward.ts'
import { Forwarding } from '../attempts/forward.ts'
import { REASON_FIELD } from '../attempts/retry.ts'
import type { DownstreamStream } from '../codec/stream.ts'
import { internalError, ProxyError, STATUS } from '../errors.ts'
import { Exchange, type ExchangeHome } from '../exchange.ts'
import type { RequestTaker } from '../listen/door.ts'
import { RefusedRequest, type Refusing } from '../listen/refused-request.ts'
import type { LogAccess } from '../telemetry/access-log.ts'
import type { ListenerMetrics, RequestMetrics } from '../telemetry/request-metrics.ts'
import type { PooledEndpoint } from '../upstream/cluster.ts'
import { type Terminal, throughFilters } from './filters.ts'

/** Where one request goes: a plan, and for egress the one endpoint that was asked for. */
export interface Choice {
  readonly plan: ForwardPlan
  readonly endpoint: PooledEndpoint | null
}

/** Chooses the way of a request, or says why there is none. May rewrite the exchange's target and authority. */
export type Chooser = (exchange: Exchange) => Choice | ProxyError

export interface ChainOptions
  extends Pick<ExchangeHome, 'listener' | 'unrouted' | 'logAccess' | 'scheme' | 'port' | 'edge'> {
  /** In the order in which a request meets them. */
  readonly filters: readonly MiddlewareHandler[]
  readonly choose: Chooser
}

/**
 * The way of a request through one listener, built once per snapshot: its filters in one fixed order, then the terminal,
 * which chooses the route and forwards.
 */
export class HttpChain implements ExchangeHome, RequestTaker {
  readonly listener: ListenerMetrics
  readonly unrouted: RequestMetrics
  readonly logAccess: LogAccess | null
  readonly scheme: 'http' | 'https'
  readonly port: number
  readonly edge: 'outbound' | 'gateway' | null
  private readonly enter: Terminal

  constructor(options: ChainOptions) {
    this.listener = options.listener
    this.unrouted = options.unrouted
    this.logAccess = options.logAccess
    this.scheme = options.scheme
    this.port = options.port
    this.edge = options.edge
    const { choose, filters } = options
    this.enter = throughFilters(filters, (exchange) => forward(exchange, choose))
  }

  accept(stream: DownstreamStream): Exchange {
    const exchange = this.begin(stream)
    try {
      this.enter(exchange)
    } catch (error) {
      exchange.fail(internalError(error))
    }
    return exchange
  }

  refuse(error: ProxyError, connection: Refusing): string {
    const body = this.errorBody(error, connection.peer)
    this.listener.error(error.reason)
    this.unrouted.record(STATUS[error.reason], 0)
    this.logAccess?.(new RefusedRequest(connection, error, body))
    return body
  }

  protected begin(stream: DownstreamStream): Exchange {
    return new Exchange(this, stream)
  }

  /** Full lines for an answer of the proxy's own: meshed peers learn the reason, strangers never. */
  errorHeaders(exchange: Exchange, error: ProxyError): string {
    return exchange.stream.peer === null ? '' : `${REASON_FIELD}: ${error.reason}\r\n`
  }

  /** The app beside this sidecar, or a peer, reads what went wrong; a stranger at a gateway or port the status alone. */
  errorBody(error: ProxyError, peer: string | null): string {
    const isStranger = this.edge !== 'outbound' && peer === null
    return isStranger ? `${STATUS[error.reason]}\n` : `weft: ${error.reason}: ${error.message}\n`
  }
}

function forward(exchange: Exchange, choose: Chooser): void {
  const choice = choose(exchange)
  if (choice instanceof ProxyError) return exchange.fail(choice)
  const { plan, endpoint } = choice
  exchange.route = plan.route
  const target = pickTarget(plan)
  if (target === undefined) {
    return exchange.fail(
      new ProxyError('no_target', 'mesh', { message: `every target of route ${plan.route} has weight 0` }),
    )
  }
  const { name, protocol } = target.cluster.spec
  if (protocol === 'tcp') {
    const message = `${name} speaks TCP, which no HTTP request reaches; route to a node that speaks HTTP`
    return exchange.fail(new ProxyError('not_implemented', 'mesh', { message }))
  }
  const forwarding = new Forwarding(exchange, plan, target, endpoint)
  exchange.forwarding = forwarding
  forwarding.start()
}

function pickTarget(plan: ForwardPlan): ForwardTarget | undefined {
  const { targets } = plan
  if (targets.length === 1) return plan.totalWeight > 0 ? targets[0] : undefined
  let at = Math.random() * plan.totalWeight
  for (const target of targets) {
    at -= target.weight
    if (at < 0) return target
  }
  return undefined
}

import { Hono } from 'hono'
import type { ForwardPlan, ForwardTarget } from '../attempts/forward.ts'
import { Forwarding } from '../attempts/forward.ts'
import { REASON_FIELD } from '../attempts/retry.ts'
import type { DownstreamStream } from '../codec/stream.ts'
import { ProxyError, STATUS } from '../errors.ts'
import { Exchange, type ExchangeHome } from '../exchange.ts'
import type { LogAccess } from '../telemetry/access-log.ts'
import type { ListenerMetrics, RequestMetrics } from '../telemetry/request-metrics.ts'
import type { PooledEndpoint } from '../upstream/cluster.ts'
import { LazyRequest } from './lazy-request.ts'

/** Where one request goes: a plan, and for egress the one endpoint that was asked for. */
export interface Choice {
  readonly plan: ForwardPlan
  readonly endpoint: PooledEndpoint | null
}

/** Chooses the way of a request, or says why there is none. May rewrite the exchange's target and authority. */
export type Chooser = (exchange: Exchange) => Choice | ProxyError

export interface ChainOptions
  extends Pick<ExchangeHome, 'listener' | 'unrouted' | 'logAccess' | 'scheme' | 'port' | 'edge'> {
  readonly choose: Chooser
}

/**
 * What the terminal handler returns when the exchange goes its own way: there is no Response to send. No real one,
 * because touching that class makes node load its whole fetch implementation (node-http.ts has the figures).
 */
const FORWARDED = {} as Response

/**
 * The way of a request through one listener, built once per snapshot: a Hono app whose filters run in one fixed order and
 * whose one terminal handler chooses the route and forwards. User paths never reach Hono's router, where `*` and `:id`
 * would be patterns.
 */
export class HttpChain implements ExchangeHome {
  readonly listener: ListenerMetrics
  readonly unrouted: RequestMetrics
  readonly logAccess: LogAccess | null
  readonly scheme: 'http' | 'https'
  readonly port: number
  readonly edge: 'outbound' | 'gateway' | null
  private readonly app: Hono<{ Bindings: Exchange }>

  constructor(options: ChainOptions) {
    this.listener = options.listener
    this.unrouted = options.unrouted
    this.logAccess = options.logAccess
    this.scheme = options.scheme
    this.port = options.port
    this.edge = options.edge
    const { choose } = options
    this.app = new Hono<{ Bindings: Exchange }>({ getPath: () => '/' })
    this.app.all('*', (context) => {
      forward(context.env, choose)
      return FORWARDED
    })
    this.app.onError((error) => {
      throw error
    })
  }

  /** Takes a request whose head has arrived. */
  accept(stream: DownstreamStream): Exchange {
    const exchange = new Exchange(this, stream)
    try {
      this.app.fetch(new LazyRequest(exchange) as unknown as Request, exchange)
    } catch (error) {
      exchange.fail(new ProxyError('internal', 'internal', { cause: error, message: String(error) }))
    }
    return exchange
  }

  /** Full lines for an answer of the proxy's own: meshed peers learn the reason, strangers never. */
  errorHeaders(exchange: Exchange, error: ProxyError): string {
    return exchange.stream.peer === null ? '' : `${REASON_FIELD}: ${error.reason}\r\n`
  }

  /** The app beside this sidecar, or a peer, reads what went wrong; a stranger at a gateway the status alone. */
  errorBody(error: ProxyError): string {
    return this.edge === 'gateway' ? `${STATUS[error.reason]}\n` : `weft: ${error.reason}: ${error.message}\n`
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
  if (protocol !== 'http') {
    const message = `${name} speaks ${protocol}; this version of the proxy carries HTTP/1.1 only`
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

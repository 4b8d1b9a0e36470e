import { Hono, type MiddlewareHandler } from 'hono'
import { internalError } from '../errors.ts'
import type { Exchange } from '../exchange.ts'
import { LazyRequest } from './lazy-request.ts'

/** What happens to a request once no filter stops it. */
export type Terminal = (exchange: Exchange) => void

/**
 * What the terminal handler returns when the exchange goes its own way: there is no Response to send. No real one,
 * because touching that class makes node load its whole fetch implementation (node-http.ts has the figures).
 */
const FORWARDED = {} as Response

/**
 * The filters of a listener as one Hono app, in the order given, and the terminal behind them. A listener without filters
 * has no app: Hono would be a sixth of what a request allocates. User paths never reach Hono's router, where `*` and `:id`
 * would be patterns.
 */
export function throughFilters(filters: readonly MiddlewareHandler[], terminal: Terminal): Terminal {
  if (filters.length === 0) return terminal
  const app = new Hono<{ Bindings: Exchange }>({ getPath: () => '/' })
  for (const filter of filters) app.use('*', filter)
  app.all('*', (context) => {
    terminal(context.env)
    return FORWARDED
  })
  app.onError((error) => {
    // Hono's own middleware refuses by an exception that carries its answer.
    if ('getResponse' in error) return error.getResponse()
    throw error
  })
  return (exchange) => void pass(app, exchange)
}

async function pass(app: Hono<{ Bindings: Exchange }>, exchange: Exchange): Promise<void> {
  try {
    const response = await app.fetch(new LazyRequest(exchange) as unknown as Request, exchange)
    if (response !== FORWARDED) await answer(exchange, response)
  } catch (error) {
    exchange.fail(internalError(error))
  }
}

/** Sends what a filter answered in place of the upstream. */
async function answer(exchange: Exchange, response: Response): Promise<void> {
  let lines = ''
  for (const [name, value] of response.headers) {
    if (name !== 'content-length' && name !== 'content-type') lines += `${name}: ${value}\r\n`
  }
  exchange.answerOwn(response.status, lines, await response.text())
}

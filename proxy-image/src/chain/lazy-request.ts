import type { Exchange } from '../exchange.ts'

/**
 * What Hono takes for a Request. Nothing of the Web API is built before a filter asks for it.
 *
 * Hono answers HEAD by running GET and building a `new Response(null, …)` from the result, which would lose ours: so HEAD
 * enters under a name of its own.
 */
export class LazyRequest {
  private readonly exchange: Exchange
  private built: Headers | null = null

  constructor(exchange: Exchange) {
    this.exchange = exchange
  }

  get method(): string {
    const { method } = this.exchange
    return method === 'HEAD' ? 'X-HEAD' : method
  }

  get url(): string {
    const { scheme, authority, target } = this.exchange
    return `${scheme}://${authority}${target}`
  }

  get headers(): Headers {
    if (this.built === null) {
      this.built = new Headers()
      const { fields } = this.exchange.head
      for (let i = 0; i < fields.count; i++) this.built.append(fields.name(i), fields.value(i))
    }
    return this.built
  }
}

import type { DownstreamStream } from '../codec/stream.ts'
import { Exchange } from '../exchange.ts'
import type { RequestTrace, SpanRecord } from '../telemetry/spans.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import { type ChainOptions, HttpChain } from './chain.ts'

/** A listener's chain where tracing is on. Without it chains are plain ones, and no request pays for its absence. */
export class TracedChain extends HttpChain {
  readonly #tracing: Tracing

  constructor(options: ChainOptions, tracing: Tracing) {
    super(options)
    this.#tracing = tracing
  }

  protected override begin(stream: DownstreamStream): Exchange {
    return new TracedExchange(this, stream, this.#tracing)
  }
}

/** An exchange that becomes spans at its end, if it is sampled. */
class TracedExchange extends Exchange implements SpanRecord {
  private readonly tracing: Tracing
  private readonly trace: RequestTrace | null

  constructor(chain: TracedChain, stream: DownstreamStream, tracing: Tracing) {
    super(chain, stream)
    this.tracing = tracing
    this.trace = tracing.begin(stream.head.fields, chain.edge === 'gateway')
  }

  get edge(): 'outbound' | 'gateway' | null {
    return this.chain.edge
  }

  get asked(): SpanRecord['asked'] {
    return this.head
  }

  override retried(reason: string, endpoint: string): void {
    if (this.trace !== null) this.tracing.retried(this.trace, this.attempts, reason, endpoint)
  }

  protected override finish(): void {
    super.finish()
    if (this.trace !== null) this.tracing.end(this.trace, this)
  }
}

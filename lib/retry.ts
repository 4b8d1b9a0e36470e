import { Duration } from 'aws-cdk-lib'

/** What a request is repeated after. */
export class RetryEvent {
  /** HTTP status 500 to 511, or no answer. */
  public static readonly SERVER_ERROR = new RetryEvent('http', 'server-error')
  /** HTTP status 502, 503 or 504, or no answer. */
  public static readonly GATEWAY_ERROR = new RetryEvent('http', 'gateway-error')
  /** HTTP status 409. */
  public static readonly CLIENT_ERROR = new RetryEvent('http', 'client-error')
  /** The peer refused the stream before it looked at the request. */
  public static readonly STREAM_ERROR = new RetryEvent('http', 'stream-error')
  /** No connection. */
  public static readonly CONNECTION_ERROR = new RetryEvent('tcp', 'connection-error')
  /** gRPC status 1, CANCELLED. */
  public static readonly GRPC_CANCELLED = new RetryEvent('grpc', 'cancelled')
  /** gRPC status 4, DEADLINE_EXCEEDED. */
  public static readonly GRPC_DEADLINE_EXCEEDED = new RetryEvent('grpc', 'deadline-exceeded')
  /** gRPC status 13, INTERNAL. */
  public static readonly GRPC_INTERNAL = new RetryEvent('grpc', 'internal')
  /** gRPC status 8, RESOURCE_EXHAUSTED. */
  public static readonly GRPC_RESOURCE_EXHAUSTED = new RetryEvent('grpc', 'resource-exhausted')
  /** gRPC status 14, UNAVAILABLE. */
  public static readonly GRPC_UNAVAILABLE = new RetryEvent('grpc', 'unavailable')

  /** `http`, `tcp` or `grpc`: in which list App Mesh has it. */
  public readonly list: string
  /** As App Mesh spells it. */
  public readonly name: string

  private constructor(list: string, name: string) {
    this.list = list
    this.name = name
  }
}

/**
 * Retries that a user asks for apply to every method, POST too: name only events after which repeating is right. Without
 * any, Weft repeats twice where nothing was processed, and idempotent methods after a 503, too.
 */
export interface RetryOptions {
  /** Beyond the first attempt, 0 to 100; a budget keeps all retries below a fifth of the load. */
  readonly maxRetries: number
  /**
   * How long one attempt may take.
   * @default - as long as the request
   */
  readonly perRetryTimeout?: Duration
  /** @default - GATEWAY_ERROR, STREAM_ERROR, CONNECTION_ERROR; with gRPC GRPC_UNAVAILABLE in place of the first */
  readonly on?: RetryEvent[]
}

/** App Mesh's retry policy. */
export function renderRetry({ maxRetries, perRetryTimeout, on }: RetryOptions, isGrpc: boolean) {
  const first = isGrpc ? RetryEvent.GRPC_UNAVAILABLE : RetryEvent.GATEWAY_ERROR
  const events = on ?? [first, RetryEvent.STREAM_ERROR, RetryEvent.CONNECTION_ERROR]
  const listed = (list: string) => events.filter((event) => event.list === list).map(({ name }) => name)
  const [http, tcp, grpc] = [listed('http'), listed('tcp'), listed('grpc')]
  return {
    maxRetries,
    perRetryTimeout: renderDuration(perRetryTimeout ?? Duration.millis(0)),
    ...(http.length === 0 ? {} : { httpRetryEvents: http }),
    ...(tcp.length === 0 ? {} : { tcpRetryEvents: tcp }),
    ...(grpc.length === 0 ? {} : { grpcRetryEvents: grpc }),
  }
}

/** App Mesh's Duration. */
export function renderDuration(duration: Duration) {
  return { unit: 'ms', value: duration.toMilliseconds() }
}

import { type Duration, durationMs } from '../model/resource/duration.ts'
import type { GrpcRoute, HttpRoute } from '../model/resource/route.ts'
import type { Origin, RetryPolicy } from '../model/snapshot.ts'

type Policy = NonNullable<HttpRoute['retryPolicy'] | GrpcRoute['retryPolicy']>
type On = RetryPolicy['on'][number]

/** App Mesh API, HttpRetryPolicy: what each event stands for. */
const HTTP_EVENTS = {
  'server-error': ['5xx', 'reset'],
  'gateway-error': ['gateway-error', 'reset'],
  'client-error': ['409'],
  'stream-error': ['refused-stream'],
} as const

/** The user's retry policy, for any method since the user asked for it; undefined when there is none. */
export function retryOf(policy: Policy | undefined, origin: Origin): RetryPolicy | undefined {
  if (policy === undefined) return undefined
  const http = (policy.httpRetryEvents ?? []).flatMap((event): readonly On[] => HTTP_EVENTS[event])
  const tcp = (policy.tcpRetryEvents ?? []).map((): On => 'connect-failure')
  const grpc = 'grpcRetryEvents' in policy ? (policy.grpcRetryEvents ?? []).map((event): On => `grpc-${event}`) : []
  return {
    maxRetries: policy.maxRetries,
    perTryTimeoutMs: durationMs(policy.perRetryTimeout satisfies Duration),
    on: [...new Set([...http, ...tcp, ...grpc])],
    methods: 'any',
    origin,
  }
}

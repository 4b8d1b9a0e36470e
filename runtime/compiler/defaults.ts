import type { Cluster, Origin, OutlierDetection, RetryPolicy, Timeouts } from '../model/snapshot.ts'

/** Every value that the compiler fills in where the user gave none. Each says so by its origin. */

function byDefault(name: string): Origin {
  return { kind: 'default', name }
}

/** App Mesh user guide, Virtual node listeners: 15 s a request, 300 s idle. */
export const REQUEST_TIMEOUTS: Timeouts = { requestMs: 15_000, idleMs: 300_000, origin: byDefault('timeout') }

/** A TCP connection has no request to time out. */
export const TCP_TIMEOUTS: Timeouts = { requestMs: 0, idleMs: 300_000, origin: byDefault('timeout') }

/** A gateway's listener leaves the time of a request to the route that it ends up with. */
export const GATEWAY_TIMEOUTS: Timeouts = { requestMs: 0, idleMs: 300_000, origin: byDefault('timeout') }

/**
 * App Mesh's hidden default route retry policy, https://docs.aws.amazon.com/app-mesh/latest/userguide/envoy-defaults.html
 * (2 retries on 503, connect failure and refused stream), and `reset`. Unlike App Mesh's, it repeats only idempotent
 * methods once something was processed; `connect-failure` and `refused-stream` are safe for every method.
 */
export const HTTP_RETRY: RetryPolicy = {
  maxRetries: 2,
  perTryTimeoutMs: 0,
  on: ['connect-failure', 'refused-stream', 'reset', '503'],
  methods: 'idempotent',
  origin: byDefault('retry'),
}

/**
 * The same page's default for gRPC: also on UNAVAILABLE. Every gRPC request is a POST, so that a policy for idempotent
 * methods would do nothing; in exchange nothing is repeated that may have been processed unnoticed (`reset`).
 */
export const GRPC_RETRY: RetryPolicy = {
  ...HTTP_RETRY,
  on: ['connect-failure', 'refused-stream', 'grpc-unavailable'],
  methods: 'any',
}

/** Weft's own: App Mesh had none, and kept sending to a broken instance until its health check noticed. */
export const OUTLIER_DETECTION: OutlierDetection = {
  maxServerErrors: 5,
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionPercent: 50,
  origin: byDefault('outlier-detection'),
}

/** A network that does not answer a SYN for this long inside of one VPC is broken; another endpoint is the better try. */
export const CONNECT_TIMEOUT_MS = 1000

/** Retries stay under a fifth of the load, so that they never multiply an overload (the defaults of Finagle and linkerd). */
export const RETRY_BUDGET: Cluster['retryBudget'] = { percent: 20, minRetriesPerSecond: 10 }

export const NO_LIMITS: Cluster['limits'] = { maxConnections: null, maxPendingRequests: null, maxRequests: null }

/** App Mesh user guide, Meshes: DROP_ALL still lets AWS services through. */
export const EGRESS = { kind: 'suffixes', suffixes: ['.amazonaws.com'], origin: byDefault('egress-filter') } as const

/** Envoy's default format, which App Mesh used when the user gave none. */
export const ACCESS_LOG_TEMPLATE =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'

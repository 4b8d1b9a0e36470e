/**
 * How long a client waits for AWS while somebody waits for us: the SDK's own clients wait for ever for a connection or an
 * answer that does not come. About 6 s in all, for a sidecar gives up after 10 s and the data plane's function ends after 15 s.
 */
export const AWS_PATIENCE = {
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true },
} as const

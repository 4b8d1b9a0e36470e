import type { Socket } from 'node:net'
import type { HealthCheck } from '../../../runtime/model/snapshot.ts'
import type { UpstreamEndpoint } from './endpoint.ts'

export interface HealthCheckerOptions<E extends UpstreamEndpoint> {
  readonly policy: HealthCheck
  /** Host header of http checks: the cluster's name. */
  readonly host: string
  /** Opens a ready (for TLS: handshaken) connection; `port` is the policy's, null for the endpoint's own. Gives up on `signal`. */
  readonly connect: (endpoint: E, port: number | null, signal: AbortSignal) => Promise<Socket>
  /** Told after `endpoint.healthy` changed. */
  readonly onChange?: (endpoint: E) => void
}

/** Active health of one cluster's endpoints; writes `endpoint.healthy`. */
export class HealthChecker<E extends UpstreamEndpoint = UpstreamEndpoint> {
  constructor(options: HealthCheckerOptions<E>) {
    throw new Error(`not yet: ${options.host}`)
  }
  start(_endpoints: readonly E[]): void {}
  update(_endpoints: readonly E[]): void {}
  stop(): void {}
}

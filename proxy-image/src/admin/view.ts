import type { EndpointSet } from '../../../runtime/model/endpoints.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { Snapshot } from '../../../runtime/model/snapshot.ts'
import type { LogLevel } from '../log.ts'

/** One endpoint of a cluster as the balancer sees it now. */
export interface EndpointView {
  /** `address:port` that is dialled. */
  readonly address: string
  readonly health: 'healthy' | 'unhealthy' | 'ejected' | 'draining'
  readonly activeRequests: number
  readonly activeConnections: number
  readonly requests: number
  readonly failures: number
}

/** One cluster as it is now. */
export interface ClusterView {
  readonly name: string
  readonly activeRequests: number
  readonly pendingRequests: number
  readonly endpoints: readonly EndpointView[]
}

/** A certificate in use. Holds nothing secret. */
export interface CertificateView {
  /** Where it comes from: `mesh` or a file path. */
  readonly source: string
  readonly subject: string
  /** URI SANs, the SPIFFE ID among them. */
  readonly uris: readonly string[]
  readonly serialNumber: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** What the admin pages show and do; the proxy implements it. Functions are called at each request, never cached. */
export interface AdminView {
  readonly version: string
  readonly subject: Subject
  readonly startedAtMs: number
  state(): 'INITIALIZING' | 'LIVE' | 'DRAINING'
  /** Why the proxy is not ready, one sentence each; empty when it is. */
  notReady(): readonly string[]
  /** Prometheus text. */
  metrics(): string
  snapshot(): Snapshot | null
  endpoints(): readonly EndpointSet[]
  clusters(): readonly ClusterView[]
  certificates(): readonly CertificateView[]
  /** Stops accepting and closes connections as they become idle; does not end the process. */
  drainListeners(): void
  /** Makes /ready and health checks of load balancers fail (or not): what is in flight goes on. */
  failHealthcheck(fail: boolean): void
  logLevel(): LogLevel
  setLogLevel(level: LogLevel): void
}

import type { Endpoint } from '../../../runtime/model/endpoints.ts'

/**
 * One dialable instance as this proxy sees it: what the mesh says of it, and what this proxy learnt by using it.
 * `P` is the connection pool that its cluster hangs on it. The fields are plain and mutable because the hot path
 * reads and writes them on each request; each has one writer, named below.
 */
export class UpstreamEndpoint<P = unknown> {
  readonly id: string
  /** IPv4 or IPv6 literal. */
  readonly address: string
  /** The app's own port; not dialled when there is a sidecar. */
  readonly port: number
  /** Written by the cluster when the mesh reports a change. */
  sidecar: Endpoint['sidecar']
  /** Takes no new request while another endpoint can. Written by the cluster. */
  draining: boolean
  /** Requests in flight, begun, and failed without an answer. Written by the attempts. */
  active = 0
  requests = 0
  failures = 0
  /** False after failed active health checks. A new endpoint counts as healthy. Written by the health checker. */
  healthy = true
  /** Epoch milliseconds until which it is ejected; 0 when it never was. Written by the outlier detector. */
  ejectedUntilMs = 0
  /** Multiplier of the next ejection; fades while the endpoint behaves. Written by the outlier detector. */
  ejections = 0
  /** Failures since the last success. Written by the outlier detector. */
  consecutiveErrors = 0
  /** Written by the cluster. */
  pool: P | undefined = undefined

  constructor(endpoint: Endpoint) {
    this.id = endpoint.id
    this.address = endpoint.address
    this.port = endpoint.port
    this.sidecar = endpoint.sidecar
    this.draining = endpoint.state === 'draining'
  }

  /** Whether the balancer may choose it without going into panic. */
  available(nowMs: number): boolean {
    return this.healthy && !this.draining && this.ejectedUntilMs <= nowMs
  }
}

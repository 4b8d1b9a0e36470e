import type { Duplex } from 'node:stream'
import type { Endpoint, EndpointSet } from '../../../runtime/model/endpoints.ts'
import type { Cluster } from '../../../runtime/model/snapshot.ts'
import type { Log } from '../log.ts'
import { EndStream } from '../tcp/end-stream.ts'
import { reach } from '../tcp/reach.ts'
import { type BreakReason, ConnectionBreaks } from '../telemetry/connection-breaks.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { ClusterMetrics } from '../telemetry/request-metrics.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { pick } from './balancer.ts'
import { type DialResult, dial } from './connect.ts'
import { planDial } from './dial-plan.ts'
import { DnsResolver } from './dns.ts'
import { UpstreamEndpoint } from './endpoint.ts'
import { HealthChecker } from './health.ts'
import { Http2Pool, type Http2PoolOwner } from './http2-pool.ts'
import { OutlierDetector } from './outlier.ts'
import { type EndpointPool, Http1Pool, type PoolOwner, type StreamWaiter } from './pool.ts'
import { RetryBudget } from './retry-budget.ts'

export type PooledEndpoint = UpstreamEndpoint<EndpointPool>

/** What every cluster of a proxy shares. */
export interface ClusterContext {
  readonly identity: WorkloadIdentity
  readonly metrics: Metrics
  readonly log: Log
  /** Where a port of the app really is on this host (WEFT_PORTS). */
  readonly actualPort: (designed: number) => number
}

/** Addresses of egress that are remembered with their connections; the oldest goes first. */
const MAX_PASSTHROUGH = 256

/** One upstream cluster at work: its endpoints, their connections, and what was learnt about them. */
export class UpstreamCluster implements PoolOwner, Http2PoolOwner {
  readonly spec: Cluster
  readonly budget: RetryBudget
  readonly metrics: ClusterMetrics
  readonly outlier: OutlierDetector | null
  endpoints: PooledEndpoint[] = []
  /** Pools of endpoints that went, over which something is still under way. */
  private readonly retired = new Set<EndpointPool>()
  /** Requests in flight. */
  active = 0
  private readonly context: ClusterContext
  private readonly health: HealthChecker<PooledEndpoint> | null
  private readonly resolver: DnsResolver | null
  private readonly waiting: { pool: Http1Pool; waiter: StreamWaiter }[] = []
  private readonly breaks: ConnectionBreaks
  private connections = 0
  /** The two inputs of a DNS cluster, joined by address. */
  private reported: readonly Endpoint[] = []
  private addresses: readonly string[] = []

  constructor(spec: Cluster, context: ClusterContext) {
    this.spec = spec
    this.context = context
    this.budget = new RetryBudget(spec.retryBudget)
    this.metrics = new ClusterMetrics(context.metrics, spec.name)
    this.breaks = ConnectionBreaks.ofCluster(context.metrics, context.log, spec.name)
    this.outlier =
      spec.outlierDetection === null ? null : new OutlierDetector(spec.outlierDetection, () => this.endpoints)
    this.health =
      spec.healthCheck === null
        ? null
        : new HealthChecker<PooledEndpoint>({
            policy: spec.healthCheck,
            host: spec.origin.name,
            connect: (endpoint, port, signal) => this.connectForCheck(endpoint, port, signal),
          })
    this.resolver = spec.discovery.kind === 'dns' ? new DnsResolver(spec.discovery.hostname) : null
    this.resolver?.subscribe((addresses) => {
      this.addresses = addresses
      this.join()
    })
    if (spec.discovery.kind === 'local') {
      this.replace([
        { id: 'app', address: '127.0.0.1', port: context.actualPort(spec.port), sidecar: null, state: 'ready' },
      ])
    }
    this.exportGauges()
  }

  get connectTimeoutMs(): number {
    return this.spec.connectTimeoutMs
  }

  /** The node whose EndpointSet this cluster wants, or null. */
  get node(): string | null {
    const { discovery } = this.spec
    return discovery.kind === 'endpoints' || discovery.kind === 'dns' ? discovery.node : null
  }

  get connectionsOpen(): number {
    return this.connections
  }

  get pending(): number {
    return this.waiting.length
  }

  // ---- endpoints --------------------------------------------------------------------------------------------------

  /** Takes the instances that the mesh reports. */
  update(set: EndpointSet): void {
    this.reported = set.endpoints
    if (this.spec.discovery.kind === 'dns') this.join()
    else this.replace(set.endpoints)
  }

  private join(): void {
    const { discovery, port } = this.spec
    if (discovery.kind !== 'dns') return
    const addresses = discovery.response === 'logical' ? this.addresses.slice(0, 1) : this.addresses
    this.replace(
      addresses.map((address) => {
        const known = this.reported.find((endpoint) => endpoint.address === address)
        return known ?? { id: address, address, port, sidecar: null, state: 'ready' as const }
      }),
    )
  }

  /** Unchanged endpoints keep their connections, health and load; those that went end their exchanges in peace. */
  private replace(endpoints: readonly Endpoint[]): void {
    const former = new Map(this.endpoints.map((endpoint) => [endpoint.id, endpoint]))
    this.endpoints = endpoints.map((endpoint) => {
      const kept = former.get(endpoint.id)
      if (kept === undefined || !sameAddress(kept, endpoint)) return this.createEndpoint(endpoint)
      former.delete(endpoint.id)
      kept.draining = endpoint.state === 'draining'
      kept.sidecar = endpoint.sidecar
      return kept
    })
    for (const { pool } of former.values()) this.retire(pool!)
    this.health?.update(this.endpoints)
  }

  private createEndpoint(endpoint: Endpoint): PooledEndpoint {
    const created: PooledEndpoint = new UpstreamEndpoint<EndpointPool>(endpoint)
    const http2 = this.speaksHttp2(created)
    const plan = planDial(this.spec, created, this.context.identity, http2 ? 'h2' : 'http/1.1')
    const address = `${created.address}:${created.sidecar?.port ?? created.port}`
    created.pool = http2
      ? new Http2Pool(plan, address, this, this.spec.protocol === 'tcp')
      : new Http1Pool(plan, address, this, created.sidecar !== null)
    return created
  }

  /** Between sidecars everything travels on HTTP/2, where both can; to an app goes what it said it speaks. */
  private speaksHttp2({ sidecar }: Pick<Endpoint, 'sidecar'>): boolean {
    const { protocol, tls } = this.spec
    if (sidecar !== null && tls.mesh !== null) return protocol === 'tcp' || sidecar.protocols.includes('h2')
    return protocol === 'http2' || protocol === 'grpc'
  }

  /** What is under way at it ends in peace, and is looked after until then. */
  private retire(pool: EndpointPool): void {
    pool.retire()
    this.retired.add(pool)
  }

  /** The endpoint of an egress address, remembered for its connections. */
  passthrough(host: string, port: number): PooledEndpoint {
    const id = `${host}:${port}`
    const known = this.endpoints.find((endpoint) => endpoint.id === id)
    if (known !== undefined) return known
    const created = this.createEndpoint({ id, address: host, port, sidecar: null, state: 'ready' })
    this.endpoints.push(created)
    if (this.endpoints.length > MAX_PASSTHROUGH) this.retire(this.endpoints.shift()!.pool!)
    return created
  }

  /** Chooses an endpoint; undefined when there is none at all. */
  pick(tried: readonly PooledEndpoint[] | null): PooledEndpoint | undefined {
    const { endpoints } = this
    return endpoints.length < 2 ? endpoints[0] : pick(endpoints, Date.now(), tried)
  }

  /** A connection of its own for an active check. Behind a sidecar there is one way in, whatever port the policy names. */
  private connectForCheck(endpoint: PooledEndpoint, port: number | null, signal: AbortSignal): Promise<Duplex> {
    const { connectTimeoutMs, healthCheck, protocol } = this.spec
    const alpn = healthCheck?.protocol === 'http2' || healthCheck?.protocol === 'grpc' ? 'h2' : 'http/1.1'
    return new Promise((resolve, reject) => {
      const start = (): (() => void) => {
        if (protocol === 'tcp' && endpoint.pool instanceof Http2Pool) {
          return reach(endpoint.pool, connectTimeoutMs, (result) => {
            if (result instanceof Error) reject(result)
            else resolve(new EndStream(result.end))
          })
        }
        const plan = planDial(this.spec, endpoint, this.context.identity, alpn)
        const target = port === null || plan.kind === 'refused' || endpoint.sidecar !== null ? plan : { ...plan, port }
        const done = (result: DialResult): void => (result instanceof Error ? reject(result) : resolve(result.socket))
        return dial(target, connectTimeoutMs, done, null)
      }
      const cancel = start()
      signal.addEventListener('abort', () => {
        cancel()
        reject(signal.reason)
      })
    })
  }

  // ---- limits -----------------------------------------------------------------------------------------------------

  openConnection(): boolean {
    const { maxConnections } = this.spec.limits
    if (maxConnections !== null && this.connections >= maxConnections) {
      // An idle connection to another endpoint must not keep a request from this one.
      this.endpoints.some(({ pool }) => pool instanceof Http1Pool && pool.closeIdle())
      if (this.connections >= maxConnections) return false
    }
    this.connections++
    return true
  }

  connectionClosed(): void {
    this.connections--
    // The free place goes to the one who waited longest.
    const next = this.waiting.shift()
    if (next !== undefined && this.openConnection()) next.pool.dial(next.waiter)
  }

  /** Of TCP each connection is counted for itself, by whoever opens it, and not what carries it. */
  connectionOpened(): void {
    if (this.spec.protocol !== 'tcp') this.connections++
  }

  connectionEnded(): void {
    if (this.spec.protocol !== 'tcp') this.connections--
  }

  connectionBroken(address: string, reason: BreakReason, detail: string): void {
    this.breaks.add(reason, detail, { remote: address, peer: null })
  }

  enqueue(pool: Http1Pool, waiter: StreamWaiter): boolean {
    const { maxPendingRequests } = this.spec.limits
    if (maxPendingRequests !== null && this.waiting.length >= maxPendingRequests) return false
    this.waiting.push({ pool, waiter })
    return true
  }

  dequeue(pool: Http1Pool): StreamWaiter | undefined {
    const at = this.waiting.findIndex((one) => one.pool === pool)
    return at < 0 ? undefined : this.waiting.splice(at, 1)[0]!.waiter
  }

  /** Takes a waiter out of the queue, if it is there. */
  forget(waiter: StreamWaiter): void {
    const at = this.waiting.findIndex((one) => one.waiter === waiter)
    if (at >= 0) this.waiting.splice(at, 1)
  }

  // ---- life -------------------------------------------------------------------------------------------------------

  /** Housekeeping; call about once a second. */
  sweep(now: number): void {
    for (const { pool } of this.endpoints) pool!.sweep(now)
    for (const pool of this.retired) {
      pool.sweep(now)
      if (pool.quiet) this.retired.delete(pool)
    }
  }

  /** No connection is left. */
  get quiet(): boolean {
    return this.retired.size === 0 && this.endpoints.every(({ pool }) => pool!.quiet)
  }

  /** Exchanges under way end in peace; until it is quiet they need {@link sweep}. */
  close(): void {
    this.health?.stop()
    this.resolver?.close()
    for (const { pool } of this.endpoints) pool!.retire()
  }

  private exportGauges(): void {
    const { metrics } = this.context
    const { outlier } = this
    const cluster = this.spec.name
    if (outlier !== null) {
      metrics.counterFrom('weft_outlier_ejections_total', { cluster }, () => outlier.stats.ejections)
    }
    const count = (state: (endpoint: PooledEndpoint) => boolean) => () => this.endpoints.filter(state).length
    metrics.gauge('weft_upstream_connections', { cluster, state: 'idle' }, () => this.idleConnections())
    metrics.gauge(
      'weft_upstream_connections',
      { cluster, state: 'active' },
      () => this.connections - this.idleConnections(),
    )
    metrics.gauge('weft_upstream_pending', { cluster }, () => this.waiting.length)
    metrics.gauge(
      'weft_endpoints',
      { cluster, state: 'available' },
      count((one) => one.available(Date.now())),
    )
    metrics.gauge(
      'weft_endpoints',
      { cluster, state: 'unavailable' },
      count((one) => !one.available(Date.now())),
    )
  }

  private idleConnections(): number {
    if (this.spec.protocol === 'tcp') return 0
    return this.endpoints.reduce((sum, endpoint) => sum + (endpoint.pool?.idleCount ?? 0), 0)
  }
}

function sameAddress(a: PooledEndpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port && a.sidecar?.port === b.sidecar?.port
}

import type { Socket } from 'node:net'
import type { EndpointSet } from '../../runtime/model/endpoints.ts'
import type { GatewayListener, InboundListener, InboundPort, Listener, Snapshot } from '../../runtime/model/snapshot.ts'
import { authorizer } from './chain/authorize.ts'
import { type Chooser, HttpChain } from './chain/chain.ts'
import { egressTo } from './chain/egress.ts'
import { gatewayChooser } from './chain/gateway.ts'
import { inboundChooser } from './chain/inbound.ts'
import { outboundChooser, vipChooser } from './chain/outbound.ts'
import { CompiledTable } from './chain/tables.ts'
import { TracedChain } from './chain/traced.ts'
import { actualPort, type ProxyEnvironment } from './env.ts'
import { Arrivals, MESH_PORT, type Passthrough } from './listen/arrivals.ts'
import { type Door, HttpDoor } from './listen/door.ts'
import { inboundLabel, listenerLabel, passthroughLabel } from './listen/label.ts'
import { Ports, type WantedPort } from './listen/ports.ts'
import type { Log } from './log.ts'
import { TcpDoor, type TcpWay } from './tcp/door.ts'
import { tcpInboundRoutes, tcpPassthroughRoutes, tcpServiceRoutes } from './tcp/plans.ts'
import type { AccessLogs, LogAccess } from './telemetry/access-log.ts'
import { ConnectionBreaks } from './telemetry/connection-breaks.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { ListenerMetrics, RequestMetrics } from './telemetry/request-metrics.ts'
import { seriesOf } from './telemetry/series.ts'
import type { Tracing } from './telemetry/tracing.ts'
import type { WorkloadIdentity } from './tls/identity.ts'
import type { TerminatingServer, TerminatingSource } from './tls/terminating.ts'
import { UpstreamCluster } from './upstream/cluster.ts'

export interface ServingOptions {
  readonly environment: ProxyEnvironment
  readonly identity: WorkloadIdentity
  readonly metrics: Metrics
  readonly accessLogs: AccessLogs
  /** Null: no request is traced, and none pays for it. */
  readonly tracing: Tracing | null
  readonly log: Log
}

/** Series of routes and clusters that a snapshot took away are kept for one more scrape or two. */
const PRUNE_AFTER_MS = 120_000

/** A door, and the rule by which it lets in: who came in by another rule does not stay. */
interface Entrance {
  readonly door: HttpDoor | TcpDoor
  readonly rule: string
  /** Puts in force what stands behind it. */
  readonly open: () => void
}

/** What a snapshot is turned into before it is put in force: nothing of it is visible until `commit`. */
class Draft {
  readonly clusters = new Map<string, UpstreamCluster>()
  readonly ports: WantedPort[] = []
  readonly doors = new Map<string, Entrance>()
  readonly bySni = new Map<string, HttpDoor | TcpDoor>()
  readonly terminations = new Map<string, TerminatingServer>()
}

/** The data plane at work: the snapshot in force, and everything that outlives snapshots. */
export class Serving {
  readonly ports = new Ports()
  snapshot: Snapshot | null = null
  clusters: ReadonlyMap<string, UpstreamCluster> = new Map()
  /** Doors and clusters of former snapshots, through which something is still under way. */
  private readonly leavingDoors = new Set<Door>()
  private readonly leavingClusters = new Set<UpstreamCluster>()
  draining = false
  private readonly options: ServingOptions
  private readonly endpoints = new Map<string, EndpointSet>()
  private doors: ReadonlyMap<string, Entrance> = new Map()
  private bySni: ReadonlyMap<string, HttpDoor | TcpDoor> = new Map()
  private terminations: ReadonlyMap<string, TerminatingServer> = new Map()
  private readonly arrivals: Arrivals
  private readonly sweeper: NodeJS.Timeout

  constructor(options: ServingOptions) {
    this.options = options
    const { identity, metrics, log } = options
    this.arrivals = new Arrivals({ identity, metrics, log, bySni: (name) => this.bySni.get(name) })
    this.sweeper = setInterval(() => this.sweep(performance.now()), 1_000)
    this.sweeper.unref()
  }

  /** Puts a snapshot in force, whole or not at all. Exchanges under way keep what they began with. */
  async apply(snapshot: Snapshot): Promise<void> {
    const draft = new Draft()
    try {
      this.draftClusters(snapshot, draft)
      const logAccess = this.options.accessLogs.compile(snapshot.accessLogs)
      for (const listener of snapshot.listeners) this.draftListener(snapshot, listener, logAccess, draft)
      await this.ports.apply(draft.ports)
    } catch (error) {
      for (const cluster of draft.clusters.values()) if (!this.owns(cluster)) cluster.close()
      for (const [key, one] of draft.terminations) if (this.terminations.get(key) !== one) one.close()
      throw error
    }
    this.commit(snapshot, draft)
  }

  private commit(snapshot: Snapshot, draft: Draft): void {
    for (const entrance of draft.doors.values()) entrance.open()
    for (const [id, { door }] of this.doors) {
      const next = draft.doors.get(id)?.door
      if (next === door) continue
      if (next === undefined) door.drain()
      else door.oust()
      this.leavingDoors.add(door)
    }
    for (const cluster of this.clusters.values()) {
      if (draft.clusters.get(cluster.spec.name) === cluster) continue
      cluster.close()
      this.leavingClusters.add(cluster)
    }
    for (const [key, one] of this.terminations) if (draft.terminations.get(key) !== one) one.close()
    this.clusters = draft.clusters
    this.doors = draft.doors
    this.bySni = draft.bySni
    this.terminations = draft.terminations
    this.snapshot = snapshot
    const { metrics } = this.options
    metrics.prune((name, labels) => name !== 'weft_snapshot_info' || labels.revision === snapshot.revision)
    metrics.gauge('weft_snapshot_info', { revision: snapshot.revision }, () => 1)
    setTimeout(() => {
      if (this.snapshot === snapshot) metrics.prune(seriesOf(snapshot, new Set([...draft.doors.keys(), MESH_PORT])))
    }, PRUNE_AFTER_MS).unref()
  }

  updateEndpoints(set: EndpointSet): void {
    this.endpoints.set(set.node, set)
    for (const cluster of this.clusters.values()) if (cluster.node === set.node) cluster.update(set)
  }

  get endpointSets(): readonly EndpointSet[] {
    return [...this.endpoints.values()]
  }

  // ---- drafting ---------------------------------------------------------------------------------------------------

  private owns(cluster: UpstreamCluster): boolean {
    return this.clusters.get(cluster.spec.name) === cluster
  }

  /** A cluster whose definition did not change is kept with its connections, health and load. */
  private draftClusters(snapshot: Snapshot, draft: Draft): void {
    const { identity, metrics, log, environment } = this.options
    for (const spec of snapshot.clusters) {
      const former = this.clusters.get(spec.name)
      if (former !== undefined && JSON.stringify(former.spec) === JSON.stringify(spec)) {
        draft.clusters.set(spec.name, former)
        continue
      }
      const cluster = new UpstreamCluster(spec, {
        identity,
        metrics,
        log,
        actualPort: (designed) => actualPort(environment, designed),
      })
      const known = cluster.node === null ? undefined : this.endpoints.get(cluster.node)
      if (known !== undefined) cluster.update(known)
      draft.clusters.set(spec.name, cluster)
    }
  }

  private draftListener(snapshot: Snapshot, listener: Listener, logAccess: LogAccess | null, draft: Draft): void {
    const { environment, metrics } = this.options
    const label = listenerLabel(listener)
    const table = (name: string): CompiledTable =>
      new CompiledTable(snapshot.tables.find((one) => one.name === name)!, label, draft.clusters, metrics)
    const http2Only = listener.kind === 'gateway' && listener.protocol !== 'http'
    const door = (chooser: Chooser, edge: 'outbound' | 'gateway', scheme: 'http' | 'https', rule = ''): HttpDoor =>
      this.draftDoor(draft, label, { logAccess, chooser, edge, scheme, port: listener.port, rule, http2Only })
    const bind = {
      host: environment.bindAddress,
      designed: listener.port,
      port: actualPort(environment, listener.port),
      name: label,
    }
    switch (listener.kind) {
      case 'inbound': {
        for (const port of listener.ports) this.draftInboundPort(port, listener.authorization, logAccess, draft)
        if (listener.ports.length === 0) return
        draft.ports.push({ ...bind, accept: (socket) => this.arrivals.fromPeer(socket) })
        return
      }
      case 'outbound': {
        const tables = new Map(listener.hosts.map((host) => [host.table, table(host.table)]))
        const passthrough = [...draft.clusters.values()].find(({ spec }) => spec.discovery.kind === 'passthrough')!
        const egress = egressTo(passthrough, listener.egress.origin, label, metrics)
        const out = door(outboundChooser(listener, tables, egress), 'outbound', 'http')
        // For the app alone: never on an address that others reach.
        draft.ports.push({ ...bind, host: '127.0.0.1', accept: (socket) => out.take(socket, null) })
        return
      }
      case 'vip': {
        if (!environment.vips) return
        if (listener.protocol === 'tcp') {
          const own = snapshot.tables.find((one) => one.name === listener.table)!
          const routes = tcpServiceRoutes(own, listener.port, { listener: label, clusters: draft.clusters, metrics })
          const out = this.draftTcpDoor(draft, label, { routes, authorize: null, policy: '', logAccess }, '')
          draft.ports.push({ ...bind, host: listener.address, accept: (socket) => out.take(socket, null) })
          return
        }
        const out = door(vipChooser(listener, new Map([[listener.table, table(listener.table)]])), 'outbound', 'http')
        draft.ports.push({ ...bind, host: listener.address, accept: (socket) => out.take(socket, null) })
        return
      }
      case 'gateway': {
        if (this.unsupported(listener.protocol, label)) return
        const own = snapshot.tables.find((one) => one.name === listener.table)!
        const names = own.routes.flatMap(({ action }) => (action.kind === 'delegate' ? [action.table] : []))
        const tables = new Map([listener.table, ...names].map((name) => [name, table(name)]))
        const { mode } = listener.tls
        const scheme = mode === 'disabled' ? 'http' : 'https'
        const into = door(gatewayChooser(listener, tables), 'gateway', scheme, ruleOf(mode, listener.tls))
        const passthrough = this.draftPassthrough(snapshot, listener, logAccess, draft)
        draft.ports.push({ ...bind, accept: this.acceptStrangers(draft, label, into, mode, listener.tls, passthrough) })
      }
    }
  }

  private draftPassthrough(
    { tables }: Snapshot,
    listener: GatewayListener,
    logAccess: LogAccess | null,
    draft: Draft,
  ): Passthrough | null {
    if (listener.passthrough.length === 0) return null
    const label = passthroughLabel(listener)
    const context = { listener: label, clusters: draft.clusters, metrics: this.options.metrics }
    const routes = tcpPassthroughRoutes(listener.passthrough, tables, context)
    const door = this.draftTcpDoor(draft, label, { routes, authorize: null, policy: '', logAccess }, '')
    return { door, takes: routes.takes }
  }

  private draftInboundPort(
    port: InboundPort,
    authorization: InboundListener['authorization'],
    logAccess: LogAccess | null,
    draft: Draft,
  ): void {
    const { environment, metrics } = this.options
    const label = inboundLabel(port)
    const authorize = authorization && authorizer(authorization, label, metrics)
    const rule = port.published === null ? '' : ruleOf(port.published.tls, port.published)
    let into: HttpDoor | TcpDoor
    if (port.protocol === 'tcp') {
      const routes = tcpInboundRoutes(port, { listener: label, clusters: draft.clusters, metrics })
      const policy = JSON.stringify(authorization)
      into = this.draftTcpDoor(draft, label, { routes, authorize, policy, logAccess }, rule)
    } else {
      const chooser = inboundChooser(port, draft.clusters.get(port.cluster)!, label, metrics, authorize)
      into = this.draftDoor(draft, label, { logAccess, chooser, edge: null, scheme: 'http', port: port.port, rule })
    }
    draft.bySni.set(port.sni, into)
    if (port.published === null) return
    const { tls } = port.published
    draft.ports.push({
      host: environment.bindAddress,
      designed: port.published.port,
      port: actualPort(environment, port.published.port),
      name: `${label} (${tls})`,
      accept: this.acceptStrangers(draft, label, into, tls, port.published),
    })
  }

  private draftDoor(
    draft: Draft,
    label: string,
    options: {
      logAccess: LogAccess | null
      chooser: Chooser
      edge: 'outbound' | 'gateway' | null
      scheme: 'http' | 'https'
      port: number
      rule: string
      http2Only?: boolean
    },
  ): HttpDoor {
    const { metrics, tracing, log } = this.options
    const chainOptions = {
      listener: new ListenerMetrics(metrics, label),
      unrouted: new RequestMetrics(metrics, { listener: label, route: '', cluster: '' }),
      logAccess: options.logAccess,
      scheme: options.scheme,
      port: options.port,
      edge: options.edge,
      // Policies bring the first ones.
      filters: [],
      choose: options.chooser,
    }
    const chain = tracing === null ? new HttpChain(chainOptions) : new TracedChain(chainOptions, tracing)
    const { rule } = options
    const former = this.former(label, rule)
    const door =
      former instanceof HttpDoor ? former : new HttpDoor(chain, ConnectionBreaks.ofListener(metrics, log, label))
    const open = (): void => {
      door.chain = chain
      door.http2Only = options.http2Only === true
    }
    draft.doors.set(label, { door, rule, open })
    metrics.gauge('weft_downstream_connections', { listener: label }, () => door.open)
    return door
  }

  private draftTcpDoor(draft: Draft, label: string, way: TcpWay, rule: string): TcpDoor {
    const { metrics, log } = this.options
    const former = this.former(label, rule)
    const door =
      former instanceof TcpDoor
        ? former
        : new TcpDoor(way, metrics, ConnectionBreaks.ofListener(metrics, log, label), label)
    draft.doors.set(label, { door, rule, open: () => door.swap(way) })
    metrics.gauge('weft_downstream_connections', { listener: label }, () => door.open)
    return door
  }

  /** The door that a listener has, if it lets in by the same rule. */
  private former(label: string, rule: string): HttpDoor | TcpDoor | undefined {
    const former = this.doors.get(label)
    return former?.rule === rule ? former.door : undefined
  }

  /** For clients without an identity in the mesh: TLS, plaintext, or whichever the first byte shows. */
  private acceptStrangers(
    draft: Draft,
    label: string,
    door: HttpDoor | TcpDoor,
    mode: 'strict' | 'permissive' | 'disabled',
    source: TerminatingSource,
    passthrough: Passthrough | null = null,
  ): (socket: Socket) => void {
    if (mode === 'disabled') return this.arrivals.fromStranger(door, mode, null)
    // A new rule comes with a new door, which needs a server of its own.
    const key = `${label} ${ruleOf(mode, source)} ${JSON.stringify([source.certificate, source.certificates])}`
    const termination = this.terminations.get(key) ?? this.arrivals.terminate(door, source, label)
    draft.terminations.set(key, termination)
    if (passthrough !== null) {
      return this.arrivals.fromClientOfGateway(door as HttpDoor, mode, termination, passthrough, label)
    }
    return this.arrivals.fromStranger(door, mode, termination)
  }

  private unsupported(protocol: string, label: string): boolean {
    if (protocol !== 'tcp') return false
    this.options.log.warning('this version of the proxy does not speak the protocol of a listener; it is not served', {
      listener: label,
      protocol,
    })
    return true
  }

  // ---- life -------------------------------------------------------------------------------------------------------

  /** Housekeeping of every second: ends what is too old, too slow or too quiet at `now`, a time of `performance.now()`. */
  sweep(now: number): void {
    for (const door of this.everyDoor()) door.sweep(now)
    for (const cluster of this.clusters.values()) cluster.sweep(now)
    for (const cluster of this.leavingClusters) cluster.sweep(now)
    for (const leaving of [this.leavingDoors, this.leavingClusters] as Set<{ readonly quiet: boolean }>[]) {
      for (const one of leaving) if (one.quiet) leaving.delete(one)
    }
  }

  private everyDoor(): Door[] {
    return [...[...this.doors.values()].map(({ door }) => door), ...this.leavingDoors]
  }

  get busy(): number {
    return this.everyDoor().reduce((sum, { busy }) => sum + busy, 0)
  }

  /** From now on every answer ends its connection, so that peers and clients go elsewhere. */
  drain(): void {
    this.draining = true
    for (const door of this.everyDoor()) door.drain()
  }

  closeIdle(): void {
    for (const door of this.everyDoor()) door.closeIdle()
  }

  close(): void {
    clearInterval(this.sweeper)
    this.ports.close()
    for (const door of this.everyDoor()) door.closeAll()
    for (const cluster of this.clusters.values()) cluster.close()
    for (const termination of this.terminations.values()) termination.close()
  }
}

/** What decides whether a client from outside of the mesh is let in. */
function ruleOf(mode: 'strict' | 'permissive' | 'disabled', { clientValidation }: TerminatingSource): string {
  return JSON.stringify([mode, clientValidation])
}

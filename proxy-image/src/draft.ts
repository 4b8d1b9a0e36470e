import type { Socket } from 'node:net'
import type { EndpointSet } from '../../runtime/model/endpoints.ts'
import type {
  Cluster,
  GatewayListener,
  InboundListener,
  InboundPort,
  Listener,
  OutboundListener,
  RouteTable,
  Snapshot,
  VipListener,
} from '../../runtime/model/snapshot.ts'
import { authorizer } from './chain/authorize.ts'
import { type Chooser, HttpChain } from './chain/chain.ts'
import { egressTo } from './chain/egress.ts'
import { gatewayChooser } from './chain/gateway.ts'
import { inboundChooser } from './chain/inbound.ts'
import { outboundChooser, vipChooser } from './chain/outbound.ts'
import { CompiledTable } from './chain/tables.ts'
import { TracedChain } from './chain/traced.ts'
import { actualPort, type ProxyEnvironment } from './env.ts'
import type { Arrivals, Passthrough } from './listen/arrivals.ts'
import { HttpDoor } from './listen/door.ts'
import { inboundLabel, listenerLabel, passthroughLabel } from './listen/label.ts'
import type { WantedPort } from './listen/ports.ts'
import type { Log } from './log.ts'
import { TcpDoor, type TcpWay } from './tcp/door.ts'
import { tcpInboundRoutes, tcpPassthroughRoutes, tcpServiceRoutes } from './tcp/plans.ts'
import type { AccessLogs, LogAccess } from './telemetry/access-log.ts'
import { ConnectionBreaks } from './telemetry/connection-breaks.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { ListenerMetrics, RequestMetrics } from './telemetry/request-metrics.ts'
import type { Tracing } from './telemetry/tracing.ts'
import type { WorkloadIdentity } from './tls/identity.ts'
import type { TerminatingServer, TerminatingSource } from './tls/terminating.ts'
import { UpstreamCluster } from './upstream/cluster.ts'

/** What the data plane is made with, once for all snapshots. */
export interface DataPlaneOptions {
  readonly environment: ProxyEnvironment
  readonly identity: WorkloadIdentity
  readonly metrics: Metrics
  readonly accessLogs: AccessLogs
  /** Null: no request is traced, and none pays for it. */
  readonly tracing: Tracing | null
  readonly log: Log
}

/** A door, and the rule by which it lets in: who came in by another rule does not stay. */
interface Entrance {
  readonly door: HttpDoor | TcpDoor
  readonly rule: string
  /** Puts in force what stands behind it. */
  readonly open: () => void
}

/** What a snapshot is turned into. */
export interface Works {
  /** By name. */
  readonly clusters: ReadonlyMap<string, UpstreamCluster>
  readonly ports: readonly WantedPort[]
  /** By the label of their listener. */
  readonly doors: ReadonlyMap<string, Entrance>
  /** What stands behind the server names of the mesh port. */
  readonly bySni: ReadonlyMap<string, HttpDoor | TcpDoor>
  /** By what they depend on. */
  readonly terminations: ReadonlyMap<string, TerminatingServer>
}

interface Surroundings extends DataPlaneOptions {
  readonly arrivals: Arrivals
  /** What is known of where a virtual node's instances are. */
  readonly endpointsOf: (node: string) => EndpointSet | undefined
}

/**
 * Turns a snapshot into works, of which nothing is visible until their doors are opened and their ports bound. What did not
 * change is taken over from the `former` ones with its connections, health and load.
 * @throws Error when files that it names are unusable; what was made by then is closed.
 */
export function draftWorks(snapshot: Snapshot, former: Works, surroundings: Surroundings): Works {
  const draft = new Draft(snapshot, former, surroundings)
  try {
    draft.make()
  } catch (error) {
    discardWorks(draft.works, former)
    throw error
  }
  return draft.works
}

/** Closes what works hold that come to nothing, but for what the works in force hold, too. */
export function discardWorks(works: Works, inForce: Works): void {
  for (const [name, cluster] of works.clusters) if (inForce.clusters.get(name) !== cluster) cluster.close()
  for (const [key, one] of works.terminations) if (inForce.terminations.get(key) !== one) one.close()
}

class Draft {
  readonly works = {
    clusters: new Map<string, UpstreamCluster>(),
    ports: [] as WantedPort[],
    doors: new Map<string, Entrance>(),
    bySni: new Map<string, HttpDoor | TcpDoor>(),
    terminations: new Map<string, TerminatingServer>(),
  }
  private readonly snapshot: Snapshot
  private readonly former: Works
  private readonly surroundings: Surroundings
  private readonly logAccess: LogAccess | null

  constructor(snapshot: Snapshot, former: Works, surroundings: Surroundings) {
    this.snapshot = snapshot
    this.former = former
    this.surroundings = surroundings
    this.logAccess = surroundings.accessLogs.compile(snapshot.accessLogs)
  }

  make(): void {
    for (const spec of this.snapshot.clusters) this.works.clusters.set(spec.name, this.cluster(spec))
    for (const listener of this.snapshot.listeners) this.listener(listener)
  }

  private cluster(spec: Cluster): UpstreamCluster {
    const { identity, metrics, log, environment, endpointsOf } = this.surroundings
    const former = this.former.clusters.get(spec.name)
    if (former !== undefined && JSON.stringify(former.spec) === JSON.stringify(spec)) return former
    const cluster = new UpstreamCluster(spec, {
      identity,
      metrics,
      log,
      actualPort: (designed) => actualPort(environment, designed),
    })
    const known = cluster.node === null ? undefined : endpointsOf(cluster.node)
    if (known !== undefined) cluster.update(known)
    return cluster
  }

  // ---- listeners --------------------------------------------------------------------------------------------------

  private listener(listener: Listener): void {
    if (listener.kind === 'inbound') this.inbound(listener)
    else if (listener.kind === 'outbound') this.outbound(listener)
    else if (listener.kind === 'vip') this.vip(listener)
    else this.gateway(listener)
  }

  private inbound(listener: InboundListener): void {
    for (const port of listener.ports) this.inboundPort(port, listener.authorization)
    if (listener.ports.length === 0) return
    const { arrivals } = this.surroundings
    this.bind(listener.port, listenerLabel(listener), (socket) => arrivals.fromPeer(socket))
  }

  private inboundPort(port: InboundPort, authorization: InboundListener['authorization']): void {
    const { metrics } = this.surroundings
    const { clusters } = this.works
    const label = inboundLabel(port)
    const authorize = authorization && authorizer(authorization, label, metrics)
    const rule = port.published === null ? '' : ruleOf(port.published.tls, port.published)
    let door: HttpDoor | TcpDoor
    if (port.protocol === 'tcp') {
      const routes = tcpInboundRoutes(port, { listener: label, clusters, metrics })
      door = this.tcpDoor(label, { routes, authorize, policy: JSON.stringify(authorization) }, rule)
    } else {
      const chooser = inboundChooser(port, clusters.get(port.cluster)!, label, metrics, authorize)
      door = this.httpDoor(label, { chooser, edge: null, scheme: 'http', port: port.port, rule })
    }
    this.works.bySni.set(port.sni, door)
    if (port.published === null) return
    const { tls } = port.published
    this.bind(port.published.port, `${label} (${tls})`, this.acceptStrangers(label, door, tls, port.published))
  }

  private outbound(listener: OutboundListener): void {
    const { metrics } = this.surroundings
    const label = listenerLabel(listener)
    const tables = this.compiled(
      listener.hosts.map(({ table }) => table),
      label,
    )
    const passthrough = [...this.works.clusters.values()].find(({ spec }) => spec.discovery.kind === 'passthrough')!
    const egress = egressTo(passthrough, listener.egress.origin, label, metrics)
    const chooser = outboundChooser(listener, tables, egress)
    const door = this.httpDoor(label, { chooser, edge: 'outbound', scheme: 'http', port: listener.port })
    // For the app alone: never on an address that others reach.
    this.bind(listener.port, label, (socket) => door.take(socket, null), '127.0.0.1')
  }

  private vip(listener: VipListener): void {
    if (!this.surroundings.environment.vips) return
    const { metrics } = this.surroundings
    const label = listenerLabel(listener)
    let door: HttpDoor | TcpDoor
    if (listener.protocol === 'tcp') {
      const context = { listener: label, clusters: this.works.clusters, metrics }
      const routes = tcpServiceRoutes(this.table(listener.table), listener.port, context)
      door = this.tcpDoor(label, { routes, authorize: null, policy: '' })
    } else {
      const chooser = vipChooser(listener, this.compiled([listener.table], label))
      door = this.httpDoor(label, { chooser, edge: 'outbound', scheme: 'http', port: listener.port })
    }
    this.bind(listener.port, label, (socket) => door.take(socket, null), listener.address)
  }

  private gateway(listener: GatewayListener): void {
    const label = listenerLabel(listener)
    const { port, protocol, tls } = listener
    if (protocol === 'tcp') {
      const { log } = this.surroundings
      const why = 'this version of the proxy does not speak the protocol of a listener; it is not served'
      log.warning(why, { listener: label, protocol })
      return
    }
    const { routes } = this.table(listener.table)
    const names = routes.flatMap(({ action }) => (action.kind === 'delegate' ? [action.table] : []))
    const chooser = gatewayChooser(listener, this.compiled([listener.table, ...names], label))
    const scheme = tls.mode === 'disabled' ? 'http' : 'https'
    const rule = ruleOf(tls.mode, tls)
    const http2Only = protocol !== 'http'
    const door = this.httpDoor(label, { chooser, edge: 'gateway', scheme, port, rule, http2Only })
    this.bind(port, label, this.acceptStrangers(label, door, tls.mode, tls, this.passthrough(listener)))
  }

  private passthrough(listener: GatewayListener): Passthrough | null {
    if (listener.passthrough.length === 0) return null
    const label = passthroughLabel(listener)
    const context = { listener: label, clusters: this.works.clusters, metrics: this.surroundings.metrics }
    const routes = tcpPassthroughRoutes(listener.passthrough, this.snapshot.tables, context)
    const door = this.tcpDoor(label, { routes, authorize: null, policy: '' })
    return { door, takes: routes.takes }
  }

  /** A port that a snapshot names is a designed one; on one machine proxies may have others in their stead. */
  private bind(designed: number, name: string, accept: (socket: Socket) => void, host?: string): void {
    const { environment } = this.surroundings
    const port = actualPort(environment, designed)
    this.works.ports.push({ host: host ?? environment.bindAddress, designed, port, name, accept })
  }

  private table(name: string): RouteTable {
    return this.snapshot.tables.find((one) => one.name === name)!
  }

  private compiled(names: readonly string[], label: string): Map<string, CompiledTable> {
    const { metrics } = this.surroundings
    const { clusters } = this.works
    return new Map(names.map((name) => [name, new CompiledTable(this.table(name), label, clusters, metrics)]))
  }

  // ---- doors ------------------------------------------------------------------------------------------------------

  private httpDoor(
    label: string,
    options: {
      chooser: Chooser
      edge: 'outbound' | 'gateway' | null
      scheme: 'http' | 'https'
      port: number
      rule?: string
      http2Only?: boolean
    },
  ): HttpDoor {
    const { metrics, tracing, log } = this.surroundings
    const { chooser, edge, scheme, port, rule = '', http2Only = false } = options
    const chainOptions = {
      listener: new ListenerMetrics(metrics, label),
      unrouted: new RequestMetrics(metrics, { listener: label, route: '', cluster: '' }),
      logAccess: this.logAccess,
      scheme,
      port,
      edge,
      // Policies bring the first ones.
      filters: [],
      choose: chooser,
    }
    const chain = tracing === null ? new HttpChain(chainOptions) : new TracedChain(chainOptions, tracing)
    const former = this.formerDoor(label, rule)
    const door =
      former instanceof HttpDoor ? former : new HttpDoor(chain, ConnectionBreaks.ofListener(metrics, log, label))
    const open = (): void => {
      door.chain = chain
      door.http2Only = http2Only
    }
    this.works.doors.set(label, { door, rule, open })
    metrics.gauge('weft_downstream_connections', { listener: label }, () => door.open)
    return door
  }

  private tcpDoor(label: string, parts: Omit<TcpWay, 'logAccess'>, rule = ''): TcpDoor {
    const { metrics, log } = this.surroundings
    const way = { ...parts, logAccess: this.logAccess }
    const former = this.formerDoor(label, rule)
    const door =
      former instanceof TcpDoor
        ? former
        : new TcpDoor(way, metrics, ConnectionBreaks.ofListener(metrics, log, label), label)
    this.works.doors.set(label, { door, rule, open: () => door.swap(way) })
    metrics.gauge('weft_downstream_connections', { listener: label }, () => door.open)
    return door
  }

  /** The door that a listener has, if it lets in by the same rule. */
  private formerDoor(label: string, rule: string): HttpDoor | TcpDoor | undefined {
    const former = this.former.doors.get(label)
    return former?.rule === rule ? former.door : undefined
  }

  /** For clients without an identity in the mesh: TLS, plaintext, or whichever the first byte shows. */
  private acceptStrangers(
    label: string,
    door: HttpDoor | TcpDoor,
    mode: 'strict' | 'permissive' | 'disabled',
    source: TerminatingSource,
    passthrough: Passthrough | null = null,
  ): (socket: Socket) => void {
    const { arrivals } = this.surroundings
    if (mode === 'disabled') return arrivals.fromStranger(door, mode, null)
    // A new rule comes with a new door, which needs a server of its own.
    const key = `${label} ${ruleOf(mode, source)} ${JSON.stringify([source.certificate, source.certificates])}`
    const termination = this.former.terminations.get(key) ?? arrivals.terminate(door, source, label)
    this.works.terminations.set(key, termination)
    if (passthrough === null) return arrivals.fromStranger(door, mode, termination)
    return arrivals.fromClientOfGateway(door as HttpDoor, mode, termination, passthrough, label)
  }
}

/** What decides whether a client from outside of the mesh is let in. */
function ruleOf(mode: 'strict' | 'permissive' | 'disabled', { clientValidation }: TerminatingSource): string {
  return JSON.stringify([mode, clientValidation])
}

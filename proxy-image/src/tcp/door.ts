import type { Socket } from 'node:net'
import type { Authorizer } from '../chain/authorize.ts'
import { ProxyError } from '../errors.ts'
import type { Door, TlsDownstream } from '../listen/door.ts'
import { helloError, peekHello } from '../listen/peek.ts'
import { SERVER_FIRST } from '../listen/sniff.ts'
import type { LogAccess } from '../telemetry/access-log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TcpConnection } from './connection.ts'
import type { Dialed, TcpPlan } from './dialing.ts'
import { EarlyDials } from './early-dials.ts'
import type { TcpRoutes } from './plans.ts'

/** ALPN between sidecars. */
export const TCP_PROTOCOL = 'weft-tcp'

/** What stands behind a door: swapped by each snapshot. */
export interface TcpWay {
  readonly routes: TcpRoutes
  /** Who may come in; null: everybody whom the door lets in. */
  readonly authorize: Authorizer | null
  /** The policy behind `authorize`: when it changes, those who are in are judged again. */
  readonly policy: string
  readonly logAccess: LogAccess | null
}

/** Where connections of one TCP listener come in. It outlives snapshots. */
export class TcpDoor implements Door {
  private readonly metrics: Metrics
  private readonly label: string
  private readonly connections = new Set<TcpConnection>()
  private readonly early = new EarlyDials()
  private way: TcpWay

  /** `label` is how metrics call the listener. */
  constructor(way: TcpWay, metrics: Metrics, label: string) {
    this.way = way
    this.metrics = metrics
    this.label = label
  }

  get open(): number {
    return this.connections.size
  }

  get busy(): number {
    return this.connections.size
  }

  /** Connections go on as they began, but for those whose peer is let in no more. */
  swap(way: TcpWay): void {
    const { authorize, policy } = way
    const judgeAgain = authorize !== null && policy !== this.way.policy
    this.way = way
    if (!judgeAgain) return
    for (const connection of [...this.connections]) {
      const denied = authorize(connection.peer.id)
      if (denied !== null) connection.fail(denied)
    }
  }

  /** Dials the app for a peer whose handshake has begun; `done` says whether it may go on. */
  prepare(done: (error: ProxyError | null) => void): void {
    const plan = this.way.routes.plan(null)
    if (plan instanceof ProxyError) return done(plan)
    this.early.prepare(plan, (error) => {
      if (error !== null) this.failed(error)
      done(error)
    })
  }

  /** Takes a connection. `prepared`: {@link prepare} was called for it. */
  take(socket: Socket, tls: TlsDownstream | null, prepared = false): void {
    const connection = this.admit(socket, tls)
    if (connection === null) return
    const { routes } = this.way
    if (!routes.byServerName) {
      return this.start(connection, routes.plan(null), prepared ? this.early.take() : undefined)
    }
    peekHello(socket, SERVER_FIRST.ms, (beginning) => {
      const error = helloError(beginning)
      if (error !== null) return connection.fail(error)
      this.startAs(connection, beginning.kind === 'tls' ? beginning.serverName : null)
    })
  }

  /** Takes a connection whose ClientHello, still in the socket, asks for this name. */
  takeNamed(socket: Socket, serverName: string): void {
    const connection = this.admit(socket, null)
    if (connection !== null) this.startAs(connection, serverName)
  }

  /** Null for whom the policy does not let in. */
  private admit(socket: Socket, tls: TlsDownstream | null): TcpConnection | null {
    const lifeMs = tls === null ? Number.POSITIVE_INFINITY : tls.endsAtMs - Date.now()
    const peer = { id: tls?.peer ?? null, serverName: tls?.serverName ?? null, lifeMs }
    const { logAccess, authorize } = this.way
    const connection = new TcpConnection(socket, peer, (error) => {
      this.connections.delete(connection)
      if (error !== null) this.failed(error)
      logAccess?.(connection)
    })
    this.connections.add(connection)
    const denied = authorize === null ? null : authorize(peer.id)
    if (denied === null) return connection
    connection.fail(denied)
    return null
  }

  private startAs(connection: TcpConnection, serverName: string | null): void {
    connection.serverName = serverName
    this.start(connection, this.way.routes.plan(serverName))
  }

  private start(connection: TcpConnection, plan: TcpPlan | ProxyError, ready?: Dialed): void {
    if (plan instanceof ProxyError) connection.fail(plan)
    else connection.start(plan, ready)
  }

  private failed({ reason }: ProxyError): void {
    this.metrics.counter('weft_tcp_failures_total', { listener: this.label, reason }).inc()
  }

  /** Nothing in a connection could tell its client to go elsewhere: all go on, until {@link closeAll}. */
  drain(): void {}

  closeIdle(): void {}

  sweep(): void {}

  /** Whoever came in by a rule that holds no more does not stay. */
  oust(): void {
    this.closeAll()
  }

  /** Ends every connection. */
  closeAll(): void {
    this.early.close()
    const error = new ProxyError('draining', 'mesh', { message: 'the listener is closed' })
    for (const connection of [...this.connections]) connection.fail(error)
  }
}

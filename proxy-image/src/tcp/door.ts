import type { Socket } from 'node:net'
import type { Authorizer } from '../chain/authorize.ts'
import type { DownstreamStream, RequestReceiver } from '../codec/stream.ts'
import { ProxyError } from '../errors.ts'
import { type Door, HttpDoor, type RequestTaker, retireAt, type TlsDownstream } from '../listen/door.ts'
import { helloError, peekHello } from '../listen/peek.ts'
import { RefusedRequest, type Refusing } from '../listen/refused-request.ts'
import { SERVER_FIRST } from '../listen/sniff.ts'
import type { LogAccess } from '../telemetry/access-log.ts'
import type { ConnectionBreaks } from '../telemetry/connection-breaks.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TcpConnection, type TcpPeer } from './connection.ts'
import { SocketEnd, type TcpEnd } from './end.ts'
import type { TcpRoutes } from './plans.ts'
import { DownstreamTunnel, TCP_PROTOCOL } from './tunnel.ts'

/** What stands behind a door: swapped by each snapshot. */
export interface TcpWay {
  readonly routes: TcpRoutes
  /** Who may come in; null: everybody whom the door lets in. */
  readonly authorize: Authorizer | null
  /** The policy behind `authorize`: when it changes, those who are in are judged again. */
  readonly policy: string
  readonly logAccess: LogAccess | null
}

/**
 * Where connections of one TCP listener come in: each by itself, or, from the sidecars of peers, as streams of their HTTP/2
 * connections. It outlives snapshots.
 */
export class TcpDoor implements Door, RequestTaker {
  private readonly metrics: Metrics
  private readonly label: string
  private readonly connections = new Set<TcpConnection>()
  private readonly peers: HttpDoor
  private way: TcpWay

  /** `label` is how metrics call the listener. */
  constructor(way: TcpWay, metrics: Metrics, breaks: ConnectionBreaks, label: string) {
    this.way = way
    this.metrics = metrics
    this.label = label
    this.peers = new HttpDoor(this, breaks, true)
  }

  get open(): number {
    return this.connections.size
  }

  get busy(): number {
    return this.connections.size
  }

  get quiet(): boolean {
    return this.connections.size === 0 && this.peers.quiet
  }

  /** Connections go on as they began, but for those whose peer is let in no more. */
  swap(way: TcpWay): void {
    const { authorize, policy } = way
    const judgeAgain = authorize !== null && policy !== this.way.policy
    this.way = way
    if (!judgeAgain) return
    for (const connection of [...this.connections]) {
      const denied = authorize(connection.peerUri)
      if (denied !== null) connection.fail(denied)
    }
  }

  /** Takes a connection that is what it carries. */
  take(socket: Socket, tls: TlsDownstream | null): void {
    const connection = this.admitSocket(socket, tls)
    if (connection === null) return
    const { routes } = this.way
    if (!routes.byServerName) return this.start(connection, null)
    peekHello(socket, SERVER_FIRST.ms, (beginning) => {
      const error = helloError(beginning)
      if (error !== null) return connection.fail(error)
      this.startAs(connection, beginning.kind === 'tls' ? beginning.serverName : null)
    })
  }

  /** Takes a connection whose ClientHello, still in the socket, asks for this name. */
  takeNamed(socket: Socket, serverName: string): void {
    const connection = this.admitSocket(socket, null)
    if (connection !== null) this.startAs(connection, serverName)
  }

  /** Takes the HTTP/2 connection of a peer's sidecar. */
  takePeer(socket: Socket, tls: TlsDownstream): void {
    this.peers.take(socket, tls, 'h2')
  }

  /** One stream of such a connection. */
  accept(stream: DownstreamStream): RequestReceiver {
    const tunnel = new DownstreamTunnel(stream)
    const connection = this.admit(tunnel, stream)
    if (connection === null) return tunnel
    if (stream.head.upgrade === TCP_PROTOCOL) this.start(connection, null)
    else connection.fail(new ProxyError('misdirected', 'downstream', { message: 'a request to a TCP port' }))
    return tunnel
  }

  refuse(error: ProxyError, connection: Refusing): string {
    this.failed(error)
    this.way.logAccess?.(new RefusedRequest(connection, error, ''))
    return ''
  }

  private admitSocket(socket: Socket, tls: TlsDownstream | null): TcpConnection | null {
    return this.admit(new SocketEnd(socket, 'downstream_closed'), {
      remoteAddress: `${socket.remoteAddress}:${socket.remotePort}`,
      localAddress: `${socket.localAddress}:${socket.localPort}`,
      peer: tls?.peer ?? null,
      serverName: tls?.serverName ?? null,
      retireAtMs: retireAt(tls),
    })
  }

  /** Null for whom the policy does not let in. */
  private admit(end: TcpEnd, from: TcpPeer): TcpConnection | null {
    const { logAccess, authorize } = this.way
    const connection = new TcpConnection(end, from, (error) => {
      this.connections.delete(connection)
      if (error !== null) this.failed(error)
      logAccess?.(connection)
    })
    this.connections.add(connection)
    const denied = authorize === null ? null : authorize(from.peer)
    if (denied === null) return connection
    connection.fail(denied)
    return null
  }

  private startAs(connection: TcpConnection, serverName: string | null): void {
    connection.serverName = serverName
    this.start(connection, serverName)
  }

  /** `asked`: the server name that its client asks for, where that was looked at. */
  private start(connection: TcpConnection, asked: string | null): void {
    const plan = this.way.routes.plan(asked)
    if (plan instanceof ProxyError) connection.fail(plan)
    else connection.start(plan)
  }

  private failed({ reason }: ProxyError): void {
    this.metrics.counter('weft_tcp_failures_total', { listener: this.label, reason }).inc()
  }

  /** Nothing in a connection could tell its client to go elsewhere: all go on, until {@link closeAll}. Sidecars are told. */
  drain(): void {
    this.peers.drain()
  }

  closeIdle(): void {
    this.peers.closeIdle()
  }

  sweep(now: number): void {
    this.peers.sweep(now)
  }

  /** Whoever came in by a rule that holds no more does not stay. */
  oust(): void {
    this.closeAll()
  }

  /** Ends every connection. */
  closeAll(): void {
    const error = new ProxyError('draining', 'mesh', { message: 'the listener is closed' })
    for (const connection of [...this.connections]) connection.fail(error)
    this.peers.closeAll()
  }
}

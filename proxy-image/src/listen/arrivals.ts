import type { Socket } from 'node:net'
import type { Server } from 'node:tls'
import { spiffeId } from '../../../runtime/model/identity.ts'
import type { Log } from '../log.ts'
import { TcpDoor } from '../tcp/door.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { ListenerMetrics } from '../telemetry/request-metrics.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { createMeshServer, HANDSHAKE_TIMEOUT_MS } from '../tls/server.ts'
import { createTerminatingServer, type TerminatingServer, type TerminatingSource } from '../tls/terminating.ts'
import { HttpDoor, type TlsDownstream } from './door.ts'
import { peekHello } from './peek.ts'
import { CLIENT_FIRST, SERVER_FIRST, sniff } from './sniff.ts'

/** What peers and clients of TLS are offered (ALPN), in order of preference. */
export const HTTP_PROTOCOLS: readonly string[] = ['h2', 'http/1.1']
/** Label of the mesh port where no server name is known yet: handshakes that fail. */
export const MESH_PORT = 'inbound'

interface ArrivalsOptions {
  readonly identity: WorkloadIdentity
  readonly metrics: Metrics
  readonly log: Log
  /** What stands behind a server name of the mesh port, in lower case; asked for each connection. */
  readonly bySni: (name: string) => HttpDoor | TcpDoor | undefined
}

/** Where connections go whose TLS a gateway does not end. */
export interface Passthrough {
  readonly door: TcpDoor
  /** Whether it is not ended for this name, in lower case. */
  readonly takes: (serverName: string) => boolean
}

/** How connections get from the ports to the doors: through TLS where there is any. */
export class Arrivals {
  private readonly options: ArrivalsOptions
  private readonly meshMetrics: ListenerMetrics
  private meshServer: Server | null = null

  constructor(options: ArrivalsOptions) {
    this.options = options
    this.meshMetrics = new ListenerMetrics(options.metrics, MESH_PORT)
  }

  /** A connection to the mesh port: mTLS, and the server name picks the door. */
  fromPeer(socket: Socket): void {
    this.meshServer ??= this.createMesh()
    this.meshServer.emit('connection', socket)
  }

  /**
   * A connection of a client without an identity in the mesh: TLS, plaintext, or whichever the first byte shows.
   * `termination` is null where there is plaintext only.
   */
  fromStranger(
    door: HttpDoor | TcpDoor,
    mode: 'strict' | 'permissive' | 'disabled',
    termination: TerminatingServer | null,
  ): (socket: Socket) => void {
    const plain = (socket: Socket): void => this.enter(door, socket, null, false)
    if (mode === 'disabled' || termination === null) return plain
    const tls = (socket: Socket): void => void termination.server.emit('connection', socket)
    if (mode === 'strict') return tls
    return (socket) => sniff(socket, tls, plain, door instanceof TcpDoor ? SERVER_FIRST : undefined)
  }

  /**
   * The same at a gateway that does not end the TLS of all: the server name of the ClientHello is looked at before. What does
   * not begin with a proper one is left to the server of TLS, which knows how to refuse it.
   */
  fromClientOfGateway(
    door: HttpDoor,
    mode: 'strict' | 'permissive',
    termination: TerminatingServer,
    passthrough: Passthrough,
    label: string,
  ): (socket: Socket) => void {
    const failures = new ListenerMetrics(this.options.metrics, label)
    const silenceMs = mode === 'strict' ? HANDSHAKE_TIMEOUT_MS : CLIENT_FIRST.ms
    const ignore = (): void => {}
    return (socket) => {
      socket.on('error', ignore)
      peekHello(socket, silenceMs, ({ kind, ...hello }) => {
        if (kind === 'silent' || kind === 'slow' || kind === 'closed') {
          // Load balancers ask whether a port is open in this way: a connection without a word.
          const waited = kind === 'slow' || (kind === 'silent' && mode === 'strict' && !socket.readableEnded)
          if (waited) failures.tlsFailed('handshake_timeout')
          return void socket.destroy()
        }
        socket.removeListener('error', ignore)
        const name = 'serverName' in hello ? hello.serverName : null
        if (name !== null && passthrough.takes(name)) passthrough.door.takeNamed(socket, name)
        else if (kind === 'plain' && mode === 'permissive') this.enter(door, socket, null, false)
        else termination.server.emit('connection', socket)
      })
    }
  }

  /** The server of a listener that ends the TLS of strangers. */
  terminate(door: HttpDoor | TcpDoor, source: TerminatingSource, label: string): TerminatingServer {
    const { identity, log, metrics } = this.options
    const failures = new ListenerMetrics(metrics, label)
    return createTerminatingServer({
      ...source,
      identity,
      log,
      // What is said inside of TCP is between its ends.
      alpnProtocols: door instanceof TcpDoor ? [] : HTTP_PROTOCOLS,
      onConnection: (socket, endsAtMs) => {
        const serverName = socket.servername || ''
        this.enter(door, socket, { peer: null, serverName, endsAtMs }, socket.alpnProtocol ?? false)
      },
      onRejected: (reason) => failures.tlsFailed(reason),
    })
  }

  /** The one server of the mesh port. */
  private createMesh(): Server {
    const { identity, bySni } = this.options
    return createMeshServer({
      identity,
      alpnProtocols: HTTP_PROTOCOLS,
      acceptsServerName: (name) => bySni(name) !== undefined,
      onConnection: (socket, serverName, alpn, { subject, endsAtMs }) => {
        const door = bySni(serverName)!
        const tls = { peer: spiffeId(identity.trustDomain, subject), serverName, endsAtMs }
        if (door instanceof HttpDoor) return door.take(socket, tls, alpn)
        if (alpn === 'h2') return door.takePeer(socket, tls)
        this.meshMetrics.tlsFailed('protocol_not_accepted')
        socket.on('error', () => {})
        socket.destroy()
      },
      onRejected: (reason) => this.meshMetrics.tlsFailed(reason),
    })
  }

  private enter(door: HttpDoor | TcpDoor, socket: Socket, tls: TlsDownstream | null, alpn: string | false): void {
    if (door instanceof HttpDoor) door.take(socket, tls, alpn)
    else door.take(socket, tls)
  }
}

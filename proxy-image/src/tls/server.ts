import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { WorkloadIdentity } from './identity.ts'
import { memberOf } from './peer.ts'

/** Why a TLS connection from a peer or client was closed before any request. A metric label. */
export type Rejection =
  | 'no_certificate'
  | 'certificate_expired'
  | 'certificate_untrusted'
  | 'not_a_member'
  | 'name_not_accepted'
  | 'unknown_server_name'
  | 'protocol_not_accepted'
  | 'handshake_timeout'
  | 'handshake_failed'

interface MeshServerOptions {
  readonly identity: WorkloadIdentity
  /** Offered in this order of preference; a client without any of them fails its handshake. */
  readonly alpnProtocols: readonly string[]
  /** Asked for each connection, so that a new snapshot changes the answer. `name` is lower case. */
  readonly acceptsServerName: (name: string) => boolean
  /** A verified member of the mesh, `servername` accepted. `socket` has no error listener yet. */
  readonly onConnection: (socket: TLSSocket, servername: string, alpn: string | false, peer: MeshPeer) => void
  readonly onRejected: (reason: Rejection) => void
}

/** Who is at the other end, and when the first certificate of the connection ends, in epoch milliseconds. */
interface MeshPeer {
  readonly subject: Subject
  readonly endsAtMs: number
}

/** How long a session can be resumed, in seconds. */
export const SESSION_SECONDS = 300
/** A silent peer must not hold a socket. */
export const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * The server of the mesh port: TLS 1.3, clients show a certificate of this mesh. New credentials of the identity serve
 * new handshakes at once; connections that stand go on. Not listening yet; call `listen`, and `close` at the end.
 */
export function createMeshServer(options: MeshServerOptions): Server {
  const { identity, onConnection, onRejected } = options
  const server = createServer({
    ...identity.serverOptions(),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: [...options.alpnProtocols],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    sessionTimeout: SESSION_SECONDS,
    noDelay: true,
  })
  server.on('tlsClientError', (error, socket) => {
    onRejected(handshakeRejection(error, socket))
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    const refuse = (reason: Rejection) => {
      onRejected(reason)
      // The peer may reset while we close; nobody else listens for that.
      socket.on('error', () => {})
      socket.destroy()
    }
    const certificate = socket.getPeerX509Certificate()
    const subject = certificate && memberOf(identity.trustDomain, identity.subject.mesh, certificate)
    if (subject === undefined) return refuse('not_a_member')
    const endsAtMs = Math.min(identity.notAfterMs, certificate!.validToDate.getTime())
    // Of a resumed session nobody has looked at the dates.
    if (endsAtMs <= Date.now()) return refuse('certificate_expired')
    // `servername` is what the client asked for; false without SNI. DNS names compare without case.
    const servername = typeof socket.servername === 'string' ? socket.servername.toLowerCase() : ''
    if (!options.acceptsServerName(servername)) return refuse('unknown_server_name')
    onConnection(socket, servername, socket.alpnProtocol ?? false, { subject, endsAtMs })
  })
  const detach = identity.onChange(() => server.setSecureContext(identity.serverOptions()))
  server.on('close', detach)
  return server
}

/** Node says only "socket hang up" for a refused client; the verdict on its certificate is kept on the socket. */
export function handshakeRejection(error: Error, socket: TLSSocket): Rejection {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'handshake_timeout'
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return 'no_certificate'
  const verdict = socket.authorizationError as unknown
  if (verdict === undefined || verdict === null) return 'handshake_failed'
  if (verdict === 'CERT_HAS_EXPIRED') return 'certificate_expired'
  return 'certificate_untrusted'
}

import { constants, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls'
import type { Certificate, ClientValidation } from '../../../runtime/model/snapshot.ts'
import type { Log } from '../log.ts'
import type { WorkloadIdentity } from './identity.ts'
import { carriesName } from './peer.ts'
import { HANDSHAKE_TIMEOUT_MS, handshakeRejection, type Rejection } from './server.ts'

/** Where the credentials of a listener come from. */
export interface TerminatingSource {
  /** `mesh` follows the workload identity; `file` names PEM files. */
  readonly certificate: Certificate
  /** What clients must show, null for nothing. A trust file is watched as those of the certificate are. */
  readonly clientValidation: ClientValidation
}

interface TerminatingOptions extends TerminatingSource {
  readonly identity: WorkloadIdentity
  readonly log: Log
  readonly alpnProtocols: readonly string[]
  /** A client that showed what it must. `socket` has no error listener yet. */
  readonly onConnection: (socket: TLSSocket) => void
  readonly onRejected: (reason: Rejection) => void
  /** How often files are looked at. Default 10 s. */
  readonly pollMs?: number
}

/** Server side TLS for clients outside of the mesh (gateway and published listeners), kept fresh. */
export interface TerminatingServer {
  /** Listens nowhere: hand it sockets by `emit('connection', socket)`. */
  readonly server: Server
  /** Ends the watching. The server goes on with what it has. */
  close(): void
}

/** Polling, not fs.watch: certificates on EFS, bind mounts and swapped symbolic links send no events. */
const POLL_MS = 10_000

/**
 * A server that ends TLS 1.2 and later. Changed files and a changed identity serve new handshakes; connections that stand
 * go on. Files that broke are logged, and the last good ones stay.
 * Throws when the files can't be read or do not fit together now: then the snapshot can't be taken.
 */
export function createTerminatingServer(options: TerminatingOptions): TerminatingServer {
  const { clientValidation, identity, log, onConnection, onRejected } = options
  const files = filesOf(options)
  let seen = stamp(files)
  const server = createServer({
    ...readContext(options, identity),
    requestCert: clientValidation !== null,
    rejectUnauthorized: clientValidation !== null,
    ALPNProtocols: [...options.alpnProtocols],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  })
  server.on('tlsClientError', (error, socket) => {
    onRejected(handshakeRejection(error, socket))
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    if (mayEnter(socket, clientValidation)) return onConnection(socket)
    onRejected('name_not_accepted')
    // The client may reset while we close; nobody else listens for that.
    socket.on('error', () => {})
    socket.destroy()
  })
  const refresh = (): boolean => {
    try {
      const now = stamp(files)
      server.setSecureContext(readContext(options, identity))
      // Only what was taken counts as seen: files that are half written are looked at again.
      seen = now
      return true
    } catch (error) {
      seen = ''
      log.error('changed certificate files are unusable; the last good ones stay in force', {
        files: files.join(' '),
        error: (error as Error).message,
      })
      return false
    }
  }
  const timer = setInterval(() => {
    if (seen === stampOrNone(files) || !refresh()) return
    log.info('certificate files changed; new connections get the new ones', { files: files.join(' ') })
  }, options.pollMs ?? POLL_MS)
  timer.unref()
  if (files.length === 0) clearInterval(timer)
  const detach = identity.onChange(refresh)
  return {
    server,
    close() {
      clearInterval(timer)
      detach()
    },
  }
}

/** The chain was verified by then. No names given: any certificate of the CA will do, as in App Mesh. */
function mayEnter(socket: TLSSocket, validation: ClientValidation): boolean {
  if (validation === null) return true
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || !socket.authorized) return false
  return validation.sans.length === 0 || carriesName(certificate, validation.sans)
}

function filesOf({ certificate, clientValidation }: TerminatingSource): readonly string[] {
  const own = certificate.kind === 'file' ? [certificate.chain, certificate.key] : []
  return clientValidation?.trust.kind === 'file' ? [...own, clientValidation.trust.chain] : own
}

function stamp(files: readonly string[]): string {
  return files
    .map((path) => statSync(path))
    .map((stat) => `${stat.ino}/${stat.size}/${stat.mtimeMs}`)
    .join(' ')
}

function stampOrNone(files: readonly string[]): string | undefined {
  try {
    return stamp(files)
  } catch {
    return undefined
  }
}

/** Throws for files that OpenSSL does not take or that do not belong together. */
function readContext(source: TerminatingSource, identity: WorkloadIdentity): SecureContextOptions {
  const { certificate, clientValidation } = source
  const own =
    certificate.kind === 'mesh'
      ? { key: identity.credentials.keyPem, cert: identity.credentials.chainPem }
      : readPair(certificate)
  const options: SecureContextOptions = {
    ...own,
    ...(clientValidation === null ? {} : readTrust(clientValidation, identity)),
    minVersion: 'TLSv1.2',
  }
  createSecureContext(options)
  return options
}

function readPair(files: { readonly chain: string; readonly key: string }): SecureContextOptions {
  const pair = { key: readFileSync(files.key), cert: readFileSync(files.chain) }
  const end = new X509Certificate(pair.cert).validToDate
  if (end.getTime() < Date.now()) throw new Error(`${files.chain} expired at ${end.toISOString()}`)
  return pair
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/**
 * The CAs that clients are checked against. A bundle without any must fail here: it must never fall back to the public
 * CAs that Node brings. Tickets are off because a resumed session is not verified again.
 */
function readTrust({ trust }: NonNullable<ClientValidation>, identity: WorkloadIdentity): SecureContextOptions {
  const ca = trust.kind === 'mesh' ? identity.trust.certificates : readFileSync(trust.chain, 'utf8').match(CERTIFICATE)
  if (ca === null || ca.length === 0) {
    throw new Error(`${trust.kind === 'file' ? trust.chain : 'the trust bundle'} holds no PEM certificate`)
  }
  for (const pem of ca) new X509Certificate(pem)
  return { ca: [...ca], secureOptions: constants.SSL_OP_NO_TICKET }
}

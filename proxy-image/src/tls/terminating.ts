import { constants, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { ServerNames } from '../../../runtime/model/server-name.ts'
import type { Certificate, ClientValidation, FileCertificate } from '../../../runtime/model/snapshot.ts'
import type { Log } from '../log.ts'
import type { WorkloadIdentity } from './identity.ts'
import { alternativeNames, carriesName } from './peer.ts'
import { HANDSHAKE_TIMEOUT_MS, handshakeRejection, type Rejection } from './server.ts'
import { Watched } from './watched.ts'

/** Where the credentials of a listener come from. */
export interface TerminatingSource {
  /** `mesh` follows the workload identity; `file` names PEM files. */
  readonly certificate: Certificate
  /** More of them, each for clients that ask for a DNS name in it. */
  readonly certificates?: readonly FileCertificate[]
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
 * go on. Files that broke are logged, and the last good ones stay, while the others follow their files.
 * Throws when the files can't be read or do not fit together now: then the snapshot can't be taken.
 */
export function createTerminatingServer(options: TerminatingOptions): TerminatingServer {
  const { clientValidation, identity, log, onConnection, onRejected } = options
  const credentials = new Credentials(options, identity, log)
  const server = createServer({
    ...credentials.options(),
    SNICallback: (name, done) => done(null, credentials.contextFor(name.toLowerCase())),
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
  const timer = setInterval(() => {
    const files = credentials.poll()
    if (files.length === 0) return
    server.setSecureContext(credentials.options())
    log.info('certificate files changed; new connections get the new ones', { files: files.join(' ') })
  }, options.pollMs ?? POLL_MS)
  timer.unref()
  if (!credentials.hasFiles) clearInterval(timer)
  const detach = identity.onChange(() => {
    if (credentials.followIdentity()) server.setSecureContext(credentials.options())
  })
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

/** A certificate with its chain and key, and the names that it is for. */
interface Pair {
  readonly options: SecureContextOptions
  readonly names: readonly string[]
}

/** All that a listener shows, and what it asks for: the same of everybody, whichever certificate is shown. */
class Credentials {
  private readonly own: Watched<Pair>
  private readonly others: readonly Watched<Pair>[]
  private readonly trust: Watched<SecureContextOptions>
  private readonly isMesh: { readonly own: boolean; readonly trust: boolean }
  /** Null: the listener's own. */
  private byName!: ServerNames<SecureContext | null>

  constructor(
    { certificate, certificates = [], clientValidation }: TerminatingSource,
    identity: WorkloadIdentity,
    log: Log,
  ) {
    this.isMesh = { own: certificate.kind === 'mesh', trust: clientValidation?.trust.kind === 'mesh' }
    this.own = watchedPair(certificate, identity, log)
    this.others = certificates.map((one) => watchedPair(one, identity, log, true))
    const trustFiles = clientValidation?.trust.kind === 'file' ? [clientValidation.trust.chain] : []
    const read = () => (clientValidation === null ? {} : readTrust(clientValidation, identity))
    this.trust = new Watched(trustFiles, read, log)
    this.index()
  }

  private get all(): readonly Watched<unknown>[] {
    return [this.own, ...this.others, this.trust]
  }

  get hasFiles(): boolean {
    return this.all.some(({ files }) => files.length > 0)
  }

  /** For those who ask for no name, or for one that no other certificate is for. */
  options(): SecureContextOptions {
    return this.optionsOf(this.own.current)
  }

  /** `name` is in lower case. Undefined: what {@link options} say. */
  contextFor(name: string): SecureContext | undefined {
    return this.byName.find(name) ?? undefined
  }

  /** Reads what has changed; the files that there is something new from. */
  poll(): readonly string[] {
    const changed = this.all.filter((one) => one.poll())
    if (changed.length > 0) this.index()
    return changed.flatMap(({ files }) => files)
  }

  /** The workload identity has changed. True: so has what is shown or asked for. */
  followIdentity(): boolean {
    const changed = [...(this.isMesh.own ? [this.own] : []), ...(this.isMesh.trust ? [this.trust] : [])].filter((one) =>
      one.reread(),
    )
    if (changed.length > 0) this.index()
    return changed.length > 0
  }

  private optionsOf(pair: Pair): SecureContextOptions {
    return { ...pair.options, ...this.trust.current, minVersion: 'TLSv1.2' }
  }

  /** Every context has the trust of the listener: Node takes the CAs from the one that the server name picks. */
  private index(): void {
    const entries = this.others.flatMap(({ current }) => {
      const context = createSecureContext(this.optionsOf(current))
      return current.names.map((name) => [name, context] as const)
    })
    const own = this.own.current.names.map((name) => [name, null] as const)
    this.byName = new ServerNames<SecureContext | null>([...own, ...entries], 'label')
  }
}

/** `named`: it is of no use without a DNS name. */
function watchedPair(certificate: Certificate, identity: WorkloadIdentity, log: Log, named = false): Watched<Pair> {
  const files = certificate.kind === 'file' ? [certificate.chain, certificate.key] : []
  return new Watched(files, () => readPair(certificate, identity, named), log)
}

/** Throws for files that OpenSSL does not take or that do not belong together. */
function readPair(certificate: Certificate, identity: WorkloadIdentity, named: boolean): Pair {
  if (certificate.kind === 'mesh') {
    const { keyPem: key, chainPem: cert } = identity.credentials
    return { options: { key, cert }, names: [] }
  }
  const options = { key: readFileSync(certificate.key), cert: readFileSync(certificate.chain) }
  createSecureContext(options)
  const leaf = new X509Certificate(options.cert)
  const end = leaf.validToDate
  if (end.getTime() < Date.now()) throw new Error(`${certificate.chain} expired at ${end.toISOString()}`)
  // The common name does not count (RFC 9525, section 2).
  const names = alternativeNames(leaf).flatMap(([type, value]) => (type === 'DNS' ? [value] : []))
  if (named && names.length === 0) {
    throw new Error(`${certificate.chain} holds no DNS name (subject alternative name) that a client could ask for`)
  }
  return { options, names }
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

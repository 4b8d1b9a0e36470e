import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls'
import { ServerNames } from '../../../runtime/model/server-name.ts'
import type { Certificate, ClientValidation, FileCertificate } from '../../../runtime/model/snapshot.ts'
import type { Log } from '../log.ts'
import { certificatesOf, withIssuers } from './chain.ts'
import { CIPHERS } from './ciphers.ts'
import type { WorkloadIdentity } from './identity.ts'
import { alternativeNames, carriesName } from './peer.ts'
import { HANDSHAKE_TIMEOUT_MS, handshakeRejection, type Rejection, SESSION_SECONDS } from './server.ts'
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
  /**
   * A client that showed what it must. `socket` has no error listener yet; `endsAtMs` is when the first certificate of the
   * connection ends, in epoch milliseconds.
   */
  readonly onConnection: (socket: TLSSocket, endsAtMs: number) => void
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
  const SNICallback: TlsOptions['SNICallback'] = (name, done) => done(null, credentials.contextFor(name.toLowerCase()))
  const server = createServer({
    ...credentials.options(),
    // To be asked interrupts a handshake, for nothing where there is one certificate for all names.
    ...(credentials.isOne ? {} : { SNICallback }),
    requestCert: clientValidation !== null,
    rejectUnauthorized: clientValidation !== null,
    ALPNProtocols: [...options.alpnProtocols],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    sessionTimeout: SESSION_SECONDS,
  })
  server.on('tlsClientError', (error, socket) => {
    onRejected(handshakeRejection(error, socket))
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    const isVerified = clientValidation !== null && socket.authorized
    const certificate = isVerified ? socket.getPeerX509Certificate() : undefined
    const peerEndMs = certificate?.validToDate.getTime() ?? Number.POSITIVE_INFINITY
    const endsAtMs = Math.min(credentials.endsAtMs(socket.servername || ''), peerEndMs)
    const rejection = clientValidation === null ? null : rejectionOf(certificate, peerEndMs, clientValidation)
    if (rejection === null) return onConnection(socket, endsAtMs)
    onRejected(rejection)
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

/**
 * Why a client may not enter, null when it may. Its chain was verified by then, now or when the session that it resumes began;
 * the dates are looked at again. No names given: any certificate of the CA will do, as in App Mesh.
 */
function rejectionOf(
  certificate: X509Certificate | undefined,
  endsAtMs: number,
  { sans }: NonNullable<ClientValidation>,
): Rejection | null {
  if (certificate === undefined) return 'no_certificate'
  if (endsAtMs <= Date.now()) return 'certificate_expired'
  return sans.length === 0 || carriesName(certificate, sans) ? null : 'name_not_accepted'
}

/** A certificate with its chain and key, and the names that it is for. */
interface Pair {
  readonly options: { readonly key: string; readonly cert: string }
  readonly names: readonly string[]
  /** Epoch milliseconds. */
  readonly endsAtMs: number
}

/** The CAs of clients, in PEM; none are asked for a certificate without. */
interface Trust {
  readonly ca?: string[]
}

/** What is shown to who asks for a name. */
interface Shown {
  readonly context: SecureContext | null
  readonly endsAtMs: number
}

/** All that a listener shows, and what it asks for: the same of everybody, whichever certificate is shown. */
class Credentials {
  private readonly own: Watched<Pair>
  private readonly others: readonly Watched<Pair>[]
  private readonly trust: Watched<Trust>
  private readonly isMesh: { readonly own: boolean; readonly trust: boolean }
  /** Context null: the listener's own. */
  private byName!: ServerNames<Shown>

  constructor(
    { certificate, certificates = [], clientValidation }: TerminatingSource,
    identity: WorkloadIdentity,
    log: Log,
  ) {
    this.isMesh = { own: certificate.kind === 'mesh', trust: clientValidation?.trust.kind === 'mesh' }
    this.own = watchedPair(certificate, identity, log)
    this.others = certificates.map((one) => watchedPair(one, identity, log, true))
    const trustFiles = clientValidation?.trust.kind === 'file' ? [clientValidation.trust.chain] : []
    const read = (): Trust => (clientValidation === null ? {} : readTrust(clientValidation, identity))
    this.trust = new Watched(trustFiles, read, log)
    this.index()
  }

  private get all(): readonly Watched<unknown>[] {
    return [this.own, ...this.others, this.trust]
  }

  /** There is one certificate for all names. */
  get isOne(): boolean {
    return this.others.length === 0
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
    return this.byName.find(name)?.context ?? undefined
  }

  /** When the certificate that is shown for this name ends, in epoch milliseconds. */
  endsAtMs(name: string): number {
    return (this.byName.find(name.toLowerCase()) ?? this.own.current).endsAtMs
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
    const { key, cert } = pair.options
    const trust = this.trust.current
    return { key, cert: withIssuers(cert, trust.ca ?? []), ...trust, minVersion: 'TLSv1.2', ciphers: CIPHERS }
  }

  /** Every context has the trust of the listener: Node takes the CAs from the one that the server name picks. */
  private index(): void {
    const entries = this.others.flatMap(({ current }) => {
      const context = createSecureContext(this.optionsOf(current))
      const { names, endsAtMs } = current
      return names.map((name) => [name, { context, endsAtMs }] as const)
    })
    const { names, endsAtMs } = this.own.current
    const own = names.map((name) => [name, { context: null, endsAtMs }] as const)
    this.byName = new ServerNames<Shown>([...own, ...entries], 'label')
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
    return { options: { key, cert }, names: [], endsAtMs: identity.notAfterMs }
  }
  const options = { key: readFileSync(certificate.key, 'utf8'), cert: readFileSync(certificate.chain, 'utf8') }
  createSecureContext(options)
  const leaf = new X509Certificate(options.cert)
  const end = leaf.validToDate
  if (end.getTime() < Date.now()) throw new Error(`${certificate.chain} expired at ${end.toISOString()}`)
  // The common name does not count (RFC 9525, section 2).
  const names = alternativeNames(leaf).flatMap(([type, value]) => (type === 'DNS' ? [value] : []))
  if (named && names.length === 0) {
    throw new Error(`${certificate.chain} holds no DNS name (subject alternative name) that a client could ask for`)
  }
  return { options, names, endsAtMs: end.getTime() }
}

/**
 * The CAs that clients are checked against. A bundle without any must fail here: it must never fall back to the public
 * CAs that Node brings.
 */
function readTrust({ trust }: NonNullable<ClientValidation>, identity: WorkloadIdentity): Trust {
  const ca = trust.kind === 'mesh' ? identity.trust.certificates : certificatesOf(readFileSync(trust.chain, 'utf8'))
  if (ca.length === 0) {
    throw new Error(`${trust.kind === 'file' ? trust.chain : 'the trust bundle'} holds no PEM certificate`)
  }
  for (const pem of ca) new X509Certificate(pem)
  return { ca: [...ca] }
}

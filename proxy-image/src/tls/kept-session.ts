import type { SecureContext, TLSSocket } from 'node:tls'
import { remainingLifeMs } from './peer.ts'
import { SESSION_SECONDS } from './server.ts'

/** Well before the server does, which gives no new session for an old one. */
const FORGET_AFTER_MS = SESSION_SECONDS * 800
/** A session whose certificates end sooner is not worth a connection. */
const MIN_LIFE_MS = 30_000

interface Kept {
  readonly bytes: Buffer
  readonly context: SecureContext
  readonly atMs: number
  /** When the first certificate of the handshake that it comes from ends, in epoch milliseconds. */
  readonly endsAtMs: number
}

/**
 * The TLS session with one endpoint, so that the next connection need not prove again who is who (RFC 8446, section 2.2): a
 * third of the work of a handshake. It is of use only for the context that it was made under, which changes with our
 * certificate and with the CAs we trust (ADR 16).
 */
export class KeptSession {
  private kept: Kept | null = null

  /** A connection under this context begins. */
  connect(context: SecureContext): Connecting {
    const { kept } = this
    const now = Date.now()
    const isGood =
      kept !== null &&
      kept.context === context &&
      now - kept.atMs < FORGET_AFTER_MS &&
      kept.endsAtMs - now > MIN_LIFE_MS
    if (!isGood) this.kept = null
    return new Connecting(this.kept, context, this)
  }

  keep(kept: Kept): void {
    this.kept = kept
  }
}

/** One connection, and the session that it offers to go on with. */
class Connecting {
  private readonly offered: Kept | null
  private readonly context: SecureContext
  private readonly store: KeptSession

  constructor(offered: Kept | null, context: SecureContext, store: KeptSession) {
    this.offered = offered
    this.context = context
    this.store = store
  }

  /** For `tls.connect`. */
  get session(): Buffer | undefined {
    return this.offered?.bytes
  }

  /** Keeps the session that the server gives. */
  listen(socket: TLSSocket): void {
    const { context, store } = this
    socket.once('session', (bytes: Buffer) => {
      const now = Date.now()
      store.keep({ bytes, context, atMs: now, endsAtMs: now + this.lifeMs(socket) })
    })
  }

  /** How long the certificates of the connection last, in milliseconds: of a resumed one, those it goes back to. */
  lifeMs(socket: TLSSocket): number {
    const { offered } = this
    return offered !== null && socket.isSessionReused() ? offered.endsAtMs - Date.now() : remainingLifeMs(socket)
  }
}

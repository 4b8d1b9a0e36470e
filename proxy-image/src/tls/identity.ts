import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { parseSpiffeId } from '../../../runtime/model/identity.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { TrustBundle } from '../../../runtime/model/sync.ts'
import { withIssuers } from './chain.ts'
import { CIPHERS } from './ciphers.ts'
import { certificateSpiffeId } from './peer.ts'

/** A private key, its certificate chain (leaf first) and the CAs to trust, all in PEM. */
export interface Credentials {
  readonly keyPem: string
  readonly chainPem: string
  readonly trust: TrustBundle
}

interface Current {
  readonly credentials: Credentials
  readonly leaf: X509Certificate
  readonly spiffeId: string
  readonly trustDomain: string
  readonly subject: Subject
}

/**
 * Who this proxy is right now: one object for the life of the process, its content replaced at every renewal. Contexts
 * are built once a change; connections that stand keep what they were opened with.
 */
export class WorkloadIdentity {
  readonly #listeners = new Set<() => void>()
  #current: Current | undefined
  #clientContext: SecureContext | undefined

  /** False until the first certificate is there; the other members throw until then. */
  get ready(): boolean {
    return this.#current !== undefined
  }

  get credentials(): Credentials {
    return this.#now().credentials
  }

  get trust(): TrustBundle {
    return this.#now().credentials.trust
  }

  get spiffeId(): string {
    return this.#now().spiffeId
  }

  get trustDomain(): string {
    return this.#now().trustDomain
  }

  get subject(): Subject {
    return this.#now().subject
  }

  /** Epoch milliseconds when the certificate starts and ends. */
  get notBeforeMs(): number {
    return this.#now().leaf.validFromDate.getTime()
  }

  get notAfterMs(): number {
    return this.#now().leaf.validToDate.getTime()
  }

  /**
   * Takes new credentials. Throws, and keeps the old ones, when they do not fit together or `accept` throws because of
   * the subject that they name.
   */
  update(credentials: Credentials, accept: (subject: Subject) => void = () => {}): void {
    const leaf = new X509Certificate(credentials.chainPem)
    if (!leaf.checkPrivateKey(createPrivateKey(credentials.keyPem))) {
      throw new Error('the certificate was not issued for the private key at hand')
    }
    const spiffeId = certificateSpiffeId(leaf)
    const parsed = spiffeId === undefined ? undefined : parseSpiffeId(spiffeId)
    if (spiffeId === undefined || parsed === undefined) throw new Error('the certificate names no single SPIFFE ID')
    accept(parsed.subject)
    const context = createSecureContext(contextOptions(credentials))
    this.#current = { credentials, leaf, spiffeId, ...parsed }
    this.#clientContext = context
    this.#announce()
  }

  /** Takes a new trust bundle and keeps key and chain. Throws, and keeps the old one, when it does not parse. */
  updateTrust(trust: TrustBundle): void {
    const current = this.#now()
    const credentials = { ...current.credentials, trust }
    const context = createSecureContext(contextOptions(credentials))
    this.#current = { ...current, credentials }
    this.#clientContext = context
    this.#announce()
  }

  /** For `tls.connect({secureContext})` towards peers. The same object until the next change. */
  clientContext(): SecureContext {
    if (this.#clientContext === undefined) throw new Error('no workload certificate yet')
    return this.#clientContext
  }

  /** For `tls.createServer` and `server.setSecureContext`. */
  serverOptions(): SecureContextOptions {
    return contextOptions(this.credentials)
  }

  /** Calls `listener` after each change; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #now(): Current {
    if (this.#current === undefined) throw new Error('no workload certificate yet')
    return this.#current
  }

  #announce(): void {
    for (const listener of this.#listeners) listener()
  }
}

/**
 * TLS 1.3 only: both ends are ours. Sessions may be resumed (ADR 16): each change makes contexts anew, and with them the
 * keys of tickets, so that none outlives the certificate and the CAs it was opened with.
 */
function contextOptions({ keyPem, chainPem, trust }: Credentials): SecureContextOptions {
  // An empty list would mean: no CA. It must never fall back to the public CAs that Node brings.
  if (trust.certificates.length === 0) throw new Error('the trust bundle is empty')
  for (const pem of trust.certificates) new X509Certificate(pem)
  return {
    key: keyPem,
    cert: withIssuers(chainPem, trust.certificates),
    ca: [...trust.certificates],
    minVersion: 'TLSv1.3',
    ciphers: CIPHERS,
  }
}

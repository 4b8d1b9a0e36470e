import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import type { Subject } from '../../../runtime/model/reference.ts'
import { CertificateResponseSchema } from '../../../runtime/model/sync.ts'
import type { Log } from '../log.ts'
import type { Credentials, WorkloadIdentity } from '../tls/identity.ts'
import { BackOff, pause } from './back-off.ts'
import { CallError, createAgent, post } from './call.ts'
import { createCsr } from './csr.ts'
import { decode } from './decode.ts'
import type { Connection, Proof } from './proof.ts'
import type { StateDirectory } from './state.ts'

interface CertificateClientOptions {
  readonly controlPlaneUrl: string
  /** Who this proxy is set to be; a certificate for anybody else is refused. */
  readonly subject: Subject
  /** null when only a saved identity can help. */
  readonly proof: Proof | null
  readonly identity: WorkloadIdentity
  readonly state: StateDirectory
  readonly log: Log
}

const CALL_TIMEOUT_MS = 10_000
/** However often somebody asks for another certificate, this long lies between two. */
const MIN_INTERVAL_MS = 10_000
/** A CA that issues ended certificates must not be asked in a tight loop. */
const SHORTEST_LIFETIME_MS = 2_000
const RETRY_FIRST_MS = 200
const RETRY_CAP_MS = 30_000
/** setTimeout fires at once for more. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Keeps the workload certificate: the saved one, a first one for the proof at hand, renewals over mTLS at a random point
 * between half and two thirds of the lifetime, and the proof again when the certificate ended, or every time where that is
 * asked for. Every certificate has a new P-256 key, which never leaves this process and its state directory.
 */
export class CertificateClient {
  readonly #options: CertificateClientOptions
  readonly #stopped = new AbortController()
  #sleep = new AbortController()
  #askedFor = false
  /** When the lifetime of the current certificate began, for the time of its renewal. */
  #sinceMs = 0

  constructor(options: CertificateClientOptions) {
    this.#options = options
  }

  /**
   * Resolves when the identity is ready, and goes on renewing. A saved certificate that is still valid makes it ready
   * without the control plane; otherwise it tries until it has one. Rejects only when closed before.
   */
  async start(): Promise<void> {
    if (!(await this.#takeSaved())) await this.#obtain()
    if (!this.#options.identity.ready) throw new Error('closed before the first certificate was there')
    void this.#keepRenewing()
  }

  /** Asks for another certificate before its time: the control plane refused this one. At most one in 10 s. */
  renewSoon(): void {
    this.#askedFor = true
    this.#sleep.abort()
  }

  close(): void {
    this.#stopped.abort()
  }

  async #takeSaved(): Promise<boolean> {
    const { state, log, identity } = this.#options
    const saved = await state.readCredentials()
    if (saved === undefined) return false
    try {
      const endMs = new X509Certificate(saved.chainPem).validToDate.getTime()
      if (endMs <= Date.now()) throw new Error(`it ended at ${new Date(endMs).toISOString()}`)
      this.#take(saved)
      this.#sinceMs = identity.notBeforeMs
      log.info('took the saved certificate', { spiffeId: identity.spiffeId, endsAt: new Date(endMs).toISOString() })
      return true
    } catch (error) {
      log.warning('the saved certificate is not usable and was ignored', { error: (error as Error).message })
      return false
    }
  }

  async #keepRenewing(): Promise<void> {
    const { identity } = this.#options
    const stopped = this.#stopped.signal
    while (!stopped.aborted) {
      const lifetimeMs = Math.max(identity.notAfterMs - this.#sinceMs, SHORTEST_LIFETIME_MS)
      const renewAtMs = this.#sinceMs + lifetimeMs * (1 / 2 + Math.random() / 6)
      this.#sleep = new AbortController()
      while (!stopped.aborted && !this.#askedFor && Date.now() < renewAtMs) {
        const leftMs = Math.min(renewAtMs - Date.now(), MAX_TIMER_MS)
        await pause(leftMs, AbortSignal.any([stopped, this.#sleep.signal]))
      }
      await this.#obtain()
      if (this.#askedFor) await pause(MIN_INTERVAL_MS, stopped)
      this.#askedFor = false
    }
  }

  /** Tries until there is a new certificate or the client is closed. */
  async #obtain(): Promise<void> {
    const { log, identity, state } = this.#options
    const backOff = new BackOff(RETRY_FIRST_MS, RETRY_CAP_MS)
    // One key over all tries: what a slow CA made for one, the next one picks up, and nothing is made and paid for twice.
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const csr = createCsr(privateKey)
    for (let attempt = 0; !this.#stopped.signal.aborted; attempt++) {
      try {
        // A certificate that the control plane does not take any more must not lock out a good proof.
        const credentials = { keyPem, ...(await this.#request(csr, attempt % 2 === 1)) }
        this.#take(credentials)
        // Certificates start before they are issued; counted from there, a short one would be renewed at once.
        this.#sinceMs = Date.now()
        const endsAt = new Date(identity.notAfterMs).toISOString()
        log.info('got a certificate', { spiffeId: identity.spiffeId, endsAt })
        await state.saveCredentials(credentials)
        return
      } catch (error) {
        if (this.#stopped.signal.aborted) return
        const retryMs = Math.round(backOff.next(error instanceof CallError ? error.retryAfterMs : 0))
        log.warning('could not get a certificate; will try again', { error: (error as Error).message, retryMs })
        await pause(retryMs, this.#stopped.signal)
      }
    }
  }

  /** Throws, and keeps what is, for a certificate of somebody else. */
  #take(credentials: Credentials): void {
    const { identity, subject } = this.#options
    const expected = `${subject.kind} ${subject.mesh}/${subject.name}`
    identity.update(credentials, (found) => {
      if (found.kind === subject.kind && found.mesh === subject.mesh && found.name === subject.name) return
      throw new Error(`the certificate is for ${found.kind} ${found.mesh}/${found.name}, but this proxy is ${expected}`)
    })
  }

  async #request(csr: string, preferProof: boolean): Promise<Omit<Credentials, 'keyPem'>> {
    const { controlPlaneUrl } = this.#options
    const connection = await this.#connect(preferProof)
    try {
      const answer = await post({
        connection,
        url: `${controlPlaneUrl}/v1/dataplane/certificate`,
        body: { csr },
        timeoutMs: CALL_TIMEOUT_MS,
        signal: this.#stopped.signal,
      })
      const { chain, trust } = decode(CertificateResponseSchema, 'the answer to the certificate request', answer)
      return { chainPem: chain, trust }
    } finally {
      connection.agent.destroy()
    }
  }

  /** The certificate while it is valid and enough, the proof otherwise; never both. */
  async #connect(preferProof: boolean): Promise<Connection> {
    const { identity, proof } = this.#options
    const valid = identity.ready && identity.notAfterMs > Date.now()
    const byCertificate = valid && !(proof?.everyCall || (preferProof && proof !== null))
    if (byCertificate) return { agent: createAgent(identity.serverOptions()) }
    if (proof !== null) return proof.connect(this.#stopped.signal)
    throw new Error('there is no valid certificate, no join token and no task role; set WEFT_TOKEN')
  }
}

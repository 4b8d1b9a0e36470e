import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { parseJoinToken } from '../../../runtime/model/join-token.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import { CertificateResponseSchema } from '../../../runtime/model/sync.ts'
import type { Log } from '../log.ts'
import type { Credentials, WorkloadIdentity } from '../tls/identity.ts'
import { BackOff, pause } from './back-off.ts'
import { createAgent, post } from './call.ts'
import { createCsr } from './csr.ts'
import { decode } from './decode.ts'
import { fetchPinnedRoot } from './pinned-root.ts'
import type { StateDirectory } from './state.ts'

interface CertificateClientOptions {
  readonly controlPlaneUrl: string
  /** Who this proxy is set to be; a certificate for anybody else is refused. */
  readonly subject: Subject
  /** Join token; null when only a saved identity can help. */
  readonly token: string | null
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
 * Keeps the workload certificate: the saved one, a first one for the join token, renewals over mTLS at a random point
 * between half and two thirds of the lifetime, and the token again when the certificate ended. Every certificate has a
 * new P-256 key, which never leaves this process and its state directory.
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
    for (let attempt = 0; !this.#stopped.signal.aborted; attempt++) {
      try {
        // A certificate that the control plane does not take any more must not lock out a good token.
        const credentials = await this.#request(attempt % 2 === 1)
        this.#take(credentials)
        // Certificates start before they are issued; counted from there, a short one would be renewed at once.
        this.#sinceMs = Date.now()
        const endsAt = new Date(identity.notAfterMs).toISOString()
        log.info('got a certificate', { spiffeId: identity.spiffeId, endsAt })
        await state.saveCredentials(credentials)
        return
      } catch (error) {
        if (this.#stopped.signal.aborted) return
        const retryMs = Math.round(backOff.next())
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

  async #request(preferToken: boolean): Promise<Credentials> {
    const { controlPlaneUrl } = this.#options
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { agent, bearer } = await this.#authentication(preferToken)
    try {
      const answer = await post({
        agent,
        url: `${controlPlaneUrl}/v1/dataplane/certificate`,
        body: { csr: createCsr(privateKey) },
        ...(bearer === undefined ? {} : { bearer }),
        timeoutMs: CALL_TIMEOUT_MS,
        signal: this.#stopped.signal,
      })
      const { chain, trust } = decode(CertificateResponseSchema, 'the answer to the certificate request', answer)
      return { keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, chainPem: chain, trust }
    } finally {
      agent.destroy()
    }
  }

  /** The certificate while it is valid, the join token otherwise; never both. */
  async #authentication(preferToken: boolean) {
    const { identity, token } = this.#options
    const valid = identity.ready && identity.notAfterMs > Date.now()
    if (valid && !(preferToken && token !== null)) return { agent: createAgent(identity.serverOptions()) }
    if (token === null) throw new Error('there is no valid certificate and no join token; set WEFT_TOKEN')
    return { agent: createAgent({ ca: await this.#rootOfToken(token) }), bearer: token }
  }

  /** The token is said to nobody but a server under the root that the token itself names. */
  async #rootOfToken(token: string): Promise<string> {
    const { identity, controlPlaneUrl, subject } = this.#options
    const claims = parseJoinToken(token)
    if (claims === undefined) throw new Error('WEFT_TOKEN is not a join token of Weft; make a new one')
    const whose = claims.subject
    if (whose.kind !== subject.kind || whose.mesh !== subject.mesh || whose.name !== subject.name) {
      throw new Error(
        `WEFT_TOKEN is for ${whose.kind} ${whose.mesh}/${whose.name}, but this proxy is ${subject.kind} ${subject.mesh}/${subject.name}`,
      )
    }
    const atHand = identity.ready ? identity.trust.certificates : []
    const known = atHand.find((pem) => fingerprintOf(pem) === claims.caFingerprint)
    const limits = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped.signal }
    return known ?? (await fetchPinnedRoot(controlPlaneUrl, claims.caFingerprint, limits))
  }
}

function fingerprintOf(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')
}

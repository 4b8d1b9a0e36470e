import { createHash, X509Certificate } from 'node:crypto'
import { parseJoinToken } from '../../../runtime/model/join-token.ts'
import type { Subject } from '../../../runtime/model/reference.ts'
import type { WorkloadIdentity } from '../tls/identity.ts'
import { createAgent } from './call.ts'
import { fetchPinnedRoot } from './pinned-root.ts'
import type { Connection, Proof } from './proof.ts'

const CALL_TIMEOUT_MS = 10_000

/** A join token, said to nobody but a server under the root that the token itself names. */
export class JoinTokenProof implements Proof {
  readonly everyCall = false
  readonly #token: string
  readonly #controlPlaneUrl: string
  readonly #subject: Subject
  readonly #identity: WorkloadIdentity

  constructor(
    token: string,
    at: { readonly controlPlaneUrl: string; readonly subject: Subject; readonly identity: WorkloadIdentity },
  ) {
    this.#token = token
    this.#controlPlaneUrl = at.controlPlaneUrl
    this.#subject = at.subject
    this.#identity = at.identity
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    const agent = createAgent({ ca: await this.#root(signal) })
    return { agent, prove: async () => ({ authorization: `Bearer ${this.#token}` }) }
  }

  async #root(signal: AbortSignal): Promise<string> {
    const claims = parseJoinToken(this.#token)
    if (claims === undefined) throw new Error('WEFT_TOKEN is not a join token of Weft; make a new one')
    const whose = claims.subject
    const own = this.#subject
    if (whose.kind !== own.kind || whose.mesh !== own.mesh || whose.name !== own.name) {
      throw new Error(
        `WEFT_TOKEN is for ${whose.kind} ${whose.mesh}/${whose.name}, but this proxy is ${own.kind} ${own.mesh}/${own.name}`,
      )
    }
    const atHand = this.#identity.ready ? this.#identity.trust.certificates : []
    const known = atHand.find((pem) => fingerprintOf(pem) === claims.caFingerprint)
    const limits = { timeoutMs: CALL_TIMEOUT_MS, signal }
    return known ?? (await fetchPinnedRoot(this.#controlPlaneUrl, claims.caFingerprint, limits))
  }
}

function fingerprintOf(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')
}

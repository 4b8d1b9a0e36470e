import { serviceHost } from '../../../runtime/model/aws-hosts.ts'
import type { SigningScope } from '../../../runtime/model/signing-scope.ts'
import { type Answer, createAgent, createPublicAgent } from '../control/call.ts'
import { fetchPinnedRoot } from '../control/pinned-root.ts'
import type { Connection, Proof } from '../control/proof.ts'
import type { CredentialSource } from './credentials.ts'
import { presignedUrl, signedHeaders } from './sign.ts'

/** AWS takes signatures that are up to five minutes off. */
const MAX_SKEW_MS = 300_000
const CREDENTIALS_REFUSED = /expired|ExpiredToken|InvalidClientTokenId|UnrecognizedClient|security token .* invalid/i
const SIGNATURE_REFUSED = /signature/i

/** The task role, proven by a signature on every call, for an endpoint that IAM guards: Function URL or API Gateway. */
export class SignatureProof implements Proof {
  readonly everyCall = true
  readonly #credentials: CredentialSource
  readonly #scope: SigningScope

  constructor(credentials: CredentialSource, scope: SigningScope) {
    this.#credentials = credentials
    this.#scope = scope
  }

  async connect(): Promise<Connection> {
    return {
      agent: createPublicAgent(),
      prove: async ({ url, body }) => {
        const headers = { 'content-type': 'application/json' }
        const signable = { method: 'POST', url: new URL(url), headers, body }
        return signedHeaders(signable, this.#scope, await this.#credentials.get())
      },
      explain: (answer) => this.#explain(answer),
    }
  }

  /** Refusals of IAM name neither the permission nor who would give it. */
  #explain({ status, headers, text }: Answer): string | undefined {
    if ((status !== 401 && status !== 403) || headers['content-type']?.startsWith('application/problem+json'))
      return undefined
    const said = `${headers['x-amzn-errortype'] ?? ''} ${text}`
    const skewMs = Date.parse(headers.date ?? '') - Date.now()
    if (Math.abs(skewMs) > MAX_SKEW_MS) {
      const minutes = Math.round(Math.abs(skewMs) / 60_000)
      return `the clock here is ${minutes} minutes ${skewMs > 0 ? 'behind' : 'ahead of'} AWS, which allows 5: set it right`
    }
    if (CREDENTIALS_REFUSED.test(said)) {
      this.#credentials.forget()
      return 'AWS does not take the credentials of the task role; they are read anew for the next call'
    }
    const { service, region } = this.#scope
    if (SIGNATURE_REFUSED.test(said)) {
      return `the signature, made for ${service} in ${region}, is refused: is that what WEFT_CONTROL_PLANE_URL leads to?`
    }
    const action =
      service === 'lambda' ? 'lambda:InvokeFunctionUrl and lambda:InvokeFunction on the function' : 'execute-api:Invoke'
    return `IAM does not let the task role call the proxies' API: it needs ${action}. MeshService grants it to the task role of its task definition; does this task run with that role, and does no policy of the organization or of a VPC endpoint deny it?`
  }
}

/** Long enough for one call and a clock that is a little off. */
const PRESIGNED_S = 60
const HANDSHAKE_MS = 10_000

interface PresignedProofOptions {
  readonly credentials: CredentialSource
  readonly controlPlaneUrl: string
  /** null: the global endpoint of STS. */
  readonly region: string | null
  /** SHA-256 of the root that the control plane must show; null: one that this machine trusts. */
  readonly caFingerprint: string | null
}

/**
 * The task role, proven to a control plane that stands elsewhere: a GetCallerIdentity that is signed here and sent there,
 * with the control plane's own URL as signed header, so that nobody else can use it. Buys the first certificate.
 */
export class PresignedProof implements Proof {
  readonly everyCall = false
  readonly #options: PresignedProofOptions

  constructor(options: PresignedProofOptions) {
    this.#options = options
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    const { credentials, controlPlaneUrl: audience, region, caFingerprint } = this.#options
    const limits = { timeoutMs: HANDSHAKE_MS, signal }
    const agent =
      caFingerprint === null
        ? createPublicAgent()
        : createAgent({ ca: await fetchPinnedRoot(audience, caFingerprint, limits) })
    const host = region === null ? 'sts.amazonaws.com' : serviceHost('sts', region)
    const prove = async () => {
      const url = presignedUrl(
        {
          url: new URL(`https://${host}/?Action=GetCallerIdentity&Version=2011-06-15`),
          headers: { 'x-weft-audience': audience },
          expiresS: PRESIGNED_S,
        },
        { service: 'sts', region: region ?? 'us-east-1' },
        await credentials.get(),
      )
      const token = Buffer.from(JSON.stringify({ url: url.href, audience })).toString('base64url')
      return { authorization: `Weft-Sts ${token}` }
    }
    return { agent, prove }
  }
}

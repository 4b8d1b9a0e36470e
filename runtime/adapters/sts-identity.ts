import { request as plainRequest } from 'node:http'
import { request } from 'node:https'
import { MeshError } from '../model/problem.ts'
import type { Subject } from '../model/reference.ts'
import type { CallerIdentity, Clock, Credentials, IamCaller } from '../ports.ts'
import { parsePresignedIdentity } from './presigned-identity.ts'

export interface StsIdentityOptions {
  /** Turns the role that STS named into a subject. */
  readonly roles: CallerIdentity
  /** Decides for callers who show something else. */
  readonly others: CallerIdentity
  /** Host names and addresses of this control plane; a request that was signed for another audience is refused. */
  readonly audiences: readonly string[]
  readonly clock: Clock
  /** Where STS is really called; default: the host that the proxy signed for. An emulator, in tests. */
  readonly endpoint?: string
}

const CALL_TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 16_384

/**
 * Callers on AWS of a control plane that is not: they hand over a GetCallerIdentity request that they signed with their
 * role and did not send. Whoever sends it learns from STS whose signature it is, and nothing else can be done with it.
 */
export class StsIdentity implements CallerIdentity {
  readonly #options: StsIdentityOptions

  constructor(options: StsIdentityOptions) {
    this.#options = options
  }

  /**
   * @throws MeshError `unauthenticated` for a request that is not exactly such a one, or that STS refuses; `forbidden`
   * when the role stands for nobody; `unavailable` when STS gives no answer.
   */
  async identify(credentials: Credentials): Promise<Subject> {
    const { roles, others, audiences, clock, endpoint } = this.#options
    if (credentials.presigned === undefined) return others.identify(credentials)
    const { url, audience } = parsePresignedIdentity(credentials.presigned, { audiences, nowMs: clock.now() })
    return roles.identify({ iam: await callerIdentity(url, audience, endpoint) })
  }
}

async function callerIdentity(signed: URL, audience: string, endpoint: string | undefined): Promise<IamCaller> {
  const { status, text } = await send(signed, audience, endpoint)
  if (status >= 500 || status === 429) {
    throw new MeshError('unavailable', `STS answered ${status} when asked who a proxy is; it will be asked again.`)
  }
  if (status !== 200) {
    const why = /<Code>(\w{1,64})<\/Code>/.exec(text)?.[1] ?? `status ${status}`
    throw new MeshError(
      'unauthenticated',
      `STS does not take the signature of the proxy (${why}); are its credentials current, and its clock right?`,
    )
  }
  const arn = /<Arn>([^<]{1,2048})<\/Arn>/.exec(text)?.[1]
  const accountId = /<Account>(\d{12})<\/Account>/.exec(text)?.[1]
  if (arn === undefined || accountId === undefined) {
    throw new MeshError('unavailable', 'STS answered without an account and an ARN; it will be asked again.')
  }
  return { arn, accountId }
}

/** No redirect is followed: node's client never does. */
function send(
  signed: URL,
  audience: string,
  endpoint: string | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  const target = endpoint === undefined ? signed : new URL(signed.pathname + signed.search, endpoint)
  const headers = { host: signed.host, 'x-weft-audience': audience, accept: 'application/xml' }
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        new MeshError('unavailable', `STS at ${target.host} gives no answer; can the control plane reach it?`, {
          cause,
        }),
      )
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    const call = (target.protocol === 'http:' ? plainRequest : request)(target, { headers, signal }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_ANSWER_BYTES)
          answer.destroy(new Error(`the answer is over ${MAX_ANSWER_BYTES} characters`))
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      answer.on('error', fail)
    })
    call.on('error', fail)
    call.end()
  })
}

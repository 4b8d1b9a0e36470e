import type { IncomingHttpHeaders } from 'node:http'
import { AwsV4Signer } from 'aws4fetch'
import type { SigningScope } from '../runtime/model/signing-scope.ts'

/** Credentials as the providers of the AWS SDK give them. */
export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

/** A request as it came in: `target` is path and query as they stood in the request line. */
export interface IncomingRequest {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

export interface SignedRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string | string[]>>
}

/** Hop by hop (RFC 9110, section 7.6.1), told anew by us, or part of the signature that is taken off. */
const DROPPED = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-length',
  'authorization',
  'x-amz-date',
  'x-amz-security-token',
  'x-amz-content-sha256',
])

/**
 * The request for the real endpoint, without the signature that it came with and with one of its own (SigV4). Host,
 * content type and `x-amz-*` are signed: what proxies on the way may touch (user agent, accept-encoding) is not.
 * @param endpoint where the API is; a path, such as a stage of API Gateway, goes before that of the request.
 */
export async function resign(
  request: IncomingRequest,
  endpoint: URL,
  scope: SigningScope,
  credentials: AwsCredentials,
): Promise<SignedRequest> {
  const url = targetUrl(request.target, endpoint)
  const named = connectionNames(request.headers)
  const kept = Object.entries(request.headers).filter(
    (header): header is [string, string | string[]] =>
      header[1] !== undefined && !DROPPED.has(header[0]) && !named.has(header[0]),
  )
  const toSign = kept.filter(([name]) => name === 'content-type' || name.startsWith('x-amz-'))
  const signer = new AwsV4Signer({
    method: request.method,
    url: url.href,
    headers: toSign.map(([name, value]): [string, string] => [name, String(value)]),
    body: request.body,
    ...scope,
    accessKeyId: credentials.accessKeyId,
    secretAccessKey: credentials.secretAccessKey,
    ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
    allHeaders: true,
  })
  const signed = await signer.sign()
  return { url, headers: { ...Object.fromEntries(kept), ...Object.fromEntries(signed.headers), host: url.host } }
}

/**
 * The query goes out in the one spelling that the signature is computed from, so that no server reads a `+` or a bare
 * `'` in another way than it was signed.
 */
function targetUrl(target: string, endpoint: URL): URL {
  const url = new URL(endpoint)
  const queryAt = target.indexOf('?')
  url.pathname = endpoint.pathname.replace(/\/$/, '') + (queryAt === -1 ? target : target.slice(0, queryAt))
  const pairs = [...new URLSearchParams(queryAt === -1 ? '' : target.slice(queryAt + 1))]
  url.search = pairs
    .filter(
      ([name]) =>
        name !== '' &&
        !/^x-amz-(?:algorithm|credential|date|expires|signedheaders|signature|security-token)$/i.test(name),
    )
    .map((pair) => pair.map(percentEncode).join('='))
    .join('&')
  return url
}

/** RFC 3986, section 2.3: everything but the unreserved characters. */
function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Fields that Connection names belong to this hop alone. */
function connectionNames({ connection }: IncomingHttpHeaders): ReadonlySet<string> {
  return new Set(
    (connection ?? '')
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
}

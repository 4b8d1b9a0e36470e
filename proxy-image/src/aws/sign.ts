import { createHash, createHmac } from 'node:crypto'

/**
 * AWS Signature Version 4, as the reference "Create a signed AWS API request" has it. Own code because aws4fetch makes
 * node load its fetch implementation and WebCrypto: 11.8 MB of resident memory in every sidecar, where these lines take
 * 0.6 (docs/adr/0012-what-the-sidecar-does-for-itself-on-aws.md).
 */

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** What a signature is for, such as `lambda` in `eu-west-1`. */
interface Scope {
  readonly service: string
  readonly region: string
}

export interface Signable {
  readonly method: string
  readonly url: URL
  /** To be signed; names in lower case, without `host`. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

const ALGORITHM = 'AWS4-HMAC-SHA256'

/** The header fields that a signed request carries beside its own: `host`, `x-amz-*` and `authorization`. */
export function signedHeaders(
  request: Signable,
  scope: Scope,
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
): Record<string, string> {
  const date = amzDate()
  const added = {
    host: request.url.host,
    'x-amz-date': date,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const headers = { ...request.headers, ...added }
  const credential = credentialScope(scope, date)
  const signature = sign({ ...request, headers }, date, credential, secretAccessKey)
  const authorization = `${ALGORITHM} Credential=${accessKeyId}/${credential}, SignedHeaders=${namesOf(headers)}, Signature=${signature}`
  return { ...added, authorization }
}

/**
 * A GET request's URL with its signature in the query, good for `expiresS` seconds. Whoever sends it must send `headers`
 * too.
 */
export function presignedUrl(
  { url, headers, expiresS }: { readonly url: URL; readonly headers: Signable['headers']; readonly expiresS: number },
  scope: Scope,
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
): URL {
  const date = amzDate()
  const credential = credentialScope(scope, date)
  const all = { ...headers, host: url.host }
  const signed = new URL(url)
  const parameters = {
    'X-Amz-Algorithm': ALGORITHM,
    'X-Amz-Credential': `${accessKeyId}/${credential}`,
    'X-Amz-Date': date,
    'X-Amz-Expires': String(expiresS),
    'X-Amz-SignedHeaders': namesOf(all),
    ...(sessionToken === undefined ? {} : { 'X-Amz-Security-Token': sessionToken }),
  }
  for (const [name, value] of Object.entries(parameters)) signed.searchParams.set(name, value)
  const request = { method: 'GET', url: signed, headers: all, body: '' }
  const signature = sign(request, date, credential, secretAccessKey)
  // In the spelling that was signed: a `+` in the query would be a space to some.
  signed.search = `${canonicalQuery(signed)}&X-Amz-Signature=${signature}`
  return signed
}

function sign({ method, url, headers, body }: Signable, date: string, credential: string, secret: string): string {
  const canonical = [
    method,
    url.pathname.split('/').map(uriEncode).join('/'),
    canonicalQuery(url),
    ...sorted(headers).map(([name, value]) => `${name}:${value.trim().replace(/ +/g, ' ')}`),
    '',
    namesOf(headers),
    sha256(body),
  ].join('\n')
  const toSign = [ALGORITHM, date, credential, sha256(canonical)].join('\n')
  const key = credential.split('/').reduce<string | Buffer>((before, part) => hmac(before, part), `AWS4${secret}`)
  return hmac(key, toSign).toString('hex')
}

function credentialScope({ region, service }: Scope, date: string): string {
  return `${date.slice(0, 8)}/${region}/${service}/aws4_request`
}

function canonicalQuery(url: URL): string {
  return [...url.searchParams]
    .map((pair) => pair.map(uriEncode) as [string, string])
    .sort(([a, x], [b, y]) => (a < b || (a === b && x < y) ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&')
}

/** By name; by code unit, which in ASCII is by byte. */
function sorted(headers: Signable['headers']): [string, string][] {
  return Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1))
}

function namesOf(headers: Signable['headers']): string {
  return sorted(headers)
    .map(([name]) => name)
    .join(';')
}

/** `20261123T180000Z`. */
function amzDate(): string {
  return new Date().toISOString().replace(/[:-]|\.\d{3}/g, '')
}

/** All but the unreserved characters of RFC 3986, section 2.3. */
function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

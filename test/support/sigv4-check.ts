import { createHash, createHmac } from 'node:crypto'

/**
 * Signature Version 4 recomputed from what stood on the wire, by the AWS reference "Create a signed AWS API request",
 * with nothing but node:crypto. A judge of signers: it shares no code with any.
 */

export interface WireRequest {
  readonly method: string
  /** As in the request line. */
  readonly target: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Uint8Array
}

export interface ExpectedSigner {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly region: string
  readonly service: string
  /** Epoch milliseconds; default: now. */
  readonly nowMs?: number
}

/** Undefined when the signature is right, else what is wrong with it. */
export function signatureFault(request: WireRequest, signer: ExpectedSigner): string | undefined {
  const { headers } = request
  const authorization = String(headers.authorization ?? '')
  const parsed = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
    authorization,
  )
  if (parsed === null) return `no SigV4 authorization: "${authorization}"`
  const [credential, names, signature] = [parsed[1]!, parsed[2]!.split(';'), parsed[3]!]
  const date = String(headers['x-amz-date'] ?? '')
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(at - (signer.nowMs ?? Date.now())) < 300_000))
    return `x-amz-date ${date} is off by more than 5 minutes`
  const scope = `${date.slice(0, 8)}/${signer.region}/${signer.service}/aws4_request`
  if (credential !== `${signer.accessKeyId}/${scope}`) return `the credential is ${credential}, not for ${scope}`
  if (headers['x-amz-security-token'] !== signer.sessionToken) return 'the session token is not the one expected'
  const mustBeSigned = Object.keys(headers).filter(
    (name) => name.startsWith('x-amz-') || ['host', 'content-type'].includes(name),
  )
  const unsigned = mustBeSigned.filter((name) => !names.includes(name))
  if (unsigned.length > 0) return `not signed: ${unsigned.join(', ')}`
  if (names.join(';') !== names.toSorted().join(';')) return 'the signed headers are not in order'
  const wanted = signatureOf(request, names, date, scope, signer.secretAccessKey)
  return wanted === signature ? undefined : `the signature is ${signature}, not ${wanted}`
}

/** The same for a signature that stands in the query (presigned, as for a WebSocket's handshake). */
export function querySignatureFault(request: WireRequest, signer: ExpectedSigner): string | undefined {
  const [path = '', query = ''] = request.target.split('?', 2)
  const parameters = new URLSearchParams(query)
  const shown = (name: string) => parameters.get(`X-Amz-${name}`) ?? ''
  if (shown('Algorithm') !== 'AWS4-HMAC-SHA256') return 'no SigV4 in the query'
  const date = shown('Date')
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  const ageMs = (signer.nowMs ?? Date.now()) - at
  if (!(ageMs > -300_000 && ageMs < Number(shown('Expires')) * 1000)) return `signed at ${date}, which is over`
  const scope = `${date.slice(0, 8)}/${signer.region}/${signer.service}/aws4_request`
  if (shown('Credential') !== `${signer.accessKeyId}/${scope}`)
    return `the credential is ${shown('Credential')}, not for ${scope}`
  if ((parameters.get('X-Amz-Security-Token') ?? undefined) !== signer.sessionToken)
    return 'not the session token expected'
  const names = shown('SignedHeaders').split(';')
  if (!names.includes('host')) return 'the host is not signed'
  const signature = shown('Signature')
  const unsigned = query.split('&').filter((pair) => !pair.startsWith('X-Amz-Signature='))
  const bare = { ...request, target: `${path}?${unsigned.join('&')}` }
  const wanted = signatureOf(bare, names, date, scope, signer.secretAccessKey)
  return wanted === signature ? undefined : `the signature is ${signature}, not ${wanted}`
}

function signatureOf(
  request: WireRequest,
  names: readonly string[],
  date: string,
  scope: string,
  secret: string,
): string {
  const queryAt = request.target.indexOf('?')
  const path = queryAt === -1 ? request.target : request.target.slice(0, queryAt)
  const canonical = [
    request.method,
    path.split('/').map(uriEncode).join('/'),
    canonicalQuery(queryAt === -1 ? '' : request.target.slice(queryAt + 1)),
    ...names.map((name) => `${name}:${String(request.headers[name]).trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    sha256(request.body),
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const key = scope.split('/').reduce<Buffer | string>((secretSoFar, part) => hmac(secretSoFar, part), `AWS4${secret}`)
  return hmac(key, toSign).toString('hex')
}

function canonicalQuery(query: string): string {
  if (query === '') return ''
  return query
    .split('&')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=')
      return [uriEncode(decodeURIComponent(name)), uriEncode(decodeURIComponent(value.join('=')))] as const
    })
    .sort(
      ([a, x], [b, y]) =>
        Buffer.compare(Buffer.from(a), Buffer.from(b)) || Buffer.compare(Buffer.from(x), Buffer.from(y)),
    )
    .map((pair) => pair.join('='))
    .join('&')
}

/** UriEncode() of the reference: bytes of UTF-8, all but the unreserved characters. */
function uriEncode(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const char = String.fromCharCode(byte)
      return /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

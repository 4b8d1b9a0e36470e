import { isRegion, serviceHost } from '../model/aws-hosts.ts'
import { MeshError } from '../model/problem.ts'

/**
 * A presigned GetCallerIdentity as a proxy shows it: base64url of `{"url": ..., "audience": ...}`, the audience being the
 * control plane's URL, which the signature covers as header `x-weft-audience`. Everything in it is the caller's word, so
 * that nothing passes but the one request that is meant: it is sent on to STS, and must not become another call, go to
 * another host, or be one that was made for somebody else's ears.
 */

const SIGNED_HEADERS = 'host;x-weft-audience'
/** Every parameter there may be, once, and how it looks (SigV4, query parameters). */
const PARAMETERS: Readonly<Record<string, RegExp>> = {
  Action: /^GetCallerIdentity$/,
  Version: /^2011-06-15$/,
  'X-Amz-Algorithm': /^AWS4-HMAC-SHA256$/,
  'X-Amz-Credential': /^[A-Za-z0-9]{16,128}\/\d{8}\/[a-z0-9-]{4,32}\/sts\/aws4_request$/,
  'X-Amz-Date': /^\d{8}T\d{6}Z$/,
  'X-Amz-Expires': /^\d{1,3}$/,
  'X-Amz-SignedHeaders': new RegExp(`^${SIGNED_HEADERS}$`),
  'X-Amz-Signature': /^[0-9a-f]{64}$/,
  'X-Amz-Security-Token': /^[\w+/=-]{1,4096}$/,
}
const OPTIONAL = 'X-Amz-Security-Token'
const MAX_AGE_MS = 120_000
/** AWS takes clocks that are so far off. */
const MAX_SKEW_MS = 300_000

export interface PresignedIdentity {
  /** Made anew from what was checked. */
  readonly url: URL
  /** Value of the header `x-weft-audience`. */
  readonly audience: string
}

/** @throws MeshError `unauthenticated`, which says what does not fit, never with the signature in it. */
export function parsePresignedIdentity(
  text: string,
  expected: { readonly audiences: readonly string[]; readonly nowMs: number },
): PresignedIdentity {
  const { url: shown, audience } = decoded(text)
  const audienceHost = URL.parse(audience)?.hostname.replace(/^\[|\]$/g, '')
  if (audienceHost === undefined || !expected.audiences.includes(audienceHost)) {
    throw refused('its audience is not this control plane; the proxy must dial it by one of its --data-plane-name')
  }
  const url = URL.parse(shown)
  if (url === null || url.protocol !== 'https:' || !isSts(url.host)) throw refused('it is not for a host of STS')
  if (url.username !== '' || url.password !== '' || url.hash !== '' || url.pathname !== '/') {
    throw refused('its URL has more than host and query')
  }
  const values = parameters(url)
  refuseStale(values, expected.nowMs)
  const clean = new URL(`https://${url.host}/`)
  for (const [name, value] of values) clean.searchParams.set(name, value)
  return { url: clean, audience }
}

/** The global endpoint, or the public one of a region. */
function isSts(host: string): boolean {
  const region = host.split('.')[1] ?? ''
  return host === 'sts.amazonaws.com' || (isRegion(region) && host === serviceHost('sts', region))
}

function decoded(text: string): { readonly url: string; readonly audience: string } {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    throw refused('it is no JSON in base64url')
  }
  const { url, audience, ...rest } = (value ?? {}) as Record<string, unknown>
  if (typeof url !== 'string' || typeof audience !== 'string' || Object.keys(rest).length > 0) {
    throw refused('it must have exactly url and audience')
  }
  if (!/^https:\/\/[\x21-\x7e]{1,512}$/.test(audience)) throw refused('its audience is no URL of a control plane')
  return { url, audience }
}

function parameters(url: URL): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const [name, value] of url.searchParams) {
    const form = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined
    if (form === undefined) throw refused('it has a parameter that GetCallerIdentity does not need')
    if (values.has(name)) throw refused(`it has ${name} twice`)
    if (!form.test(value)) throw refused(`its ${name} is not what it must be`)
    values.set(name, value)
  }
  const missing = Object.keys(PARAMETERS).find((name) => name !== OPTIONAL && !values.has(name))
  if (missing !== undefined) throw refused(`it lacks ${missing}`)
  return values
}

function refuseStale(values: ReadonlyMap<string, string>, nowMs: number): void {
  const date = values.get('X-Amz-Date')!
  const atMs = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  const ageMs = nowMs - atMs
  if (!(ageMs <= MAX_AGE_MS + MAX_SKEW_MS && ageMs >= -MAX_SKEW_MS)) {
    throw refused(`it was signed at ${date}, too long ago or in the future; check the clocks of both machines`)
  }
  if (Number(values.get('X-Amz-Expires')) * 1000 > MAX_AGE_MS) throw refused('it stays valid for over two minutes')
}

function refused(why: string): MeshError {
  return new MeshError('unauthenticated', `The presigned GetCallerIdentity is refused: ${why}.`)
}

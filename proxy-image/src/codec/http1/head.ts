import { ProxyError } from '../../errors.ts'
import { CHUNKED, type RequestHead, type ResponseHead } from '../message.ts'
import { Fields } from './fields.ts'
import { type Framing, readFraming, requestBodyLength, responseBodyLength } from './framing.ts'
import { badRequest, badResponse, CR, FIELD_VALUE, LF, SP, TOKEN } from './syntax.ts'
import { wantedUpgrade } from './upgrade.ts'

/**
 * reg-name, IPv4 or bracketed IPv6, with an optional port (RFC 3986, section 3.2; no userinfo, RFC 9110 section 4.2.4). No
 * comma, though a reg-name may hold one: it is how two Hosts look to whom joins fields.
 */
export const AUTHORITY_FORM =
  /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+;=%-]{1,255})(?::(?:[0-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?$/
const ABSOLUTE = /^(https?):\/\/([^/?#]+)([/?].*)?$/i

/** Reads a whole request head: `text[start, end)` without the empty line, `end` at the first CR of `CRLF CRLF`. */
export function parseRequestHead(text: string, start: number, end: number): RequestHead | ProxyError {
  let at = start
  let c = text.charCodeAt(at)
  while (TOKEN[c] === 1) c = text.charCodeAt(++at)
  if (at === start || c !== SP) return badRequest('invalid method')
  const method = text.substring(start, at)
  const targetStart = ++at
  c = text.charCodeAt(at)
  // Only visible ASCII: anything else is read differently by different servers.
  while (c > SP && c < 0x7f) c = text.charCodeAt(++at)
  if (at === targetStart || c !== SP) return badRequest('invalid request target')
  const rawTarget = text.substring(targetStart, at)
  const version = parseVersion(text, at + 1)
  if (version === 0) return badRequest('invalid request line')
  if (text.charCodeAt(at + 9) !== CR || text.charCodeAt(at + 10) !== LF) return badRequest('invalid request line')
  if (version !== 11 && version !== 10) return badRequest('HTTP version is not 1.0 or 1.1', 'version_not_supported')

  const fields = new Fields(text)
  const fault = fields.parse(at + 11, end + 2)
  if (fault !== null) return badRequest(fault, fault === 'too many fields' ? 'head_too_large' : 'bad_request')
  const framing = readFraming(fields)
  const bodyLength = requestBodyLength(framing, version)
  if (bodyLength instanceof ProxyError) return bodyLength
  if (framing.hosts > 1) return badRequest('more than one Host')
  if (framing.hosts === 0 && version === 11) return badRequest('no Host')
  if (framing.host !== '' && !AUTHORITY_FORM.test(framing.host)) return badRequest('invalid Host')
  if (framing.hosts === 1 && framing.host === '' && version === 11) return badRequest('empty Host')
  if (framing.expect !== undefined && framing.expect !== '100-continue') return badRequest('unknown expectation')

  let target = rawTarget
  let authority = framing.host
  let scheme: 'http' | 'https' = 'http'
  if (method === 'CONNECT') return badRequest('CONNECT is not offered here', 'not_implemented')
  if (target.charCodeAt(0) !== 47) {
    const absolute = ABSOLUTE.exec(target)
    if (absolute !== null && AUTHORITY_FORM.test(absolute[2]!)) {
      // RFC 9112, section 3.2.2: the target's authority wins over Host.
      authority = absolute[2]!
      scheme = absolute[1]!.length === 5 ? 'https' : 'http'
      const rest = absolute[3] ?? ''
      target = rest.startsWith('/') ? rest : `/${rest}`
    } else if (target !== '*' || method !== 'OPTIONS') return badRequest('invalid request target')
  }
  if (target.includes('#')) return badRequest('fragment in request target')
  const upgrade = mayUpgrade(method, version, framing) ? wantedUpgrade(framing, fields) : null
  return {
    method,
    target,
    authority,
    hostField: framing.hosts === 0 ? null : framing.host,
    scheme,
    version,
    fields,
    bodyLength: upgrade === null ? bodyLength : CHUNKED,
    keepAlive: version === 11 ? !framing.connectionClose : framing.connectionKeepAlive && !framing.connectionClose,
    expectContinue: framing.expect !== undefined && version === 11,
    upgrade,
  }
}

/** A wish for an upgrade may be ignored (RFC 9110, section 7.8): it is heard of GET without a body, as by extended CONNECT. */
function mayUpgrade(method: string, version: number, { upgrade, length, transferCoding, expect }: Framing): boolean {
  if (upgrade === undefined || method !== 'GET' || version < 11) return false
  return length === undefined && transferCoding === undefined && expect === undefined
}

/** Reads a whole response head, positions as in {@link parseRequestHead}. `method` is the request's. */
export function parseResponseHead(text: string, start: number, end: number, method: string): ResponseHead | ProxyError {
  const version = parseVersion(text, start)
  if (version !== 11 && version !== 10) return badResponse('no HTTP/1 status line')
  if (text.charCodeAt(start + 8) !== SP) return badResponse('invalid status line')
  const status = threeDigits(text, start + 9)
  if (status < 100 || status > 599) return badResponse('invalid status')
  let at = start + 12
  let c = text.charCodeAt(at)
  // The space before an empty phrase is often forgotten; nothing hides behind its absence.
  if (c !== SP && c !== CR) return badResponse('invalid status line')
  const phraseStart = c === SP ? at + 1 : at
  while (FIELD_VALUE[c] === 1) c = text.charCodeAt(++at)
  if (c !== CR || text.charCodeAt(at + 1) !== LF) return badResponse('invalid character in status line')
  const phrase = text.substring(phraseStart, at)

  const fields = new Fields(text)
  const fault = fields.parse(at + 2, end + 2)
  if (fault !== null) return badResponse(fault)
  const framing = readFraming(fields)
  const bodyLength = responseBodyLength(framing, version, status, method)
  if (bodyLength instanceof ProxyError) return bodyLength
  // RFC 9110, section 8.6: not there; a downstream might wait for such a body, or take the next answer for it.
  if ((status === 204 || status < 200) && framing.length !== undefined) fields.dropNamed('content-length')
  return {
    status,
    phrase,
    version,
    fields,
    bodyLength,
    keepAlive: version === 11 ? !framing.connectionClose : framing.connectionKeepAlive && !framing.connectionClose,
    upgrade: framing.upgrade,
  }
}

/** 10, 11, 20... for `HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`; 0 for anything else (RFC 9112, section 2.3). */
function parseVersion(text: string, at: number): number {
  if (!text.startsWith('HTTP/', at)) return 0
  const major = text.charCodeAt(at + 5) - 48
  const minor = text.charCodeAt(at + 7) - 48
  if (text.charCodeAt(at + 6) !== 46 || major < 0 || major > 9 || minor < 0 || minor > 9) return 0
  return major * 10 + minor
}

function threeDigits(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  const c = text.charCodeAt(at + 2) - 48
  if (a < 0 || a > 9 || b < 0 || b > 9 || c < 0 || c > 9) return -1
  return a * 100 + b * 10 + c
}

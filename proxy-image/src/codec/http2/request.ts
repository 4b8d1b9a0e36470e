import type { ProxyError } from '../../errors.ts'
import { AUTHORITY_FORM } from '../http1/head.ts'
import { badRequest, TOKEN } from '../http1/syntax.ts'
import { isUpgradeProtocol } from '../http1/upgrade.ts'
import { CHUNKED, type RequestHead } from '../message.ts'
import { AUTHORITY, type Field, fieldName, METHOD, PATH, PROTOCOL, SCHEME, STATUS_FIELD } from './field.ts'
import { Http2Fields } from './fields.ts'

/** A request whose stream must be reset: it is malformed (RFC 9113, section 8.1.1). */
export const MALFORMED = 'malformed'

const VISIBLE_ASCII = /^[\x21-\x7e]+$/
/** For the first proxy alone, as in HTTP/1. */
const PROXY_AUTHORIZATION = fieldName('proxy-authorization')

function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false
  return text !== ''
}

/**
 * Reads a request head (RFC 9113, section 8.3.1), and takes its list over. A malformed one resets its stream; one that is well-formed but can't be
 * taken is answered.
 */
export function requestHead(list: Field[], endStream: boolean): RequestHead | ProxyError | typeof MALFORMED {
  let seen = 0
  let method = ''
  let path = ''
  let scheme = ''
  let authority = ''
  let protocol = ''
  let pseudos = 0
  let forProxy = false
  for (let i = 0; i < list.length; i++) {
    const field = list[i]!
    if (field.malformed) return MALFORMED
    const { pseudo } = field.name
    if (pseudo === 0) {
      if (field.name === PROXY_AUTHORIZATION) forProxy = true
      continue
    }
    // Pseudo-header fields come first, each once, and no others than a request has.
    if (i !== pseudos++ || (seen & pseudo) !== 0 || pseudo === STATUS_FIELD) return MALFORMED
    seen |= pseudo
    if (pseudo === METHOD) method = field.value
    else if (pseudo === PATH) path = field.value
    else if (pseudo === SCHEME) scheme = field.value
    else if (pseudo === AUTHORITY) authority = field.value
    else if (pseudo === PROTOCOL) protocol = field.value.toLowerCase()
  }
  // In HTTP/1 a space in it would be a request of its own.
  if (!isToken(method)) return MALFORMED
  const isUpgrade = (seen & PROTOCOL) !== 0
  if (isUpgrade !== (method === 'CONNECT')) {
    return isUpgrade ? MALFORMED : badRequest('CONNECT is not offered here', 'not_implemented')
  }
  if (isUpgrade && !isUpgradeProtocol(protocol)) return badRequest('no such protocol', 'not_implemented')
  if ((seen & (METHOD | PATH | SCHEME)) !== (METHOD | PATH | SCHEME) || path === '') return MALFORMED
  const kept = forProxy ? list.filter(({ name }) => name !== PROXY_AUTHORIZATION) : list
  const fields = new Http2Fields(kept, pseudos)
  const host = fields.get('host')
  if (authority === '') authority = host ?? ''
  // Two names for one place are read differently by different servers.
  else if (host !== undefined && host.toLowerCase() !== authority.toLowerCase()) return MALFORMED
  if (authority === '' || !AUTHORITY_FORM.test(authority)) return badRequest('no valid authority')
  if (!VISIBLE_ASCII.test(path) || path.includes('#')) return badRequest('invalid path')
  if (path.charCodeAt(0) !== 47 && !(path === '*' && method === 'OPTIONS')) return badRequest('invalid path')
  if (scheme !== 'http' && scheme !== 'https') return badRequest('the scheme is neither http nor https')
  const length = bodyLength(fields, endStream)
  if (length === MALFORMED) return MALFORMED
  const expect = fields.get('expect')?.toLowerCase()
  if (expect !== undefined && expect !== '100-continue') return badRequest('unknown expectation')
  if (isUpgrade && (fields.get('content-length') !== undefined || expect !== undefined)) return MALFORMED
  return {
    // It is routed as the GET that it is in HTTP/1.1.
    method: isUpgrade ? 'GET' : method,
    target: path,
    authority,
    hostField: host ?? null,
    scheme,
    version: 20,
    fields,
    bodyLength: isUpgrade ? CHUNKED : length,
    keepAlive: true,
    expectContinue: expect !== undefined,
    upgrade: isUpgrade ? protocol : null,
  }
}

/** Bytes, or CHUNKED where nobody said. */
export function bodyLength(fields: Http2Fields, endStream: boolean): number | typeof MALFORMED {
  const given = fields.get('content-length')
  if (given === undefined) return endStream ? 0 : CHUNKED
  if (!/^\d{1,15}$/.test(given)) return MALFORMED
  const bytes = Number(given)
  if (!endStream) return bytes
  return bytes === 0 ? 0 : MALFORMED
}

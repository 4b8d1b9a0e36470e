import type { ProxyError } from '../../errors.ts'
import { CHUNKED, UNTIL_CLOSE } from '../message.ts'
import type { Fields } from './fields.ts'
import { badRequest, badResponse } from './syntax.ts'

/** What the framing and connection fields of a head say. Filled by {@link readFraming} in one pass. */
export interface Framing {
  /** Content-Length, or undefined. */
  length: number | undefined
  /** Value of Transfer-Encoding in lower case, or undefined. */
  transferCoding: string | undefined
  hosts: number
  host: string
  connectionClose: boolean
  connectionKeepAlive: boolean
  connectionUpgrade: boolean
  /** Value of Upgrade, or undefined. */
  upgrade: string | undefined
  expect: string | undefined
  fault: string | null
}

const DIGITS = /^\d{1,15}$/

/**
 * Reads the fields that frame a message or belong to this connection alone, and keeps the latter from being forwarded
 * (RFC 9110, section 7.6.1). Everything that two parsers could read differently is a fault (RFC 9112, section 11.2).
 */
export function readFraming(fields: Fields): Framing {
  const framing: Framing = {
    length: undefined,
    transferCoding: undefined,
    hosts: 0,
    host: '',
    connectionClose: false,
    connectionKeepAlive: false,
    connectionUpgrade: false,
    upgrade: undefined,
    expect: undefined,
    fault: null,
  }
  for (let i = 0, n = fields.count; i < n; i++) {
    // The length of the name rules out nearly every field before a character is compared.
    switch (fields.nameLength(i)) {
      case 2:
        if (fields.nameIs(i, 'te')) fields.drop(i)
        break
      case 4:
        if (fields.nameIs(i, 'host')) {
          framing.hosts++
          framing.host = fields.value(i)
        }
        break
      case 6:
        if (fields.nameIs(i, 'expect')) framing.expect = fields.value(i).toLowerCase()
        break
      case 7:
        if (fields.nameIs(i, 'upgrade')) {
          const value = fields.value(i)
          framing.upgrade = framing.upgrade === undefined ? value : `${framing.upgrade}, ${value}`
          fields.drop(i)
        }
        break
      case 10:
        if (fields.nameIs(i, 'connection')) readConnection(fields, i, framing)
        else if (fields.nameIs(i, 'keep-alive')) fields.drop(i)
        break
      case 14:
        if (fields.nameIs(i, 'content-length')) readLength(fields.value(i), framing)
        break
      case 16:
        if (fields.nameIs(i, 'proxy-connection')) fields.drop(i)
        break
      case 17:
        if (fields.nameIs(i, 'transfer-encoding')) {
          const value = fields.value(i).toLowerCase()
          framing.transferCoding = framing.transferCoding === undefined ? value : `${framing.transferCoding}, ${value}`
          fields.drop(i)
        }
        break
      case 19:
        if (fields.nameIs(i, 'proxy-authorization')) fields.drop(i)
        break
    }
  }
  if (framing.length !== undefined && framing.transferCoding !== undefined) {
    framing.fault = 'both Content-Length and Transfer-Encoding'
  }
  return framing
}

function readLength(value: string, framing: Framing): void {
  if (framing.length !== undefined) framing.fault = 'more than one Content-Length'
  else if (!DIGITS.test(value)) framing.fault = 'invalid Content-Length'
  else framing.length = Number(value)
}

/** Fields that the message can't do without; naming them in Connection must not take them away. */
const KEPT = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'close', 'keep-alive'])

function readConnection(fields: Fields, i: number, framing: Framing): void {
  fields.drop(i)
  const value = fields.value(i).toLowerCase()
  if (value === 'keep-alive') framing.connectionKeepAlive = true
  else if (value === 'close') framing.connectionClose = true
  else {
    for (const option of value.split(',')) {
      const name = option.trim()
      if (name === 'close') framing.connectionClose = true
      else if (name === 'keep-alive') framing.connectionKeepAlive = true
      else if (name === 'upgrade') framing.connectionUpgrade = true
      else if (name !== '' && !KEPT.has(name)) fields.dropNamed(name)
    }
  }
}

/** Length of a request body: bytes or CHUNKED (RFC 9112, section 6.3), or why it can't be known. */
export function requestBodyLength(framing: Framing, version: number): number | ProxyError {
  if (framing.fault !== null) return badRequest(framing.fault)
  const coding = framing.transferCoding
  if (coding === undefined) return framing.length ?? 0
  if (version < 11) return badRequest('Transfer-Encoding in HTTP/1.0')
  if (coding === 'chunked') return CHUNKED
  const codings = coding.split(',').map((one) => one.trim())
  if (codings.at(-1) !== 'chunked' || codings.indexOf('chunked') !== codings.length - 1) {
    return badRequest('chunked is not the final transfer coding')
  }
  return badRequest(`transfer coding ${codings[0]} is not supported`, 'not_implemented')
}

/** Length of a response body: bytes, CHUNKED or UNTIL_CLOSE (RFC 9112, section 6.3). */
export function responseBodyLength(
  framing: Framing,
  version: number,
  status: number,
  requestMethod: string,
): number | ProxyError {
  if (framing.fault !== null) return badResponse(framing.fault)
  const coding = framing.transferCoding
  if (coding !== undefined && version < 11) return badResponse('Transfer-Encoding in HTTP/1.0')
  if (coding !== undefined && coding !== 'chunked') return badResponse(`transfer coding ${coding} is not supported`)
  if (requestMethod === 'HEAD' || status === 204 || status === 304 || status < 200) return 0
  if (coding !== undefined) return CHUNKED
  return framing.length ?? UNTIL_CLOSE
}

import { ProxyError } from '../../errors.ts'

/** Limits of a message head. Over them the request is 431 and the response is a protocol error. */
export const MAX_HEAD_BYTES = 60 * 1024
export const MAX_FIELDS = 100

/** 1 for the tchar of RFC 9110, section 5.6.2. */
export const TOKEN = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[c.charCodeAt(0)] = 1
}

/** 1 for what a field value may hold: HTAB, SP, VCHAR and obs-text (RFC 9110, section 5.5). */
export const FIELD_VALUE = new Uint8Array(256).fill(1)
FIELD_VALUE.fill(0, 0, 0x20)
FIELD_VALUE[0x09] = 1
FIELD_VALUE[0x7f] = 0

export const CR = 13
export const LF = 10
export const SP = 32
export const HTAB = 9
export const COLON = 58

/** The downstream broke the protocol. `reason` decides the status (RFC 9112). */
export function badRequest(
  message: string,
  reason: 'bad_request' | 'head_too_large' | 'not_implemented' | 'version_not_supported' = 'bad_request',
): ProxyError {
  return new ProxyError(reason, 'downstream', { message })
}

/** The upstream broke the protocol: its answer can't be trusted, and neither can its connection. */
export function badResponse(message: string): ProxyError {
  return new ProxyError('upstream_protocol', 'upstream', { message, retry: 'idempotent' })
}

/** Case-insensitive comparison of a slice with a lower-case ASCII word, without making a string. */
export function sliceIs(text: string, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false
  for (let i = 0; i < word.length; i++) {
    let c = text.charCodeAt(start + i)
    if (c >= 65 && c <= 90) c |= 32
    if (c !== word.charCodeAt(i)) return false
  }
  return true
}

/** Nearly every head is shorter; what follows it in the same read need not become text. */
const USUAL_HEAD_BYTES = 2048

/** The text to look for a head in: what came before, and as much of `chunk[from, end)` as seems needed. */
export function headText(partial: string, chunk: Buffer, from: number, end: number): string {
  if (end - from > USUAL_HEAD_BYTES) {
    const text = partial + chunk.toString('latin1', from, from + USUAL_HEAD_BYTES)
    if (text.includes('\r\n\r\n')) return text
  }
  return partial + chunk.toString('latin1', from, end)
}

/** A new request's first bytes may be malformed long before the head is complete: bare LF or NUL can't become valid. */
export const NEVER_VALID = /[^\r]\n|\0/

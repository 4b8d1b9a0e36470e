import { http } from '../../node-http.ts'
import type { ResponseHead } from '../message.ts'

/** Status line of an upstream's answer. HTTP/2 has no phrases. */
export function statusLine({ status, phrase, version }: ResponseHead): string {
  return `HTTP/1.1 ${status} ${version === 20 ? (http.STATUS_CODES[status] ?? '') : phrase}\r\n`
}

/** A whole answer of the proxy's own as latin1 text. `lines` are full lines; `headOnly`: its body is not sent. */
export function ownAnswer(status: number, lines: string, body: string, headOnly: boolean): string {
  const head =
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Unknown'}\r\n` +
    (body === '' ? '' : 'content-type: text/plain; charset=utf-8\r\n') +
    `content-length: ${Buffer.byteLength(body)}\r\n${lines}\r\n`
  return headOnly ? head : head + Buffer.from(body).toString('latin1')
}

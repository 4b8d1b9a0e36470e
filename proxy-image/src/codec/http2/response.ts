import { CHUNKED, type ResponseHead } from '../message.ts'
import { type Field, STATUS_FIELD } from './field.ts'
import { fieldOf } from './field-cache.ts'
import { Http2Fields } from './fields.ts'
import { bodyLength, MALFORMED } from './request.ts'

/** Reads a response head (RFC 9113, section 8.3.2); undefined when it is malformed. `method` is the request's. */
export function responseHead(list: readonly Field[], endStream: boolean, method: string): ResponseHead | undefined {
  const [first, ...ordinary] = list
  if (first?.name.pseudo !== STATUS_FIELD || !/^[1-5]\d\d$/.test(first.value)) return undefined
  if (ordinary.some((field) => field.malformed || field.name.pseudo !== 0)) return undefined
  const status = Number(first.value)
  const fields = new Http2Fields(ordinary)
  const bodiless = method === 'HEAD' || status === 204 || status === 304 || status < 200
  // Of these a length says what is not there.
  const length = bodiless ? 0 : bodyLength(fields, endStream)
  if (length === MALFORMED) return undefined
  if (bodiless && (status === 204 || status < 200)) fields.dropNamed('content-length')
  // An HTTP/1.1 downstream would wait for an end that nothing announces.
  if (!bodiless && endStream && fields.get('content-length') === undefined) fields.add('content-length', '0')
  return {
    status,
    phrase: '',
    version: 20,
    fields,
    bodyLength: length === CHUNKED && endStream ? 0 : length,
    keepAlive: true,
  }
}

const statuses: (Field | undefined)[] = []

/** `:status` of a number. */
export function statusField(status: number): Field {
  statuses[status] ??= fieldOf(':status', String(status))
  return statuses[status]
}

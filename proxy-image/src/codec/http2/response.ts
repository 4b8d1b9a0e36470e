import { CHUNKED, type ResponseHead } from '../message.ts'
import { type Field, fieldName, STATUS_FIELD } from './field.ts'
import { fieldOf } from './field-cache.ts'
import { Http2Fields } from './fields.ts'
import { bodyLength, MALFORMED } from './request.ts'

/** Reads a response head (RFC 9113, section 8.3.2), and takes its list over; undefined when it is malformed. `method` is the request's. */
export function responseHead(list: Field[], endStream: boolean, method: string): ResponseHead | undefined {
  const first = list[0]
  const status = first?.name.pseudo === STATUS_FIELD ? statusOf(first.value) : 0
  if (status === 0) return undefined
  for (let i = 1; i < list.length; i++) if (list[i]!.malformed || list[i]!.name.pseudo !== 0) return undefined
  const fields = new Http2Fields(list, 1)
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

/** Three digits, the first from 1 to 5; 0 for anything else. */
function statusOf(value: string): number {
  const [hundreds, tens, ones] = [value.charCodeAt(0) - 48, value.charCodeAt(1) - 48, value.charCodeAt(2) - 48]
  const isStatus = value.length === 3 && hundreds >= 1 && hundreds <= 5 && isDigit(tens) && isDigit(ones)
  return isStatus ? hundreds * 100 + tens * 10 + ones : 0
}

function isDigit(value: number): boolean {
  return value >= 0 && value <= 9
}

const STATUS_NAME = fieldName(':status')
const statuses: (Field | undefined)[] = []

/** `:status` of a number. */
export function statusField(status: number): Field {
  statuses[status] ??= fieldOf(STATUS_NAME, String(status))
  return statuses[status]
}

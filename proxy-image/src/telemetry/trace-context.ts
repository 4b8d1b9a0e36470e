import type { Fields } from '../codec/http1/fields.ts'

/** The fields that carry a trace: W3C Trace Context's two, and X-Ray's. */
export const TRACEPARENT = 'traceparent'
export const TRACESTATE = 'tracestate'
export const AMZN_TRACE_ID = 'x-amzn-trace-id'

/** Where a request stands in a trace, as its sender says. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 such digits; null where only the trace is known, as from a load balancer. */
  readonly parentId: string | null
  /** Null: the sender leaves it to us. */
  readonly sampled: boolean | null
  /** The field that it was read from: `tracestate` belongs to the first one only. */
  readonly form: 'w3c' | 'xray'
}

/** Version, trace, parent and flags; version 00 ends there, later ones may go on (W3C Trace Context, section 3.2). */
const W3C = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?$/
/** Enough for any later version that is well-meant. */
const MAX_W3C = 256
const ROOT = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/i
const PARENT = /^[0-9a-f]{16}$/i
/** X-Ray's own fields and some of the user's; what is longer is nobody's trace. */
const MAX_XRAY = 512
/** What every participant must carry (W3C Trace Context, section 3.3.1.5); longer ones travel on, but stay out of spans. */
const MAX_TRACESTATE = 512
const ZERO_TRACE = '0'.repeat(32)
const ZERO_SPAN = '0'.repeat(16)

/** The context that a request came with: `traceparent` before `X-Amzn-Trace-Id`; null without a valid one. */
export function readContext(fields: Fields): TraceContext | null {
  const w3c = fields.get(TRACEPARENT)
  const context = w3c === undefined ? null : parseTraceparent(w3c)
  if (context !== null) return context
  const xray = fields.get(AMZN_TRACE_ID)
  return xray === undefined ? null : parseAmznTraceId(xray)
}

/** Null for what the specification says to ignore: version ff, zero ids, upper case, anything after version 00. */
export function parseTraceparent(value: string): TraceContext | null {
  if (value.length > MAX_W3C) return null
  const match = W3C.exec(value)
  if (match === null) return null
  const [, version, traceId, parentId, flags, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null
  if (traceId === ZERO_TRACE || parentId === ZERO_SPAN) return null
  return { traceId: traceId!, parentId: parentId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1, form: 'w3c' }
}

/**
 * `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1|?>` in any order, other keys ignored. Null without a valid Root,
 * or with two.
 * https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
 */
export function parseAmznTraceId(value: string): TraceContext | null {
  if (value.length > MAX_XRAY) return null
  let traceId: string | null = null
  let parentId: string | null = null
  let sampled: boolean | null = null
  for (const part of value.split(';')) {
    const [key, word = ''] = part.trim().split('=', 2)
    if (key === 'Root') {
      const root = ROOT.exec(word)
      if (root === null || traceId !== null) return null
      traceId = (root[1]! + root[2]!).toLowerCase()
    } else if (key === 'Parent') parentId = PARENT.test(word) && word !== ZERO_SPAN ? word.toLowerCase() : null
    else if (key === 'Sampled') sampled = word === '1' ? true : word === '0' ? false : null
  }
  if (traceId === null || traceId === ZERO_TRACE) return null
  return { traceId, parentId, sampled, form: 'xray' }
}

/** Takes the place of whatever the request carried: both forms, saying the same. */
export function writeContext(
  fields: Fields,
  parent: TraceContext | null,
  span: { readonly traceId: string; readonly spanId: string; readonly sampled: boolean },
): void {
  const { traceId, spanId, sampled } = span
  fields.dropNamed(TRACEPARENT)
  fields.dropNamed(AMZN_TRACE_ID)
  // The state of another trace than the one we go on with (W3C Trace Context, section 4.3).
  if (parent?.form !== 'w3c') fields.dropNamed(TRACESTATE)
  fields.add(TRACEPARENT, `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`)
  const root = `1-${traceId.substring(0, 8)}-${traceId.substring(8)}`
  fields.add(AMZN_TRACE_ID, `Root=${root};Parent=${spanId};Sampled=${sampled ? '1' : '0'}`)
}

/** The `tracestate` that belongs to a context; undefined without one that a span can hold. */
export function traceStateOf(fields: Fields, context: TraceContext | null): string | undefined {
  if (context?.form !== 'w3c') return undefined
  const state = fields.get(TRACESTATE)
  return state === undefined || state === '' || state.length > MAX_TRACESTATE ? undefined : state
}

// ---- ids ------------------------------------------------------------------------------------------------------------

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * A new trace id. It begins with the second, which X-Ray's form shows and its older parts look at; the other 96 bits are
 * random. Like request ids it tells requests apart and guards nothing, so it need not come from the system's generator.
 */
export function newTraceId(epochMs: number): string {
  return hex(Math.floor(epochMs / 1000)) + hex(random32()) + hex(random32()) + hex(random32())
}

export function newSpanId(): string {
  // Never zero, which means none.
  return hex(random32() | 1) + hex(random32())
}

function random32(): number {
  return Math.random() * 0x1_0000_0000
}

function hex(word: number): string {
  const w = word >>> 0
  return HEX[w >>> 24]! + HEX[(w >>> 16) & 255]! + HEX[(w >>> 8) & 255]! + HEX[w & 255]!
}

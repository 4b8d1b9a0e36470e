import type { FieldSection } from '../codec/field-section.ts'
import { SP } from '../codec/http1/syntax.ts'

/** The fields that carry a trace: W3C Trace Context's two, and X-Ray's. */
const TRACEPARENT = 'traceparent'
const TRACESTATE = 'tracestate'
const AMZN_TRACE_ID = 'x-amzn-trace-id'

/** Where a request stands in a trace, as its sender says. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 such digits; null where only the trace is known, as from a load balancer. */
  readonly parentId: string | null
  /** Null: the sender leaves it to us. */
  readonly sampled: boolean | null
  /** Whether the sender calls the trace's id random (W3C Trace Context level 2, section 3.2.2.5.2), which travels on. */
  readonly random: boolean
  /** X-Ray's further fields, such as `;Self=...;Lineage=...`, which travel on. */
  readonly further: string
  /** The field that it was read from: `tracestate` belongs to the first one only. */
  readonly form: 'w3c' | 'xray'
}

/** Version, trace, parent and flags. Version 00 ends there, later ones may go on (W3C Trace Context, section 3.2). */
const W3C = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[ -~]*)?$/
const W3C_LENGTH = 55
/** Enough for any later version that is well-meant. */
const MAX_W3C = 256
const ROOT = /^1-[0-9a-f]{8}-[0-9a-f]{24} *$/
const PARENT = /^[0-9a-f]{16} *$/
/** X-Ray's own fields and some of the user's; what is longer is nobody's trace. */
const MAX_XRAY = 512
/** What every participant must carry (W3C Trace Context, section 3.3.1.5); longer ones travel on, but stay out of spans. */
const MAX_TRACESTATE = 512
const ZERO_TRACE = '0'.repeat(32)
const ZERO_SPAN = '0'.repeat(16)

/** What a request carries of a trace, valid or not; null for nothing at all, which is what most requests carry. */
export interface CarriedTrace {
  readonly context: TraceContext | null
  /** The fields as they came; null where there is none. */
  readonly w3c: string | null
  readonly xray: string | null
  readonly hasState: boolean
}

/** Looks at each field once, and first at the length of its name: this is done for every request. */
export function readTrace(fields: FieldSection): CarriedTrace | null {
  let w3c: string | null = null
  let xray: string | null = null
  let hasState = false
  for (let i = 0, n = fields.count; i < n; i++) {
    const length = fields.nameLength(i)
    if (length === TRACEPARENT.length) {
      // Two of a kind contradict each other: joined, they are valid in neither form.
      if (fields.nameIs(i, TRACEPARENT)) w3c = w3c === null ? fields.value(i) : `${w3c}, ${fields.value(i)}`
    } else if (length === AMZN_TRACE_ID.length) {
      if (fields.nameIs(i, AMZN_TRACE_ID)) xray = xray === null ? fields.value(i) : `${xray}, ${fields.value(i)}`
    } else if (length === TRACESTATE.length && fields.nameIs(i, TRACESTATE)) hasState = true
  }
  if (w3c === null && xray === null && !hasState) return null
  const context = (w3c === null ? null : parseTraceparent(w3c)) ?? (xray === null ? null : parseAmznTraceId(xray))
  return { context, w3c, xray, hasState }
}

/** Null for what the specification says to ignore: version ff, zero ids, upper case, anything after version 00. */
export function parseTraceparent(value: string): TraceContext | null {
  if (value.length < W3C_LENGTH || value.length > MAX_W3C || !W3C.test(value) || value.startsWith('ff')) return null
  if (value.length > W3C_LENGTH && value.startsWith('00')) return null
  const traceId = value.substring(3, 35)
  const parentId = value.substring(36, 52)
  if (traceId === ZERO_TRACE || parentId === ZERO_SPAN) return null
  const flags = Number.parseInt(value.charAt(54), 16)
  return { traceId, parentId, sampled: (flags & 1) !== 0, random: (flags & 2) !== 0, further: '', form: 'w3c' }
}

/**
 * `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1|?>` in any order, and further fields. Null without a valid
 * Root, or with two.
 * https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
 */
export function parseAmznTraceId(value: string): TraceContext | null {
  if (value.length > MAX_XRAY) return null
  let traceId: string | null = null
  let parentId: string | null = null
  let sampled: boolean | null = null
  let further = ''
  for (let at = 0, end = 0; at < value.length; at = end + 1) {
    end = value.indexOf(';', at)
    if (end < 0) end = value.length
    while (value.charCodeAt(at) === SP) at++
    if (value.startsWith('Root=', at)) {
      const root = value.substring(at + 5, end)
      if (traceId !== null || !ROOT.test(root)) return null
      traceId = root.substring(2, 10) + root.substring(11, 35)
    } else if (value.startsWith('Parent=', at)) {
      const parent = value.substring(at + 7, end)
      parentId = PARENT.test(parent) && !parent.startsWith(ZERO_SPAN) ? parent.substring(0, 16) : null
    } else if (value.startsWith('Sampled=', at)) {
      const decision = value.charCodeAt(at + 8)
      sampled = decision === 49 ? true : decision === 48 ? false : null
    } else if (at < end) further += `;${value.substring(at, end)}`
  }
  if (traceId === null || traceId === ZERO_TRACE) return null
  return { traceId, parentId, sampled, random: false, further, form: 'xray' }
}

/**
 * Lets a request go on unsampled under its sender's span, both forms saying so. What says so already stays as it came: within
 * a mesh that is nearly every request.
 */
export function writeUnsampled(fields: FieldSection, carried: CarriedTrace | null, traceId: string): void {
  const { context = null, w3c = null, xray = null, hasState = false } = carried ?? {}
  const spanId = context?.parentId ?? newSpanId()
  if (context?.sampled === false) {
    if (context.form === 'xray' && w3c === null) {
      if (hasState) fields.dropNamed(TRACESTATE)
      fields.add(TRACEPARENT, traceparent(traceId, spanId, 0))
      return
    }
    const other = amznTraceId(traceId, spanId, false)
    if (context.form === 'w3c' && (xray === null || xray === other)) {
      if (xray === null) fields.add(AMZN_TRACE_ID, other)
      return
    }
  }
  writeTrace(fields, carried, { traceId, spanId, sampled: false })
}

/** Takes the place of what the request carried: both forms, saying the same. */
export function writeTrace(
  fields: FieldSection,
  carried: CarriedTrace | null,
  span: { readonly traceId: string; readonly spanId: string; readonly sampled: boolean },
): void {
  const { traceId, spanId, sampled } = span
  let random = false
  let further = ''
  if (carried !== null) {
    const { context, w3c, xray, hasState } = carried
    random = context?.random === true
    if (w3c !== null) fields.dropNamed(TRACEPARENT)
    if (xray !== null) {
      fields.dropNamed(AMZN_TRACE_ID)
      const own = context?.form === 'xray' ? context : parseAmznTraceId(xray)
      if (own?.traceId === traceId) further = own.further
    }
    // The state of another trace than the one that goes on (W3C Trace Context, section 4.3).
    if (hasState && context?.form !== 'w3c') fields.dropNamed(TRACESTATE)
  }
  fields.add(TRACEPARENT, traceparent(traceId, spanId, (random ? 2 : 0) + (sampled ? 1 : 0)))
  fields.add(AMZN_TRACE_ID, amznTraceId(traceId, spanId, sampled) + further)
}

function traceparent(traceId: string, spanId: string, flags: number): string {
  return `00-${traceId}-${spanId}-0${flags}`
}

function amznTraceId(traceId: string, spanId: string, sampled: boolean): string {
  return `Root=1-${traceId.substring(0, 8)}-${traceId.substring(8)};Parent=${spanId};Sampled=${sampled ? '1' : '0'}`
}

/** The `tracestate` of the trace that goes on; undefined without one that a span can hold. */
export function traceStateOf(fields: FieldSection, carried: CarriedTrace | null): string | undefined {
  if (carried === null || !carried.hasState || carried.context?.form !== 'w3c') return undefined
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

import type { Attributes, HrTime, SpanContext, TraceState } from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { http } from '../node-http.ts'
import type { AccessLogRecord } from './access-log.ts'

/** What spans tell of one finished exchange. */
export interface SpanRecord extends AccessLogRecord {
  /** `performance.now()` of the first byte of the request. */
  readonly startedAtMs: number
  readonly scheme: 'http' | 'https'
  readonly edge: 'outbound' | 'gateway' | null
  /** As the downstream sent them; `target` and `authority` are what a gateway made of them. */
  readonly asked: { readonly target: string; readonly authority: string }
}

/** One attempt that was not the last. */
interface Retry {
  /** `performance.now()` when it was given up. */
  readonly atMs: number
  /** Counts from 1. */
  readonly attempt: number
  /** A reason of errors.ts, or a status. */
  readonly reason: string
  /** `address:port`. */
  readonly endpoint: string
}

/** The trace of one sampled exchange, kept from its head to its end. */
export interface RequestTrace {
  readonly traceId: string
  /** Of the span that the request goes upstream under. */
  readonly spanId: string
  /** Of the span around it, at a gateway only. */
  readonly serverSpanId: string | null
  readonly parentId: string | null
  readonly traceState: string | undefined
  readonly retries: Retry[]
  /** Retries that the list has no room for. */
  droppedRetries: number
}

/** What all spans of one proxy share. */
export interface SpanScope {
  readonly resource: Resource
  readonly instrumentationScope: ReadableSpan['instrumentationScope']
  /** Epoch milliseconds at `performance.now() === 0`. */
  epochMs: number
}

/** SpanKind of the OpenTelemetry API, whose module need not be loaded for two numbers. */
const SERVER = 1
const CLIENT = 2
const UNSET = 0
const ERROR = 2
const SAMPLED = 1
/** Longer values say nothing more to people, and X-Ray takes spans up to 200 KB. */
const MAX_TEXT = 512

/** The resource of a proxy: `attributes` is all that a serializer looks at. */
export function resourceOf(attributes: Attributes): Resource {
  return { attributes } as Resource
}

/**
 * The spans of an exchange by OpenTelemetry's HTTP conventions: CLIENT for what leaves the app, SERVER for what reaches
 * it, both at a gateway. Query strings stay out: they hold tokens and names.
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
export function spansOf(trace: RequestTrace, record: SpanRecord, scope: SpanScope): ReadableSpan[] {
  const { serverSpanId, spanId, parentId } = trace
  if (record.edge === 'outbound') return [span(trace, record, scope, { kind: CLIENT, spanId, parentId })]
  if (serverSpanId === null) return [span(trace, record, scope, { kind: SERVER, spanId, parentId })]
  const server = span(trace, record, scope, { kind: SERVER, spanId: serverSpanId, parentId })
  // What a gateway refuses by itself never went anywhere.
  if (record.attempts === 0) return [server]
  return [server, span(trace, record, scope, { kind: CLIENT, spanId, parentId: serverSpanId })]
}

interface Place {
  readonly kind: typeof SERVER | typeof CLIENT
  readonly spanId: string
  readonly parentId: string | null
}

function span(trace: RequestTrace, record: SpanRecord, scope: SpanScope, place: Place): ReadableSpan {
  const { kind, spanId, parentId } = place
  const startMs = scope.epochMs + record.startedAtMs
  const context = contextOf(trace, spanId)
  // Retries are told where they happen: towards upstream.
  const withRetries = kind === CLIENT || record.edge === null
  const local = kind === CLIENT && record.edge === 'gateway'
  return {
    name: `${methodOf(record) ?? 'HTTP'}${record.route === null ? '' : ` ${record.route}`}`,
    kind,
    spanContext: () => context,
    ...(parentId === null ? {} : { parentSpanContext: { ...contextOf(trace, parentId), isRemote: !local } }),
    startTime: hrTime(startMs),
    endTime: hrTime(startMs + record.durationMs),
    duration: hrTime(record.durationMs),
    status: statusOf(record, kind),
    attributes: kind === CLIENT ? clientSide(record) : serverSide(record),
    events: withRetries ? trace.retries.map((retry) => retryEvent(retry, scope)) : [],
    droppedEventsCount: withRetries ? trace.droppedRetries : 0,
    links: [],
    droppedAttributesCount: 0,
    droppedLinksCount: 0,
    ended: true,
    resource: scope.resource,
    instrumentationScope: scope.instrumentationScope,
  }
}

function contextOf({ traceId, traceState }: RequestTrace, spanId: string): SpanContext {
  return {
    traceId,
    spanId,
    traceFlags: SAMPLED,
    ...(traceState === undefined ? {} : { traceState: { serialize: () => traceState } as TraceState }),
  }
}

function common(record: SpanRecord): Attributes {
  const { reason, status, route, upstreamCluster } = record
  const method = methodOf(record)
  return {
    'http.request.method': method ?? '_OTHER',
    ...(method === null ? { 'http.request.method_original': kept(record.method) } : {}),
    'url.scheme': record.scheme,
    'network.protocol.version': record.protocol.slice('HTTP/'.length),
    // 499 is ours, for those who write logs: nobody got it.
    ...(status === 0 || reason === 'downstream_closed' ? {} : { 'http.response.status_code': status }),
    ...(route === null ? {} : { 'weft.route': route }),
    ...(upstreamCluster === null ? {} : { 'weft.cluster': upstreamCluster }),
    ...(reason === null ? {} : { 'weft.reason': reason }),
  }
}

function serverSide(record: SpanRecord): Attributes {
  const agent = record.requestHeader('user-agent')
  const client = splitAddress(record.downstreamAddress)
  return {
    ...common(record),
    ...serverOf(record.asked.authority, record.scheme),
    'url.path': pathOf(record.asked.target),
    'client.address': client.host,
    ...(typeof agent === 'string' ? { 'user_agent.original': kept(agent) } : {}),
    ...(record.peerUri === null ? {} : { 'weft.peer': record.peerUri }),
    ...errorType(record, SERVER),
  }
}

function clientSide(record: SpanRecord): Attributes {
  const peer = record.upstreamAddress === null ? null : splitAddress(record.upstreamAddress)
  const { authority, scheme, target } = record
  return {
    ...common(record),
    ...serverOf(authority, scheme),
    'url.full': `${scheme}://${kept(authority ?? '')}${pathOf(target)}`,
    ...(peer === null ? {} : { 'network.peer.address': peer.host, 'network.peer.port': peer.port }),
    ...(record.attempts > 1 ? { 'http.request.resend_count': record.attempts - 1 } : {}),
    ...errorType(record, CLIENT),
  }
}

/** An answer of 4xx is the client's fault: an error to who asked, none to who was asked. */
function failed({ status, reason }: SpanRecord, kind: Place['kind']): boolean {
  return status >= 500 || (kind === CLIENT && (status >= 400 || reason !== null))
}

function errorType(record: SpanRecord, kind: Place['kind']): Attributes {
  return failed(record, kind) ? { 'error.type': record.reason ?? String(record.status) } : {}
}

function statusOf(record: SpanRecord, kind: Place['kind']): ReadableSpan['status'] {
  if (!failed(record, kind)) return { code: UNSET }
  return record.reason === null ? { code: ERROR } : { code: ERROR, message: record.reason }
}

function retryEvent({ atMs, attempt, reason, endpoint }: Retry, scope: SpanScope): ReadableSpan['events'][number] {
  const { host, port } = splitAddress(endpoint)
  return {
    name: 'retry',
    time: hrTime(scope.epochMs + atMs),
    attributes: {
      'weft.attempt': attempt,
      'weft.reason': reason,
      'network.peer.address': host,
      'network.peer.port': port,
    },
  }
}

/** Null for a method that is not registered: what a client invents must not multiply names. */
function methodOf({ method }: SpanRecord): string | null {
  return http.METHODS.includes(method) ? method : null
}

function pathOf(target: string): string {
  const query = target.indexOf('?')
  return kept(query < 0 ? target : target.substring(0, query))
}

/** The host and port that were asked for. */
function serverOf(authority: string | null, scheme: 'http' | 'https'): Attributes {
  if (authority === null || authority === '') return {}
  const match = /^(.*?)(?::(\d{1,5}))?$/.exec(kept(authority))!
  return {
    'server.address': unbracketed(match[1]!.toLowerCase()),
    'server.port': match[2] === undefined ? (scheme === 'https' ? 443 : 80) : Number(match[2]),
  }
}

function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  return { host: unbracketed(address.substring(0, colon)), port: Number(address.substring(colon + 1)) }
}

/** IPv6 addresses stand in brackets where a port follows. */
function unbracketed(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host
}

/** A copy: a slice would keep the whole request that it was cut from alive until the export. */
function kept(text: string): string {
  return Buffer.from(text.slice(0, MAX_TEXT), 'latin1').toString('latin1')
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import protobuf from 'protobufjs'

/** OTLP's messages for traces (opentelemetry-proto 1.x), as far as a trace goes. */
const PROTO = `
syntax = "proto3";
message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
message ExportTraceServiceResponse { PartialSuccess partial_success = 1; }
message PartialSuccess { int64 rejected_spans = 1; string error_message = 2; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
message Scope { string name = 1; string version = 2; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
  enum Kind { UNSPECIFIED = 0; INTERNAL = 1; SERVER = 2; CLIENT = 3; }
  Kind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9;
  message Event { fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; }
  repeated Event events = 11; uint32 dropped_events_count = 12;
  message Status { string message = 2; enum Code { UNSET = 0; OK = 1; ERROR = 2; } Code code = 3; }
  Status status = 15; fixed32 flags = 16;
}`
const { root } = protobuf.parse(PROTO)
const REQUEST = root.lookupType('ExportTraceServiceRequest')
const RESPONSE = root.lookupType('ExportTraceServiceResponse')

type Attributes = Readonly<Record<string, string | number | boolean>>

/** A span as a receiver understands it. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  /** Empty without one. */
  readonly parentSpanId: string
  readonly traceState: string
  readonly name: string
  readonly kind: string
  /** Epoch nanoseconds. */
  readonly start: bigint
  readonly end: bigint
  readonly attributes: Attributes
  readonly events: readonly { readonly name: string; readonly time: bigint; readonly attributes: Attributes }[]
  readonly droppedEvents: number
  readonly status: { readonly code: string; readonly message: string }
  readonly resource: Attributes
  readonly scope: string
}

interface DecodedPairs {
  readonly attributes: readonly { key: string; value: Record<string, string | number | boolean> }[]
}
interface DecodedSpan extends DecodedPairs {
  readonly traceId: Uint8Array
  readonly spanId: Uint8Array
  readonly parentSpanId: Uint8Array
  readonly traceState: string
  readonly name: string
  readonly kind: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly events: readonly (DecodedPairs & { readonly name: string; readonly timeUnixNano: string })[]
  readonly droppedEventsCount: number
  readonly status: { readonly code: string; readonly message: string } | null
}
interface DecodedRequest {
  readonly resourceSpans: readonly {
    readonly resource: DecodedPairs
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string }
      readonly spans: readonly DecodedSpan[]
    }[]
  }[]
}

/** The spans of one OTLP request body. Throws for what is no such message. */
function decodeSpans(body: Uint8Array): ReceivedSpan[] {
  const options = { longs: String, enums: String, defaults: true }
  const { resourceSpans } = REQUEST.toObject(REQUEST.decode(body), options) as DecodedRequest
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => ({ ...received(span), resource: attributesOf(resource), scope: scope.name })),
    ),
  )
}

function received(span: DecodedSpan): Omit<ReceivedSpan, 'resource' | 'scope'> {
  return {
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: hex(span.parentSpanId),
    traceState: span.traceState,
    name: span.name,
    kind: span.kind,
    start: BigInt(span.startTimeUnixNano),
    end: BigInt(span.endTimeUnixNano),
    attributes: attributesOf(span),
    events: span.events.map((event) => ({
      name: event.name,
      time: BigInt(event.timeUnixNano),
      attributes: attributesOf(event),
    })),
    droppedEvents: span.droppedEventsCount,
    status: { code: span.status?.code ?? 'UNSET', message: span.status?.message ?? '' },
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function attributesOf({ attributes }: DecodedPairs): Attributes {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, boolValue, intValue, doubleValue } }) => [
      key,
      (intValue === undefined ? (stringValue ?? boolValue ?? doubleValue) : Number(intValue)) ?? '',
    ]),
  )
}

/** What a receiver saw of one export. */
export interface Export {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
  /** As it came, compressed perhaps. */
  readonly body: Buffer
}

/** A collector on loopback. `answer` may refuse; by default everything is taken. */
export async function startReceiver(answer?: (seen: Export, response: ServerResponse) => void) {
  const exports: Export[] = []
  const spans: ReceivedSpan[] = []
  const server = createServer(async (incoming, response) => {
    const { method = '', url: target = '', headers } = incoming
    const seen = { method, target, headers, body: await buffer(incoming) }
    exports.push(seen)
    answer?.(seen, response)
    if (response.headersSent || response.destroyed) return
    spans.push(...decodeSpans(headers['content-encoding'] === 'gzip' ? gunzipSync(seen.body) : seen.body))
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exports,
    /** Of exports that were taken. */
    spans,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The body of an answer that took all but some spans. */
export function partialSuccess(rejectedSpans: number): Buffer {
  return Buffer.from(RESPONSE.encode(RESPONSE.create({ partialSuccess: { rejectedSpans } })).finish())
}

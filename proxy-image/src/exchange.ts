import type { RequestView } from '../../runtime/model/match.ts'
import { RequestBody } from './attempts/request-body.ts'
import { REASON_FIELD } from './attempts/retry.ts'
import type { FieldSection } from './codec/field-section.ts'
import type { RequestHead, ResponseHead } from './codec/message.ts'
import type { DownstreamStream, RequestReceiver } from './codec/stream.ts'
import { type ProxyError, type Reason, STATUS } from './errors.ts'
import { grpcErrorHead, isGrpcRequest } from './grpc.ts'
import type { AccessLogRecord, LogAccess } from './telemetry/access-log.ts'
import type { ListenerMetrics, RequestMetrics } from './telemetry/request-metrics.ts'

/** The way through one listener that an exchange takes: what it needs of its chain. */
export interface ExchangeHome {
  readonly listener: ListenerMetrics
  /** Counts requests that found no route. */
  readonly unrouted: RequestMetrics
  readonly logAccess: LogAccess | null
  readonly scheme: 'http' | 'https'
  /** The port that the downstream asked for. */
  readonly port: number
  /** `outbound` and `gateway` requests get an ID; a gateway says besides who asked. Null: inbound. */
  readonly edge: 'outbound' | 'gateway' | null
  /** Full lines for an answer of the proxy's own. */
  errorHeaders(exchange: Exchange, error: ProxyError): string
  /** `peer`: the SPIFFE ID of the caller, null for one without. */
  errorBody(error: ProxyError, peer: string | null): string
}

/** Whoever sends the request upstream: hears of its body's progress, and of the end. */
export interface Forwarder {
  onRequestData(): void
  onRequestEnd(): void
  onRequestFlush(): void
  onResponseDrain(): void
  /** The exchange is over, however it went. */
  release(): void
}

/**
 * One request and its answer, from the first byte to the last: what routes look at, what the access log says, and the
 * one place where an exchange ends. Lazy: what nobody asks for is never computed.
 */
export class Exchange implements RequestView, RequestReceiver, AccessLogRecord {
  readonly chain: ExchangeHome
  readonly stream: DownstreamStream
  readonly head: RequestHead
  readonly startTimeMs = Date.now()
  readonly startedAtMs = performance.now()
  /** Changed by gateway rewrites; forwarded instead of what the downstream sent. */
  target: string
  authority: string
  port: number
  /** Where the exchange is counted; the route's once there is one. */
  metrics: RequestMetrics
  route: string | null = null
  forwarding: Forwarder | null = null
  /** Null for a request without one. It may arrive before anybody forwards it. */
  readonly body: RequestBody | null
  status = 0
  reason: Reason | null = null
  attempts = 0
  bytesReceived = 0
  bytesSent = 0
  durationMs = 0
  responseHeadMs: number | null = null
  upstreamServiceTimeMs: number | null = null
  upstreamAddress: string | null = null
  upstreamCluster: string | null = null
  /** Of a gRPC exchange, once it is known. */
  grpcStatus: string | null = null
  private answer: ResponseHead | null = null
  private over = false

  constructor(chain: ExchangeHome, stream: DownstreamStream) {
    this.chain = chain
    this.stream = stream
    this.head = stream.head
    this.body = stream.head.bodyLength === 0 ? null : new RequestBody()
    this.target = stream.head.target
    this.authority = stream.head.authority
    this.port = chain.port
    this.metrics = chain.unrouted
  }

  // ---- what routes look at ----------------------------------------------------------------------------------------

  get method(): string {
    return this.head.method
  }

  get path(): string {
    const query = this.target.indexOf('?')
    return query < 0 ? this.target : this.target.substring(0, query)
  }

  get query(): string {
    const query = this.target.indexOf('?')
    return query < 0 ? '' : this.target.substring(query + 1)
  }

  get host(): string {
    const { authority } = this
    const colon = authority.lastIndexOf(':')
    let end = colon < 0 || authority.endsWith(']') ? authority.length : colon
    // `orders.shop.` is the same name, written as absolute (RFC 3986, section 3.2.2).
    if (authority.charCodeAt(end - 1) === 46) end--
    return authority.substring(0, end).toLowerCase()
  }

  /** An absolute target may claim a scheme; only the app beside this proxy is believed. */
  get scheme(): 'http' | 'https' {
    return this.head.scheme === 'https' && this.chain.edge === 'outbound' ? 'https' : this.chain.scheme
  }

  header(name: string): string | undefined {
    return this.head.fields.get(name)
  }

  get isGrpc(): boolean {
    this.grpc ??= isGrpcRequest(this.head)
    return this.grpc
  }
  private grpc: boolean | null = null

  // ---- what the downstream sends ----------------------------------------------------------------------------------

  onRequestData(chunk: Buffer, start: number, end: number): void {
    this.bytesReceived += end - start
    if (this.body!.push(chunk, start, end)) this.stream.pauseRequest()
    this.forwarding?.onRequestData()
  }

  onRequestEnd(trailers: FieldSection | null): void {
    this.body!.end(trailers)
    this.forwarding?.onRequestEnd()
  }

  onRequestFlush(): void {
    this.forwarding?.onRequestFlush()
  }

  onRequestError(error: ProxyError): void {
    if (error.reason !== 'downstream_closed') return this.fail(error)
    if (this.over) return
    this.reason = 'downstream_closed'
    this.chain.listener.error('downstream_closed')
    if (this.status === 0) this.status = STATUS.downstream_closed
    this.finish()
  }

  onResponseDrain(): void {
    this.forwarding?.onResponseDrain()
  }

  // ---- what goes back ---------------------------------------------------------------------------------------------

  get headSent(): boolean {
    return this.answer !== null
  }

  /** Sends an upstream's head. */
  respond(head: ResponseHead): void {
    this.answer = head
    this.status = head.status
    if (this.isGrpc) this.grpcStatus = head.fields.get('grpc-status') ?? null
    this.stream.sendHead(head)
  }

  /** The upstream's answer is complete. */
  complete(trailers: FieldSection | null): void {
    if (this.over) return
    if (trailers !== null && this.isGrpc) this.grpcStatus = trailers.get('grpc-status') ?? this.grpcStatus
    this.stream.end(trailers)
    this.finish()
  }

  /** Sends an answer of the proxy's own (a filter's, say). `headers` are full lines. */
  answerOwn(status: number, headers: string, body: string): void {
    if (this.over) return
    this.status = status
    this.bytesSent = body.length
    this.stream.sendOwn(status, headers, body)
    this.finish()
  }

  /** Ends the exchange with an error: as an answer while that is possible, else by cutting the connection. */
  fail(error: ProxyError): void {
    if (this.over) return
    this.reason = error.reason
    this.chain.listener.error(error.reason)
    if (this.headSent) {
      this.stream.abort()
      this.finish()
    } else {
      const body = this.chain.errorBody(error, this.stream.peer)
      if (this.isGrpc) return this.failGrpc(error, body)
      this.answerOwn(STATUS[error.reason], this.chain.errorHeaders(this, error), body)
    }
  }

  /** A client of gRPC wants a status of gRPC, in trailers and nothing else. */
  private failGrpc(error: ProxyError, message: string): void {
    const reason = this.chain.errorHeaders(this, error) === '' ? [] : [[REASON_FIELD, error.reason] as [string, string]]
    this.respond(grpcErrorHead(error, message, reason))
    this.complete(null)
  }

  /** An attempt was given up, and another one follows. For who watches: an exchange itself counts attempts only. */
  retried(_reason: string, _endpoint: string): void {}

  protected finish(): void {
    this.over = true
    this.durationMs = performance.now() - this.startedAtMs
    this.forwarding?.release()
    // How long a tunnel stood says nothing of how long its request took.
    this.metrics.record(this.status, this.status === 101 ? (this.responseHeadMs ?? 0) : this.durationMs)
    if (this.isGrpc) this.metrics.grpc(this.path, this.grpcStatus)
    this.chain.logAccess?.(this)
  }

  // ---- what the access log says -----------------------------------------------------------------------------------

  get protocol(): string {
    const { version } = this.head
    return version === 20 ? 'HTTP/2' : version === 11 ? 'HTTP/1.1' : 'HTTP/1.0'
  }

  get downstreamAddress(): string {
    return this.stream.remoteAddress
  }

  get downstreamLocalAddress(): string {
    return this.stream.localAddress
  }

  get peerUri(): string | null {
    return this.stream.peer
  }

  get serverName(): string | null {
    return this.stream.serverName
  }

  requestHeader(name: string): string | undefined {
    return this.head.fields.get(name)
  }

  responseHeader(name: string): string | undefined {
    return this.answer?.fields.get(name)
  }
}

import type { ProxyError } from '../errors.ts'
import type { FieldSection } from './field-section.ts'
import type { OutgoingRequest, RequestHead, ResponseHead } from './message.ts'

/**
 * The seam between codecs and the rest of the proxy. Body bytes travel as `chunk[start, end)` of the buffer that the
 * socket read, which is read over as soon as the call returns: who keeps bytes copies them. A producer ends everything
 * it got from one read with a flush: what was written in between leaves in one write.
 */

/** One request on a downstream connection, as the rest of the proxy sees it. */
export interface DownstreamStream {
  readonly head: RequestHead
  /** `address:port` of the client. */
  readonly remoteAddress: string
  /** The same without the port. */
  readonly remoteHost: string
  readonly localAddress: string
  /** SPIFFE ID of an authenticated peer, null for others. */
  readonly peer: string | null
  /** SNI, null without TLS. */
  readonly serverName: string | null
  /** Bytes of one read are being parsed; a flush follows. */
  readonly reading: boolean
  /** `performance.now()` when its connection should be left: its certificates end. */
  readonly retireAtMs: number
  /** Forwards an interim response (RFC 9110, section 15.2). */
  sendInformational(head: ResponseHead): void
  /** Sends the head of an upstream's answer. `bodyLength` as in ResponseHead. */
  sendHead(head: ResponseHead): void
  /** Sends a whole answer made by the proxy. `headers` are full lines ending in CRLF. */
  sendOwn(status: number, headers: string, body: string): void
  write(chunk: Buffer, start: number, end: number): void
  /** The body is complete. */
  end(trailers: FieldSection | null): void
  /** False: the downstream reads too slowly; stop until `onResponseDrain`. After `end`: all of it has not left yet. */
  flush(): boolean
  /** The answer can't be completed: the connection is cut so that nobody takes it for complete. */
  abort(): void
  pauseRequest(): void
  resumeRequest(): void
}

/** What a downstream codec tells about a request after its head. */
export interface RequestReceiver {
  onRequestData(chunk: Buffer, start: number, end: number): void
  onRequestEnd(trailers: FieldSection | null): void
  /** Everything that one read brought was delivered. */
  onRequestFlush(): void
  /** The downstream is gone or broke the protocol inside the body; nothing can be sent any more. */
  onRequestError(error: ProxyError): void
  onResponseDrain(): void
}

/** One request on an upstream connection. */
export interface UpstreamStream {
  /** `performance.now()` when the first certificate of its connection ends. */
  readonly endsAtMs: number
  /** Sends the head; call it once, before anything else. */
  begin(receiver: ResponseReceiver, request: OutgoingRequest): void
  /** In the place of `begin`: nobody wants it any more, and somebody else may have it. */
  giveBack(): void
  write(chunk: Buffer, start: number, end: number): void
  end(trailers: FieldSection | null): void
  /** False: the upstream reads too slowly; stop until `onRequestDrain`. After `end`: all of it has not left yet. */
  flush(): boolean
  /** Gives the exchange up; the receiver hears nothing more. */
  abort(): void
  pauseResponse(): void
  resumeResponse(): void
}

/** What an upstream codec tells about the answer. Exactly one of `onResponseEnd` and `onResponseError` comes last. */
export interface ResponseReceiver {
  onInformational(head: ResponseHead): void
  onResponseHead(head: ResponseHead): void
  onResponseData(chunk: Buffer, start: number, end: number): void
  onResponseEnd(trailers: FieldSection | null): void
  /** Everything that one read brought was delivered. */
  onResponseFlush(): void
  onResponseError(error: ProxyError): void
  onRequestDrain(): void
}

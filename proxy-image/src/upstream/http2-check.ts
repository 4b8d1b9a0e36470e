import type { Duplex } from 'node:stream'
import type { FieldSection } from '../codec/field-section.ts'
import { Http2ClientConnection } from '../codec/http2/client-connection.ts'
import { Http2Fields } from '../codec/http2/fields.ts'
import type { OutgoingRequest, ResponseHead } from '../codec/message.ts'
import type { ResponseReceiver, UpstreamStream } from '../codec/stream.ts'

/** Health checks that are asked by HTTP/2. */

const USER_AGENT = 'weft-health-check'
/** Bytes of an answer that are looked at. */
const MAX_BODY_BYTES = 1_024
/** HealthCheckRequest without a service, which asks for the server as a whole, in its envelope of gRPC. */
const GRPC_CHECK = Buffer.from([0, 0, 0, 0, 0])
/** HealthCheckResponse whose status (field 1) is SERVING (1), in its envelope. */
const GRPC_SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01])

/** A whole answer; `grpcStatus` from its trailers or, without a body, its head. */
interface CheckAnswer {
  readonly status: number
  readonly body: Buffer
  readonly grpcStatus: string | undefined
}

/** Whether GET is answered with 200. Rejects when it is not answered at all, or on `signal`. */
export async function answersOkByHttp2(
  socket: Duplex,
  authority: string,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { status } = await ask(socket, requestOf('GET', authority, path, {}), null, signal)
  return status === 200
}

/**
 * Whether the server says of itself, by grpc.health.v1.Health/Check, that it is serving
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). Rejects as {@link answersOkByHttp2}.
 */
export async function isServingGrpc(socket: Duplex, authority: string, signal: AbortSignal): Promise<boolean> {
  const fields = { te: 'trailers', 'content-type': 'application/grpc' }
  const request = requestOf('POST', authority, '/grpc.health.v1.Health/Check', fields)
  const { status, body, grpcStatus } = await ask(socket, request, GRPC_CHECK, signal)
  return status === 200 && grpcStatus === '0' && body.equals(GRPC_SERVING)
}

function requestOf(
  method: string,
  authority: string,
  target: string,
  given: Readonly<Record<string, string>>,
): OutgoingRequest {
  const fields = new Http2Fields([])
  for (const [name, value] of Object.entries({ 'user-agent': USER_AGENT, ...given })) fields.add(name, value)
  const bodyLength = method === 'GET' ? 0 : GRPC_CHECK.length
  return { method, target, authority, hostField: null, scheme: 'http', fields, bodyLength, upgrade: null }
}

function ask(socket: Duplex, request: OutgoingRequest, body: Buffer | null, signal: AbortSignal): Promise<CheckAnswer> {
  return new Promise((resolve, reject) => {
    const owner = { onRoom() {}, onLeaving() {}, onClosed() {} }
    const connection = new Http2ClientConnection(socket, owner, false)
    socket.on('data', (chunk: Buffer) => connection.onData(chunk, 0, chunk.length))
    signal.addEventListener('abort', () => reject(signal.reason))
    const stream = connection.reserve()
    stream.begin(new AnswerReader(stream, body === null, resolve, reject), request)
    if (body !== null) stream.write(body, 0, body.length)
    stream.end(null)
    stream.flush()
  })
}

/** Reads an answer to its end. */
class AnswerReader implements ResponseReceiver {
  private readonly stream: UpstreamStream
  private readonly resolve: (answer: CheckAnswer) => void
  private readonly reject: (error: Error) => void
  private readonly headOnly: boolean
  private head: ResponseHead | null = null
  private body = Buffer.alloc(0)

  constructor(
    stream: UpstreamStream,
    headOnly: boolean,
    resolve: (answer: CheckAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.stream = stream
    this.headOnly = headOnly
    this.resolve = resolve
    this.reject = reject
  }

  onInformational(): void {}

  onResponseHead(head: ResponseHead): void {
    this.head = head
    // The status is all that is asked of a GET; its body may be long.
    if (this.headOnly) this.finish(null)
  }

  onResponseData(chunk: Buffer, start: number, end: number): void {
    this.body = Buffer.concat([this.body, chunk.subarray(start, end)])
    if (this.body.length <= MAX_BODY_BYTES) return
    // Its status is known, and more than that is in no answer to a check.
    this.stream.abort()
    this.finish(null)
  }

  onResponseEnd(trailers: FieldSection | null): void {
    this.finish(trailers)
  }

  onResponseFlush(): void {}

  onResponseError(error: Error): void {
    this.reject(error)
  }

  onRequestDrain(): void {}

  private finish(trailers: FieldSection | null): void {
    const { head, body } = this
    const grpcStatus = trailers?.get('grpc-status') ?? head!.fields.get('grpc-status')
    this.resolve({ status: head!.status, body, grpcStatus })
  }
}

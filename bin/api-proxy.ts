import { once } from 'node:events'
import { createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import type { SigningScope } from '../runtime/model/signing-scope.ts'
import { type AwsCredentials, resign, type SignedRequest } from './resign.ts'

/** What the API takes, and Lambda before it. */
const MAX_BODY_BYTES = 6 * 1024 * 1024
/** An answer that is read here, to be explained: all others are passed on as they come. */
const MAX_EXPLAINED_BYTES = 64 * 1024
/** No byte from the endpoint for so long; a Function URL may take 15 minutes, an API of ours takes seconds. */
const ENDPOINT_IDLE_MS = 60_000
/** AWS takes signatures that are up to five minutes off. */
const MAX_SKEW_MS = 300_000
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'trailer', 'transfer-encoding', 'upgrade'])

export interface ApiProxyOptions {
  /** 0 takes any free port. */
  readonly port: number
  readonly endpoint: URL
  readonly scope: SigningScope
  /** Called for every request: whoever provides credentials keeps them, and renews them in time. */
  readonly credentials: () => Promise<AwsCredentials>
  /** A line for the person who runs this; it holds no secret. */
  readonly log: (line: string) => void
}

export interface ApiProxy {
  readonly port: number
  close(): Promise<void>
}

/** An error of the proxy itself, in the words of AWS: its clients show code and message. */
class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/**
 * Listens on 127.0.0.1, takes the signature off every request, and sends it on to the endpoint with one for `scope`.
 * Whoever reaches it acts with these credentials, so that other host names and web pages are refused.
 * Rejects with the error of the socket when the port can't be had.
 */
export async function startApiProxy(options: ApiProxyOptions): Promise<ApiProxy> {
  const server = createServer(async (request, response) => {
    try {
      await serve(options, (server.address() as AddressInfo).port, request, response)
    } catch (error) {
      answerError(options, request, response, error)
    }
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = once(server.close(), 'close')
      server.closeAllConnections()
      await closed
    },
  }
}

async function serve(
  { endpoint, scope, credentials, log }: ApiProxyOptions,
  port: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  refuseStrangers(request, port)
  const body = await readBody(request)
  const { method = 'GET', url: target = '/', headers } = request
  if (!target.startsWith('/')) throw new Refusal(400, 'BadRequestException', 'the request target must be a path')
  const signed = await resign({ method, target, headers, body }, endpoint, scope, await provide(credentials))
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const answer = await send(signed, method, body, gone.signal)
  const hint = answer.statusCode === 403 ? await explained(answer) : undefined
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) response.setHeader(name, value)
  }
  response.statusCode = answer.statusCode ?? 502
  if (hint === undefined) return pipeline(answer, response)
  if (hint.note !== undefined) log(`${method} ${signed.url.pathname}: 403, ${hint.note}`)
  response.removeHeader('content-length')
  response.end(hint.body)
}

/** A name that was rebound to loopback shows in Host, a web page in what only browsers send. */
function refuseStrangers({ headers }: IncomingMessage, port: number): void {
  const ours = [`127.0.0.1:${port}`, `localhost:${port}`]
  if (!ours.includes(headers.host?.toLowerCase() ?? '')) {
    throw new Refusal(403, 'ForbiddenException', `this endpoint answers to ${ours.join(' and ')} only`)
  }
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) {
    throw new Refusal(403, 'ForbiddenException', 'this endpoint is for AWS clients; requests of browsers are refused')
  }
}

/** The signature covers a digest of the body, so that all of it is needed before the first byte can be sent. */
function readBody(request: IncomingMessage): Promise<Buffer> {
  return readAll(request, MAX_BODY_BYTES, () => {
    return new Refusal(413, 'BadRequestException', `the request body is over ${MAX_BODY_BYTES} bytes; send less`)
  })
}

async function readAll(message: IncomingMessage, max: number, tooLarge: () => Refusal): Promise<Buffer> {
  if (Number(message.headers['content-length'] ?? 0) > max) throw tooLarge()
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > max) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function provide(credentials: ApiProxyOptions['credentials']): Promise<AwsCredentials> {
  try {
    return await credentials()
  } catch (error) {
    throw new Refusal(
      401,
      'UnrecognizedClientException',
      `weft api-proxy has no AWS credentials to sign with (${(error as Error).message}); set AWS_PROFILE or AWS_ACCESS_KEY_ID ` +
        'where it runs, renew your login, or run it where a role is attached',
    )
  }
}

async function send(
  { url, headers }: SignedRequest,
  method: string,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const hasBody = body.length > 0 || !['GET', 'HEAD', 'DELETE'].includes(method)
  const length = hasBody ? { 'content-length': String(body.length) } : {}
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  const outgoing = request(url, { method, headers: { ...headers, ...length }, signal, timeout: ENDPOINT_IDLE_MS })
  outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer for ${ENDPOINT_IDLE_MS / 1000} s`)))
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
  outgoing.end(body)
  try {
    const [answer] = await answered
    // From here on, trouble shows on the answer.
    outgoing.on('error', () => undefined)
    return answer
  } catch (error) {
    if (signal.aborted) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw new Refusal(
      503,
      'ServiceUnavailableException',
      `${url.origin} can't be reached (${code ?? message}); is --endpoint right, and the network up?`,
    )
  }
}

/** The body of a 403 and, where the signature is what was refused, why that may be: also added to its message. */
async function explained(answer: IncomingMessage): Promise<{ body: Buffer; note?: string }> {
  const body = await readAll(answer, MAX_EXPLAINED_BYTES, () => {
    return new Refusal(502, 'InternalServerErrorException', 'the endpoint refused the request in too many words')
  })
  const note = noteOn(answer, body.toString())
  if (note === undefined) return { body }
  try {
    const json = JSON.parse(body.toString()) as Record<string, unknown>
    const member = typeof json.Message === 'string' ? 'Message' : 'message'
    return { note, body: Buffer.from(JSON.stringify({ ...json, [member]: `${json[member] ?? 'refused'} (${note})` })) }
  } catch {
    // Not JSON: passed on as it came, the note goes to the log alone.
    return { note, body }
  }
}

function noteOn({ headers }: IncomingMessage, text: string): string | undefined {
  const skewMs = Date.parse(headers.date ?? '') - Date.now()
  if (Math.abs(skewMs) > MAX_SKEW_MS) {
    const minutes = Math.round(Math.abs(skewMs) / 60_000)
    return `the clock of this machine is ${minutes} minutes ${skewMs > 0 ? 'behind' : 'ahead of'} the endpoint's, and AWS allows 5: set it right`
  }
  const type = `${headers['x-amzn-errortype'] ?? ''} ${text}`
  if (!/SignatureDoesNotMatch|InvalidSignature|Signature expired|Signature not yet current/i.test(type))
    return undefined
  return 'the endpoint refused the signature: check the clock of this machine, the secret key, and --service and --region'
}

function answerError(
  { log }: ApiProxyOptions,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): void {
  const refusal =
    error instanceof Refusal ? error : new Refusal(502, 'InternalServerErrorException', (error as Error).message)
  const path = (request.url ?? '').split('?', 1)[0]
  if (!response.destroyed) log(`${request.method} ${path}: ${refusal.message}`)
  // A cut answer must look cut.
  if (response.headersSent) {
    response.destroy()
    return
  }
  // What is left of a body that was refused is not read.
  response.writeHead(refusal.status, {
    'content-type': 'application/json',
    'x-amzn-errortype': refusal.code,
    connection: 'close',
  })
  response.end(JSON.stringify({ message: refusal.message }))
}

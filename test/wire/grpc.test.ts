import type { ClientHttp2Session, ServerHttp2Stream } from 'node:http2'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { openHttp2, requestHttp2, startHttp2Server } from '../support/http2-peers.ts'
import { type RunningServing, startServing } from '../support/running-serving.ts'
import { oneWay, retry } from '../support/snapshots.ts'

const closers: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const CALL = {
  ':method': 'POST',
  ':path': '/shop.Orders/Get',
  ':authority': 'orders.test',
  'content-type': 'application/grpc+proto',
  te: 'trailers',
}
/** An empty message. */
const MESSAGE = Buffer.from([0, 0, 0, 0, 0])

async function grpcServer(
  onCall: (stream: ServerHttp2Stream, timeout: string | undefined) => void,
  options: Parameters<typeof oneWay>[2] = {},
): Promise<{ session: ClientHttp2Session; proxy: RunningServing }> {
  const app = await startHttp2Server((stream, headers) => {
    stream.resume()
    onCall(stream, headers['grpc-timeout'] as string | undefined)
  })
  closers.push(() => app.close())
  const port = await freePort()
  const proxy = await startServing(oneWay(port, app.port, { ...options, cluster: { protocol: 'grpc' } }))
  closers.push(() => proxy.close())
  const session = await openHttp2(port)
  closers.push(() => session.destroy())
  return { session, proxy }
}

function trailersOnly(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status }, { endStream: true })
}

function answer(stream: ServerHttp2Stream, status: number, message: Buffer | null): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }))
  if (message !== null) stream.write(message)
  stream.end()
}

describe('a gRPC call', () => {
  it('comes back with its messages and its status, and is counted by method and status', async () => {
    const { session, proxy } = await grpcServer((stream) => answer(stream, 5, MESSAGE))
    const got = await requestHttp2(session, CALL, MESSAGE)
    expect(got.status).toBe(200)
    expect(got.body).toBe(MESSAGE.toString())
    expect(got.trailers['grpc-status']).toBe('5')
    expect(proxy.count('weft_grpc_requests_total', { method: 'shop.Orders/Get', grpc_status: '5' })).toBe(1)
  })

  it('that the proxy can not serve is answered with a status of gRPC in trailers alone', async () => {
    const port = await freePort()
    const proxy = await startServing(oneWay(port, await freePort(), { cluster: { protocol: 'grpc' } }))
    closers.push(() => proxy.close())
    const session = await openHttp2(port)
    closers.push(() => session.destroy())
    const got = await requestHttp2(session, CALL, MESSAGE)
    expect(got).toMatchObject({ status: 200, body: '', resetCode: undefined })
    expect(got.headers['grpc-status']).toBe('14')
    expect(got.headers['content-type']).toBe('application/grpc')
    expect(got.headers['grpc-message']).toBe('503')
    expect(proxy.count('weft_request_errors_total', { reason: 'connect_failed' })).toBe(1)
  })

  it('ends with DEADLINE_EXCEEDED at its own timeout, which the server is told', async () => {
    const told: unknown[] = []
    const { session } = await grpcServer((_stream, timeout) => told.push(timeout))
    const started = performance.now()
    const got = await requestHttp2(session, { ...CALL, 'grpc-timeout': '100m' }, MESSAGE)
    expect(got.headers['grpc-status']).toBe('4')
    expect(performance.now() - started).toBeGreaterThan(90)
    expect(told).toEqual(['100m'])
  })

  it('has no more time than its route gives, and the server is told so', async () => {
    const told: unknown[] = []
    const { session } = await grpcServer((_stream, timeout) => told.push(timeout), { timeouts: { requestMs: 120 } })
    const got = await requestHttp2(session, { ...CALL, 'grpc-timeout': '1H' }, MESSAGE)
    expect(got.headers['grpc-status']).toBe('4')
    expect((await requestHttp2(session, CALL, MESSAGE)).headers['grpc-status']).toBe('4')
    expect(told).toEqual(['120m', '120m'])
  })
})

describe('a retry on a gRPC status', () => {
  const policy = retry({ on: ['grpc-unavailable', 'grpc-resource-exhausted'], methods: 'any' })
  it.each([
    ['in trailers alone', (stream: ServerHttp2Stream) => trailersOnly(stream, 14)],
    ['in trailers after an empty answer', (stream: ServerHttp2Stream) => answer(stream, 8, null)],
  ])('happens when it comes %s', async (_where, fail) => {
    let calls = 0
    const { session, proxy } = await grpcServer((stream) => (++calls < 3 ? fail(stream) : answer(stream, 0, MESSAGE)), {
      retry: policy,
    })
    const got = await requestHttp2(session, CALL, MESSAGE)
    expect(got.trailers['grpc-status']).toBe('0')
    expect(got.body).toBe(MESSAGE.toString())
    expect(calls).toBe(3)
    expect(proxy.count('weft_retries_total', { outcome: 'performed' })).toBe(2)
  })
  it('does not happen for other statuses, nor once a message was passed on', async () => {
    let calls = 0
    const { session } = await grpcServer(
      (stream) => {
        calls++
        if (calls === 1) trailersOnly(stream, 3)
        else answer(stream, 14, MESSAGE)
      },
      { retry: policy },
    )
    expect((await requestHttp2(session, CALL, MESSAGE)).headers['grpc-status']).toBe('3')
    expect((await requestHttp2(session, CALL, MESSAGE)).trailers['grpc-status']).toBe('14')
    expect(calls).toBe(2)
  })
  it('ends with the last status when all tries fail', async () => {
    let calls = 0
    const { session } = await grpcServer(
      (stream) => {
        calls++
        answer(stream, 14, null)
      },
      { retry: policy },
    )
    expect((await requestHttp2(session, CALL, MESSAGE)).trailers['grpc-status']).toBe('14')
    expect(calls).toBe(3)
  })
})

describe('streaming', () => {
  it('carries messages both ways as they come, without waiting for an end', async () => {
    const { session } = await grpcServer((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
      stream.on('data', (chunk: Buffer) => stream.write(chunk))
    })
    const call = session.request(CALL, { endStream: false })
    call.on('error', () => {})
    const echoes: string[] = []
    call.on('data', (chunk: Buffer) => echoes.push(chunk.toString()))
    for (const word of ['one', 'two', 'three']) {
      call.write(word)
      await expect.poll(() => echoes.join(' ')).toContain(word)
    }
    call.close(8)
  })
})

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { Log } from '../../proxy-image/src/log.ts'
import type { Metrics } from '../../proxy-image/src/telemetry/metrics.ts'
import { Tracing } from '../../proxy-image/src/telemetry/tracing.ts'
import type { TracingSettings } from '../../proxy-image/src/telemetry/tracing-env.ts'
import { freePort } from '../support/free-port.ts'
import { partialSuccess, startReceiver } from '../support/otlp-receiver.ts'
import { connectRaw } from '../support/raw-client.ts'
import { startUpstream, type UpstreamScript } from '../support/raw-upstream.ts'
import { startServing } from '../support/running-serving.ts'
import { oneWay, retry } from '../support/snapshots.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const COST = join(import.meta.dirname, '../unit/proxy/telemetry/unsampled-cost-scenario.ts')
const run = promisify(execFile)

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type Receiver = Awaited<ReturnType<typeof startReceiver>>

async function receiver(answer?: Parameters<typeof startReceiver>[0]): Promise<Receiver> {
  const started = await startReceiver(answer)
  closers.push(() => started.close())
  return started
}

/** Tracing to a receiver; everything is sampled unless told otherwise. */
function tracingTo(url: string, part: Partial<TracingSettings> = {}, warnings: string[] = []) {
  return (metrics: Metrics) =>
    new Tracing({
      settings: {
        url: `${url}/v1/traces`,
        signing: null,
        headers: {},
        gzip: false,
        // A shared machine stands still for seconds at times, and what comes too late is sent again.
        timeoutMs: 10_000,
        sampling: { parentBased: true, ratio: 1 },
        serviceName: null,
        resource: {},
        ...part,
      },
      subject: { kind: 'virtual-gateway', mesh: 'shop', name: 'gate' },
      instanceId: 'one',
      metrics,
      log: new Log('warning', (line) => void warnings.push(line)),
      credentials: () => Promise.reject(new Error('no credentials')),
      delayMs: 20,
      backOffMs: 5,
    })
}

interface Gate {
  readonly port: number
  readonly proxy: Awaited<ReturnType<typeof startServing>>
  readonly app: Awaited<ReturnType<typeof startUpstream>>
  /** Sends one request, returns the status. */
  ask(head: string, body?: string): Promise<number>
}

async function gateTo(
  script: UpstreamScript,
  tracing: (metrics: Metrics) => Tracing,
  part: Parameters<typeof oneWay>[2] = {},
): Promise<Gate> {
  const app = await startUpstream(script)
  const port = await freePort()
  const proxy = await startServing(oneWay(port, app.port, part), { tracing })
  closers.push(
    () => app.close(),
    () => proxy.close(),
  )
  const ask = async (head: string, body = ''): Promise<number> => {
    const raw = await connectRaw(port)
    raw.send(`${head}\r\n\r\n${body}`)
    const { status } = await raw.answer(head.split(' ', 1)[0])
    raw.close()
    return status
  }
  return { port, proxy, app, ask }
}

const GET = 'GET /cart?token=secret HTTP/1.1\r\nHost: Shop.example:8080\r\nUser-Agent: curl/8'

describe('a traced request through a gateway', () => {
  it('becomes a server and a client span of one trace, under the span of who asked', async () => {
    const collector = await receiver()
    const { ask, app, port } = await gateTo({}, tracingTo(collector.url, { headers: { 'api-key': 'k' } }))
    await ask(`${GET}\r\ntraceparent: 00-${TRACE}-${SPAN}-01\r\ntracestate: vendor=1`)
    await expect.poll(() => collector.spans.length).toBe(2)
    const [server, client] = collector.spans as [Receiver['spans'][number], Receiver['spans'][number]]
    expect(server).toMatchObject({
      traceId: TRACE,
      parentSpanId: SPAN,
      traceState: 'vendor=1',
      kind: 'SERVER',
      name: 'GET router/all',
      status: { code: 'UNSET' },
      scope: 'weft',
      resource: {
        'service.name': 'shop/gate',
        'service.instance.id': 'one',
        'weft.mesh': 'shop',
        'weft.gateway': 'gate',
      },
    })
    expect(server.attributes).toEqual({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'url.scheme': 'http',
      'url.path': '/cart',
      'server.address': 'shop.example',
      'server.port': 8080,
      'network.protocol.version': '1.1',
      'client.address': '127.0.0.1',
      'user_agent.original': 'curl/8',
      'weft.route': 'router/all',
      'weft.cluster': 'app',
    })
    expect(client).toMatchObject({ traceId: TRACE, parentSpanId: server.spanId, kind: 'CLIENT' })
    expect(client.attributes).toMatchObject({
      'url.full': 'http://Shop.example:8080/cart',
      'network.peer.address': '127.0.0.1',
      'network.peer.port': app.port,
    })
    expect(client.start).toBe(server.start)
    expect(Number(server.end - server.start)).toBeGreaterThan(10_000)
    expect(Math.abs(Date.now() - Number(server.end / 1_000_000n))).toBeLessThan(5_000)
    const { headers } = app.requests[0]!
    expect(headers.traceparent).toBe(`00-${TRACE}-${client.spanId}-01`)
    expect(headers.tracestate).toBe('vendor=1')
    expect(headers['x-amzn-trace-id']).toBe(
      `Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=${client.spanId};Sampled=1`,
    )
    expect(collector.exports[0]).toMatchObject({
      method: 'POST',
      target: '/v1/traces',
      headers: { 'content-type': 'application/x-protobuf', 'api-key': 'k' },
    })
    expect(JSON.stringify(collector.spans, (_k, v) => (typeof v === 'bigint' ? String(v) : v))).not.toContain('secret')
    expect(port).toBeGreaterThan(0)
  })

  it('goes on in the trace that X-Ray named, and says so in both forms', async () => {
    const collector = await receiver()
    const { ask, app } = await gateTo({}, tracingTo(collector.url, { sampling: { parentBased: true, ratio: 0 } }))
    const root = '1-5759e988-bd862e3fe1be46a994272793'
    await ask(`${GET}\r\nX-Amzn-Trace-Id: Root=${root};Parent=53995c3f42cd8ad8;Sampled=1\r\ntracestate: other=1`)
    await expect.poll(() => collector.spans.length).toBe(2)
    expect(collector.spans[0]).toMatchObject({
      traceId: '5759e988bd862e3fe1be46a994272793',
      parentSpanId: '53995c3f42cd8ad8',
      traceState: '',
    })
    const { headers } = app.requests[0]!
    expect(headers['x-amzn-trace-id']).toMatch(
      new RegExp(`^Root=${root};Parent=${collector.spans[1]!.spanId};Sampled=1$`),
    )
    expect(headers.traceparent).toMatch(/^00-5759e988bd862e3fe1be46a994272793-[0-9a-f]{16}-01$/)
    expect(headers.tracestate).toBeUndefined()
  })

  it('tells of its retries where they happened, and fails where the last attempt did', async () => {
    const collector = await receiver()
    let asked = 0
    const script: UpstreamScript = {
      onRequest: (_request, c) => (asked++ === 0 ? c.answer(503, 'busy') : asked === 2 ? c.reset() : c.answer(500)),
    }
    const { ask, app, proxy } = await gateTo(script, tracingTo(collector.url), { retry: retry() })
    expect(await ask(GET)).toBe(500)
    await expect.poll(() => collector.spans.length).toBe(2)
    const [server, client] = collector.spans
    const endpoint = { 'network.peer.address': '127.0.0.1', 'network.peer.port': app.port }
    expect(client!.events.map(({ name, attributes }) => ({ name, attributes }))).toEqual([
      { name: 'retry', attributes: { 'weft.attempt': 1, 'weft.reason': '503', ...endpoint } },
      { name: 'retry', attributes: { 'weft.attempt': 2, 'weft.reason': 'upstream_reset', ...endpoint } },
    ])
    for (const { time } of client!.events) {
      expect(time).toBeGreaterThan(client!.start)
      expect(time).toBeLessThan(client!.end)
    }
    expect(client!.attributes).toMatchObject({ 'http.request.resend_count': 2, 'error.type': '500' })
    expect(server).toMatchObject({ events: [], status: { code: 'ERROR' } })
    await expect.poll(() => proxy.count('weft_spans_exported_total')).toBe(2)
  })

  it('that found no way upstream is a server span alone, with the reason', async () => {
    const collector = await receiver()
    const closed = await freePort()
    const proxyPort = await freePort()
    const proxy = await startServing(oneWay(proxyPort, closed), { tracing: tracingTo(collector.url) })
    closers.push(() => proxy.close())
    const raw = await connectRaw(proxyPort)
    closers.push(() => raw.close())
    raw.send(`${GET}\r\n\r\n`)
    expect((await raw.answer()).status).toBe(503)
    raw.send('BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n')
    await expect.poll(() => collector.spans.length).toBe(4)
    expect(collector.spans[1]).toMatchObject({
      kind: 'CLIENT',
      status: { code: 'ERROR', message: 'connect_failed' },
      attributes: { 'weft.reason': 'connect_failed', 'error.type': 'connect_failed', 'http.response.status_code': 503 },
    })
    expect(collector.spans[2]).toMatchObject({
      name: 'HTTP router/all',
      attributes: { 'http.request.method': '_OTHER', 'http.request.method_original': 'BREW' },
    })
  })
})

describe('a request that is not sampled', () => {
  it('is exported by nobody and carries the decision to the next proxy', async () => {
    const collector = await receiver()
    const { ask, app } = await gateTo({}, tracingTo(collector.url, { sampling: { parentBased: true, ratio: 0 } }))
    await ask(GET)
    const { headers } = app.requests[0]!
    expect(headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    expect(headers['x-amzn-trace-id']).toMatch(/^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$/)
    await delay(60)
    expect(collector.exports).toEqual([])
  })
  const UNSAMPLED = `traceparent: 00-${TRACE}-${SPAN}-00`
  const UNSAMPLED_XRAY = `X-Amzn-Trace-Id: Root=1-${TRACE.slice(0, 8)}-${TRACE.slice(8)};Parent=${SPAN};Sampled=0`
  it.each([
    ['traceparent', `${UNSAMPLED}\r\ntracestate: a=1`],
    ['X-Amzn-Trace-Id', UNSAMPLED_XRAY],
    ['two that contradict each other', `${UNSAMPLED}\r\n${UNSAMPLED_XRAY.replace('Sampled=0', 'Sampled=1')}`],
    ['two of different traces', `${UNSAMPLED}\r\n${UNSAMPLED_XRAY.replace(TRACE.slice(8), 'a'.repeat(24))}`],
  ])('goes on under its parent, by either form, when its sender decided so by %s', async (_what, fields) => {
    const collector = await receiver()
    const { ask, app } = await gateTo({}, tracingTo(collector.url))
    await ask(`${GET}\r\n${fields}`)
    const { headers } = app.requests[0]!
    expect(headers.traceparent).toBe(`00-${TRACE}-${SPAN}-00`)
    expect(headers['x-amzn-trace-id']).toBe(UNSAMPLED_XRAY.slice(UNSAMPLED_XRAY.indexOf('Root')))
    expect(headers.tracestate).toBe(fields.includes('tracestate') ? 'a=1' : undefined)
    await delay(60)
    expect(collector.exports).toEqual([])
  })
  it('goes on untouched when both forms say so', async () => {
    const collector = await receiver()
    const { ask, app } = await gateTo({}, tracingTo(collector.url))
    const fields = `Traceparent: 00-${TRACE}-${SPAN}-00\r\n${UNSAMPLED_XRAY}`
    await ask(`${GET}\r\n${fields}`)
    expect(app.requests[0]!.head).toContain(`\r\n${fields}`)
  })
  it('is not sampled by those behind a gateway that decides by itself, whatever its sender asked for', async () => {
    const collector = await receiver()
    const sampling = { parentBased: false, ratio: 0 }
    const { ask, app } = await gateTo({}, tracingTo(collector.url, { sampling }))
    await ask(`${GET}\r\n${UNSAMPLED.replace(/00$/, '01')}\r\n${UNSAMPLED_XRAY.replace('Sampled=0', 'Sampled=1')}`)
    expect(app.requests[0]!.headers).toMatchObject({
      traceparent: `00-${TRACE}-${SPAN}-00`,
      'x-amzn-trace-id': expect.stringMatching(/;Sampled=0$/),
    })
  })
  it('costs less than a microsecond', async () => {
    const { stdout } = await run(process.execPath, [COST])
    const added: Record<string, number> = JSON.parse(stdout)
    expect(Object.keys(added)).toEqual(['undecided', 'w3c', 'xray', 'both'])
    for (const [head, us] of Object.entries(added)) expect(us, head).toBeLessThan(1)
  })
})

describe('without tracing', () => {
  it('the fields of a trace pass untouched, and none is added', async () => {
    const app = await startUpstream({})
    const port = await freePort()
    const proxy = await startServing(oneWay(port, app.port))
    closers.push(
      () => app.close(),
      () => proxy.close(),
    )
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    raw.send(`${GET}\r\ntraceparent: garbage\r\nX-Amzn-Trace-Id: Root=x\r\n\r\n${GET}\r\n\r\n`)
    await raw.answers(2)
    expect(app.requests[0]!.headers).toMatchObject({ traceparent: 'garbage', 'x-amzn-trace-id': 'Root=x' })
    expect(Object.keys(app.requests[1]!.headers).filter((name) => /trace/.test(name))).toEqual([])
  })
})

describe('an export', () => {
  it('is tried again when the receiver is busy or broken, and is the same then', async () => {
    let count = 0
    const collector = await receiver((_seen, response) => {
      count++
      if (count === 1) response.writeHead(429, { 'retry-after': '0' }).end()
      if (count === 2) response.writeHead(503).end()
      if (count === 3) response.destroy()
    })
    const { ask, proxy } = await gateTo({}, tracingTo(collector.url, { gzip: true }))
    await ask(GET)
    await expect.poll(() => collector.spans.length).toBe(2)
    expect(collector.exports).toHaveLength(4)
    expect(collector.exports[3]!.headers['content-encoding']).toBe('gzip')
    expect(collector.exports[3]!.body.equals(collector.exports[0]!.body)).toBe(true)
    await expect.poll(() => proxy.count('weft_spans_exported_total')).toBe(2)
    expect(proxy.count('weft_spans_dropped_total')).toBe(0)
  })
  it.each<[string, string, Parameters<typeof startReceiver>[0]]>([
    ['that is refused', '400 no such thing', (_s, response) => void response.writeHead(400).end('no such\r\nthing')],
    ['that is never answered', 'no answer in time', () => new Promise(() => {}) as never],
  ])('%s is given up, counted, and told once a minute', async (_what, why, answer) => {
    const collector = await receiver((seen, response) => {
      if (why.startsWith('400')) answer!(seen, response)
      else response.write = () => true
      response.flushHeaders()
    })
    const warnings: string[] = []
    const { ask, proxy } = await gateTo({}, tracingTo(collector.url, { timeoutMs: 30 }, warnings))
    await ask(GET)
    await expect.poll(() => proxy.count('weft_spans_dropped_total', { reason: 'export_failed' })).toBe(2)
    await ask(GET)
    await expect.poll(() => proxy.count('weft_spans_dropped_total', { reason: 'export_failed' })).toBe(4)
    expect(warnings).toEqual([expect.stringContaining(why)])
    expect(warnings[0]).toContain(`${collector.url}/v1/traces`)
  })
  it('that is taken in part is counted in parts', async () => {
    const collector = await receiver((_seen, response) => void response.writeHead(200).end(partialSuccess(1)))
    const { ask, proxy } = await gateTo({}, tracingTo(collector.url))
    await ask(GET)
    await expect.poll(() => proxy.count('weft_spans_dropped_total', { reason: 'rejected' })).toBe(1)
    expect(proxy.count('weft_spans_exported_total')).toBe(1)
  })
  it('of what still waits happens at the end', async () => {
    const collector = await receiver()
    let tracing: Tracing | undefined
    const make = tracingTo(collector.url)
    const { ask } = await gateTo({}, (metrics) => {
      tracing = make(metrics)
      return tracing
    })
    await ask(GET)
    await tracing!.close()
    expect(collector.spans).toHaveLength(2)
  })
  it('that nobody takes holds 2,048 spans, and drops the rest by count', async () => {
    const collector = await receiver((_seen, response) => response.flushHeaders())
    const { ask, proxy, port } = await gateTo({}, tracingTo(collector.url, { timeoutMs: 10_000 }))
    await ask(GET)
    await expect.poll(() => collector.exports.length).toBe(1)
    const raw = await connectRaw(port)
    closers.push(() => raw.close())
    const many = 1_100
    for (let i = 0; i < many; i++) raw.send(`${GET}\r\n\r\n`)
    await raw.answers(many, [], 15_000)
    // Two spans each; what is under way is no longer in the queue.
    expect(proxy.count('weft_spans_dropped_total', { reason: 'queue_full' })).toBe(2 * many - 2_048)
    collector.exports.length = 0
  })
})

import { describe, expect, it } from 'vitest'
import { type RequestTrace, resourceOf, type SpanRecord, spansOf } from '../../../../proxy-image/src/telemetry/spans.ts'
import { record } from './record.ts'

const TRACE: RequestTrace = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  serverSpanId: null,
  parentId: null,
  traceState: undefined,
  retries: [],
  droppedRetries: 0,
}
const SCOPE = { resource: resourceOf({}), instrumentationScope: { name: 'weft' }, epochMs: Date.UTC(2026, 10, 23) }

function spans(over: Partial<SpanRecord>, trace: Partial<RequestTrace> = {}) {
  const logged = { ...record(), ...over }
  const asked = { target: logged.target, authority: logged.authority ?? '' }
  const one: SpanRecord = { startedAtMs: 1_500.25, scheme: 'http', edge: 'outbound', asked, ...logged }
  return spansOf({ ...TRACE, ...trace }, one, SCOPE)
}

describe('the span of an exchange', () => {
  it('begins and ends when the exchange did, to the microsecond', () => {
    const [span] = spans({ durationMs: 12.5 })
    expect(span!.startTime).toEqual([SCOPE.epochMs / 1000 + 1, 500_250_000])
    expect(span!.endTime).toEqual([SCOPE.epochMs / 1000 + 1, 512_750_000])
    expect(span!.parentSpanContext).toBeUndefined()
  })
  it('is an error for who called where the answer is 4xx, and for the server where it is 5xx', () => {
    const code = (over: Partial<SpanRecord>) => spans(over)[0]!.status.code
    expect(code({ edge: 'outbound', status: 404 })).toBe(2)
    expect(code({ edge: null, status: 404 })).toBe(0)
    expect(code({ edge: null, status: 500 })).toBe(2)
    expect(code({ edge: null, status: 403, reason: 'unauthorized_caller' })).toBe(0)
    expect(spans({ edge: null, status: 403, reason: 'unauthorized_caller' })[0]!.attributes).toMatchObject({
      'weft.reason': 'unauthorized_caller',
    })
  })
  it('claims no status that nobody was sent', () => {
    const [gone] = spans({ status: 499, reason: 'downstream_closed' })
    expect(gone!.attributes).not.toHaveProperty('http.response.status_code')
    expect(gone!.attributes['error.type']).toBe('downstream_closed')
    expect(spans({ status: 0 })[0]!.attributes).not.toHaveProperty('http.response.status_code')
  })
  it.each([
    ['orders', { 'server.address': 'orders', 'server.port': 80 }],
    ['Orders.shop:8080', { 'server.address': 'orders.shop', 'server.port': 8080 }],
    ['[fd00::1]:8443', { 'server.address': 'fd00::1', 'server.port': 8443 }],
    ['[::1]', { 'server.address': '::1', 'server.port': 80 }],
  ])('names the host that was asked for: %s', (authority, attributes) => {
    expect(spans({ authority })[0]!.attributes).toMatchObject(attributes)
  })
  it('is cut where a path or agent is endless, and never holds the query', () => {
    const [span] = spans({ edge: null, target: `/${'a'.repeat(9_000)}?token=x` })
    expect(span!.attributes['url.path']).toHaveLength(512)
    expect(spans({ target: '/cart?token=x' })[0]!.attributes['url.full']).toBe('http://orders.shop.local/cart')
  })
  it('names at a gateway what was asked for on the outside, and what was made of it on the inside', () => {
    const asked = { target: '/api/cart?x=1', authority: 'shop.example' }
    const [server, client] = spans({ edge: 'gateway', asked }, { serverSpanId: 'c'.repeat(16) })
    expect(server!.attributes).toMatchObject({ 'url.path': '/api/cart', 'server.address': 'shop.example' })
    expect(client!.attributes).toMatchObject({
      'url.full': 'http://orders.shop.local/cart',
      'server.address': 'orders.shop.local',
    })
  })
  it('at a gateway is two, of which the inner one is local and tells of retries, and one when nobody was asked', () => {
    const retries = [{ atMs: 1_501, attempt: 1, reason: '503', endpoint: '[fd00::2]:15000' }]
    const both = { serverSpanId: 'c'.repeat(16), parentId: 'd'.repeat(16), retries, droppedRetries: 3 }
    const [server, client] = spans({ edge: 'gateway' }, both)
    expect(server).toMatchObject({ kind: 1, events: [], parentSpanContext: { spanId: 'd'.repeat(16), isRemote: true } })
    expect(client).toMatchObject({
      kind: 2,
      droppedEventsCount: 3,
      parentSpanContext: { spanId: 'c'.repeat(16), isRemote: false },
      events: [{ attributes: { 'network.peer.address': 'fd00::2', 'network.peer.port': 15_000 } }],
    })
    expect(spans({ edge: 'gateway', attempts: 0 }, both)).toHaveLength(1)
  })
})

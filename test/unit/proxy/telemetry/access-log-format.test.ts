import { hostname } from 'node:os'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AccessLogRecord } from '../../../../proxy-image/src/telemetry/access-log.ts'
import { compileFormat } from '../../../../proxy-image/src/telemetry/access-log-format.ts'
import { LogLine } from '../../../../proxy-image/src/telemetry/log-line.ts'
import type { AccessLog } from '../../../../runtime/model/snapshot.ts'
import { record } from './record.ts'

const ENVOY_DEFAULT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'

/** The format with lines as strings. */
function compile(format: AccessLog['format']) {
  const { format: render, warnings } = compileFormat(format)
  const bytes = Buffer.alloc(4096)
  const lineOf = (of: AccessLogRecord): string => {
    const line = new LogLine(bytes)
    render(of, line)
    expect(line.overflowed).toBe(false)
    return bytes.toString('latin1', 0, line.at)
  }
  return { format: lineOf, warnings }
}

const text = (template: string) => compile({ kind: 'text', template })
const json = (fields: Record<string, string>) =>
  compile({ kind: 'json', fields: Object.entries(fields).map(([key, value]) => ({ key, value })) })

describe('a text access log', () => {
  it("writes Envoy's default line", () => {
    const { format, warnings } = text(ENVOY_DEFAULT)
    const line = format(record({}, { request: { 'user-agent': 'curl/8.5.0', 'x-request-id': 'a-1' } }))
    expect(warnings).toEqual([])
    expect(line).toBe(
      '[2026-11-23T15:04:05.067Z] "GET /cart?id=7 HTTP/1.1" 200 - 0 512 12 9 "-" "curl/8.5.0" "a-1" ' +
        '"orders.shop.local" "10.0.1.7:15000"\n',
    )
  })

  it.each([
    ['%REQ(X-A?X-B)%', 'b'],
    ['%REQ(x-long):3%', 'abc'],
    ['%REQ(x-short):3%', 'ab'],
    ['%REQ(__proto__)%', '-'],
    ['%RESP(:STATUS)%', '200'],
    ['%RESP(Server)%', 'nginx'],
    ['%RESPONSE_CODE_DETAILS%', 'via_upstream'],
    ['%REQUEST_DURATION%', '1'],
    ['%RESPONSE_DURATION%', '10'],
    ['%RESPONSE_TX_DURATION%', '2'],
    ['%UPSTREAM_CLUSTER%', 'orders-v1'],
    ['%UPSTREAM_REQUEST_ATTEMPT_COUNT%', '1'],
    ['%ROUTE_NAME%', 'orders-router/all'],
    ['%DOWNSTREAM_REMOTE_ADDRESS%', '127.0.0.1:40112'],
    ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '127.0.0.1'],
    ['%DOWNSTREAM_LOCAL_ADDRESS%', '127.0.0.1:15001'],
    ['%DOWNSTREAM_PEER_URI_SAN%', '-'],
    ['%REQUESTED_SERVER_NAME%', '-'],
    ['%GRPC_STATUS%', 'NotFound'],
    ['%GRPC_STATUS_NUMBER%', '5'],
    ['%HOSTNAME%', hostname()],
    ['100%% of %PROTOCOL%', '100% of HTTP/1.1'],
    ['50% off', '50% off'],
  ])('renders %s', (template, expected) => {
    const headers = {
      request: { 'x-b': 'b', 'x-long': 'abcdef', 'x-short': 'ab' },
      response: { server: 'nginx', 'grpc-status': '5' },
    }
    const { format, warnings } = text(template)
    expect(format(record({}, headers))).toBe(`${expected}\n`)
    expect(warnings).toEqual([])
  })

  it('cuts the port off a bracketed IPv6 address', () => {
    const { format } = text('%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%')
    expect(format(record({ downstreamAddress: '[fd00::7]:40112' }))).toBe('fd00::7\n')
  })

  it('writes an unknown operator as absent and says so once, when it is compiled', () => {
    const { format, warnings } = text('%NO_SUCH(x)% %TRAILER(a)% %REQ()% %constructor%')
    expect(format(record())).toBe('- - - -\n')
    expect(warnings).toHaveLength(4)
    expect(warnings[0]).toBe('the operator %NO_SUCH(x)% is not known here; it is written as absent')
  })

  it.each([
    ['no_route', 1, 'NR'],
    ['no_endpoint', 1, 'UH'],
    ['connect_failed', 1, 'UF'],
    ['connect_failed', 3, 'UF,URX'],
    ['overflow', 1, 'UO'],
    ['upstream_timeout', 1, 'UT'],
    ['upstream_closed', 1, 'UC'],
    ['upstream_reset', 1, 'UR'],
    ['downstream_closed', 2, 'DC'],
  ] as const)("flags %s after %i attempts with Envoy's %s", (reason, attempts, flag) => {
    expect(text('%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%').format(record({ reason, attempts }))).toBe(
      `${flag} ${reason}\n`,
    )
  })
})

describe('START_TIME', () => {
  it.each([
    ['%START_TIME(%Y/%m/%dT%H:%M:%S%z)%', '2026/11/23T15:04:05+0000'],
    ['%START_TIME(%s.%3f)%', '1795446245.067'],
    ['%START_TIME(%s.%6f %f)%', '1795446245.067000 067000000'],
    ['%START_TIME(%a %d %b %Y %I:%M %p, day %j)%', 'Mon 23 Nov 2026 03:04 PM, day 327'],
    ['%START_TIME(%F %T %%)%', '2026-11-23 15:04:05 %'],
    ['%START_TIME("%Y" é)%', `"2026" ${Buffer.from('é').toString('latin1')}`],
  ])('formats %s', (template, expected) => {
    const { format, warnings } = text(template)
    expect(format(record())).toBe(`${expected}\n`)
    expect(warnings).toEqual([])
  })

  it('follows the clock although it keeps the text of the last millisecond', () => {
    const { format } = text('%START_TIME%')
    expect([0, 0.4, 1, 0].map((ms) => format(record({ startTimeMs: ms })))).toEqual([
      '1970-01-01T00:00:00.000Z\n',
      '1970-01-01T00:00:00.000Z\n',
      '1970-01-01T00:00:00.001Z\n',
      '1970-01-01T00:00:00.000Z\n',
    ])
  })

  it('names conversions it does not know and leaves them as they stand', () => {
    const { format, warnings } = text('%START_TIME(%Y %Q)%')
    expect(format(record())).toBe('2026 %Q\n')
    expect(warnings).toEqual(['START_TIME does not know %Q; it is written as it stands'])
  })
})

describe('a JSON access log', () => {
  it('keeps numbers as numbers, absent values as null and mixed values as text, in the order of the fields', () => {
    const { format } = json({
      time: '%START_TIME%',
      status: '%RESPONSE_CODE%',
      agent: '%REQ(USER-AGENT)%',
      request: '%REQ(:METHOD)% %REQ(:PATH)%',
      'took "ms"': '%DURATION%ms',
      plain: 'shop',
    })
    expect(format(record())).toBe(
      '{"time":"2026-11-23T15:04:05.067Z","status":200,"agent":null,"request":"GET /cart?id=7",' +
        '"took \\"ms\\"":"12ms","plain":"shop"}\n',
    )
  })

  it('writes an empty object for no fields', () => {
    expect(json({}).format(record())).toBe('{}\n')
  })
})

describe('log injection', () => {
  it('is not possible by a header with line ends, quotes, escapes or other control characters', () => {
    const evil = 'x" 200\r\n[2026-11-23T15:04:05.067Z] "GET /admin\u001b[2J\\ \u0085\u00e9'
    const line = text('"%REQ(USER-AGENT)%" %RESPONSE_CODE%').format(record({}, { request: { 'user-agent': evil } }))
    expect(line).toBe('"x\\x22 200\\x0d\\x0a[2026-11-23T15:04:05.067Z] \\x22GET /admin\\x1b[2J\\x5c \\x85\\xe9" 200\n')
  })

  it('is not possible in any value of either format: one record is one line of printable ASCII', () => {
    const wire = fc.string({ unit: 'binary', maxLength: 60 })
    const asText = text('"%REQ(A)%" "%REQ(:PATH)%" "%DOWNSTREAM_PEER_URI_SAN%" end').format
    const asJson = json({ a: '%REQ(A)%', mixed: '<%REQ(:PATH)%>' }).format
    fc.assert(
      fc.property(wire, wire, (a, target) => {
        const entry = record({ target, peerUri: target }, { request: { a } })
        expect(asText(entry)).toMatch(/^"[ !#-~]*" "[ !#-~]*" "[ !#-~]*" end\n$/)
        expect(asJson(entry)).toMatch(/^[ -~]*\n$/)
        expect(JSON.parse(asJson(entry))).toEqual({ a, mixed: `<${target || '-'}>` })
      }),
    )
  })
})

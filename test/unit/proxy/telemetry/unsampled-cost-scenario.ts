import { Fields } from '../../../../proxy-image/src/codec/http1/fields.ts'
import { Log } from '../../../../proxy-image/src/log.ts'
import { Metrics } from '../../../../proxy-image/src/telemetry/metrics.ts'
import { Tracing } from '../../../../proxy-image/src/telemetry/tracing.ts'

/**
 * What tracing adds to a request that is not sampled, in microseconds: one line of JSON. A process of its own, because a
 * test runner's module loader costs more than what is measured.
 */

const tracing = new Tracing({
  settings: {
    url: 'http://127.0.0.1:1/v1/traces',
    signing: null,
    headers: {},
    gzip: false,
    timeoutMs: 1_000,
    sampling: { parentBased: true, ratio: 0 },
    serviceName: null,
    resource: {},
  },
  subject: { kind: 'virtual-node', mesh: 'shop', name: 'web' },
  instanceId: 'one',
  metrics: new Metrics(),
  log: new Log('off'),
  credentials: () => Promise.reject(new Error('none')),
})

const PLAIN = `Host: catalog.shop
User-Agent: curl/8.5
Accept: */*
Accept-Encoding: gzip
Content-Type: application/json
X-Forwarded-For: 10.0.0.1
X-Request-Id: 2d4e6f80-1234-4abc-8def-0123456789ab
`.replaceAll('\n', '\r\n')
const HEADS = {
  undecided: PLAIN,
  w3c: `${PLAIN}traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n`,
  xray: `${PLAIN}X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0\r\n`,
  both: `${PLAIN}traceparent: 00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00\r\nX-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0\r\n`,
}
/** Short enough that a busy machine leaves many rounds alone. */
const REQUESTS = 500
const ROUNDS = 300

function roundUs(text: string, begin: boolean): number {
  const startedAt = performance.now()
  for (let i = 0; i < REQUESTS; i++) {
    const fields = new Fields(text)
    fields.parse(0, text.length)
    if (begin) tracing.begin(fields, false)
    fields.lines()
  }
  return ((performance.now() - startedAt) * 1000) / REQUESTS
}

/** The quickest rounds of both, taken in turn: what else the machine does is not the matter. */
function addedUs(text: string): number {
  let without = Number.POSITIVE_INFINITY
  let withTracing = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    without = Math.min(without, roundUs(text, false))
    withTracing = Math.min(withTracing, roundUs(text, true))
  }
  return Number((withTracing - without).toFixed(3))
}

const added = Object.entries(HEADS).map(([name, text]) => [name, addedUs(text)])
process.stdout.write(`${JSON.stringify(Object.fromEntries(added))}\n`)

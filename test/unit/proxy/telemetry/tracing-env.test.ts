import { describe, expect, it } from 'vitest'
import { readTracing } from '../../../../proxy-image/src/telemetry/tracing-env.ts'

const COLLECTOR = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }
const XRAY = { ENABLE_ENVOY_XRAY_TRACING: '1', AWS_REGION: 'eu-west-1' }
const settings = (env: NodeJS.ProcessEnv) => readTracing(env).settings
const warnings = (env: NodeJS.ProcessEnv) => readTracing(env).warnings

describe('where spans go', () => {
  it.each<[string, NodeJS.ProcessEnv, string | undefined, string | undefined]>([
    ['nowhere without a variable', {}, undefined, undefined],
    [
      'nowhere by empty ones',
      { OTEL_EXPORTER_OTLP_ENDPOINT: '', ENABLE_ENVOY_XRAY_TRACING: ' ' },
      undefined,
      undefined,
    ],
    ['to a collector', COLLECTOR, 'http://127.0.0.1:4318/v1/traces', undefined],
    [
      'to a collector under a path',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://otlp.example/a/' },
      'https://otlp.example/a/v1/traces',
      undefined,
    ],
    [
      'to the endpoint for traces as it stands',
      { ...COLLECTOR, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:9/x' },
      'http://127.0.0.1:9/x',
      undefined,
    ],
    ['to X-Ray of the region', XRAY, 'https://xray.eu-west-1.amazonaws.com/v1/traces', 'eu-west-1'],
    [
      'to X-Ray in China',
      { ...XRAY, AWS_REGION: 'cn-north-1' },
      'https://xray.cn-north-1.amazonaws.com.cn/v1/traces',
      'cn-north-1',
    ],
    [
      'to an emulator of X-Ray, signed too',
      { ...XRAY, AWS_ENDPOINT_URL: 'http://127.0.0.1:4566' },
      'http://127.0.0.1:4566/v1/traces',
      'eu-west-1',
    ],
    ['to the collector, if both are named', { ...XRAY, ...COLLECTOR }, 'http://127.0.0.1:4318/v1/traces', undefined],
    [
      'to X-Ray by its own name, signed for the region in it',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://xray.us-east-2.amazonaws.com/v1/traces' },
      'https://xray.us-east-2.amazonaws.com/v1/traces',
      'us-east-2',
    ],
    ...[
      ['xray-fips.us-east-1.amazonaws.com', 'us-east-1'],
      ['xray.eu-west-1.api.aws', 'eu-west-1'],
      ['vpce-0a1b-c2d3.xray.eu-west-1.vpce.amazonaws.com', 'eu-west-1'],
    ].map(([host, region]): [string, NodeJS.ProcessEnv, string, string] => [
      `to X-Ray as ${host}, signed`,
      { OTEL_EXPORTER_OTLP_ENDPOINT: `https://${host}` },
      `https://${host}/v1/traces`,
      region!,
    ]),
    [
      'to X-Ray in the sovereign cloud',
      { ...XRAY, AWS_REGION: 'eusc-de-east-1' },
      'https://xray.eusc-de-east-1.amazonaws.eu/v1/traces',
      'eusc-de-east-1',
    ],
    [
      'to another host as it is',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://xray.eu-west-1.amazonaws.com.evil.example' },
      'https://xray.eu-west-1.amazonaws.com.evil.example/v1/traces',
      undefined,
    ],
    ['nowhere when switched off', { ...COLLECTOR, OTEL_SDK_DISABLED: 'true' }, undefined, undefined],
    ['nowhere by the exporter none', { ...COLLECTOR, OTEL_TRACES_EXPORTER: 'none' }, undefined, undefined],
    ['nowhere by 0', { ...XRAY, ENABLE_ENVOY_XRAY_TRACING: '0' }, undefined, undefined],
  ])('is %s', (_what, env, url, region) => {
    expect(settings(env)?.url).toBe(url)
    expect(settings(env)?.signing?.region).toBe(region)
    expect(warnings(env)).toEqual([])
  })
  it('is nowhere without a region, and says so', () => {
    for (const AWS_REGION of ['', 'evil.example/', 'eu-west-1.evil.example', '../x']) {
      const { settings, warnings } = readTracing({ ...XRAY, AWS_REGION })
      expect(settings).toBeNull()
      expect(warnings).toEqual([expect.stringContaining('AWS_REGION')])
    }
  })
})

describe('who is sampled', () => {
  it.each<[NodeJS.ProcessEnv, boolean, number]>([
    [{}, true, 0.05],
    [{ XRAY_SAMPLING_RATE: '0.5' }, true, 0.5],
    [{ XRAY_SAMPLING_RATE: '1.00' }, true, 1],
    [{ XRAY_SAMPLING_RATE: '0' }, true, 0],
    [{ OTEL_TRACES_SAMPLER_ARG: '.25', XRAY_SAMPLING_RATE: '0.5' }, true, 0.25],
    [{ OTEL_TRACES_SAMPLER: 'always_on' }, false, 1],
    [{ OTEL_TRACES_SAMPLER: 'always_off' }, false, 0],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_always_on' }, true, 1],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' }, true, 0],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' }, false, 0.1],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' }, true, 1],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', XRAY_SAMPLING_RATE: '0.2' }, true, 0.2],
  ])('by %o', (env, parentBased, ratio) => {
    expect(readTracing({ ...COLLECTOR, ...env })).toMatchObject({
      settings: { sampling: { parentBased, ratio } },
      warnings: [],
    })
  })
  it.each([
    [{ XRAY_SAMPLING_RATE: '5%' }, 'XRAY_SAMPLING_RATE'],
    [{ XRAY_SAMPLING_RATE: '1.1' }, 'XRAY_SAMPLING_RATE'],
    [{ XRAY_SAMPLING_RATE: '-0' }, 'XRAY_SAMPLING_RATE'],
    [{ OTEL_TRACES_SAMPLER_ARG: 'NaN' }, 'OTEL_TRACES_SAMPLER_ARG'],
    [{ OTEL_TRACES_SAMPLER: 'xray' }, 'OTEL_TRACES_SAMPLER'],
  ])('is the default where %o can not be used, and the variable is named', (env, name) => {
    const read = readTracing({ ...COLLECTOR, ...env })
    expect(read.settings?.sampling).toEqual({ parentBased: true, ratio: 0.05 })
    expect(read.warnings).toEqual([expect.stringContaining(`${name} is "`)])
  })
})

describe("variables of App Mesh's image that can not carry over", () => {
  it.each([
    ['XRAY_DAEMON_PORT', '2000'],
    ['XRAY_SAMPLING_RULE_MANIFEST', '/rules.json'],
    ['ENABLE_ENVOY_JAEGER_TRACING', '1'],
    ['ENABLE_ENVOY_DATADOG_TRACING', '1'],
    ['ENVOY_TRACING_CFG_FILE', '/etc/tracing.yaml'],
  ])('are named, with what to do instead: %s', (name, value) => {
    expect(warnings({ [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^${name} is not supported: .{20,}`)),
    ])
    expect(warnings({ [name]: '0' })).toEqual([])
  })
})

describe('further settings', () => {
  it('are those of OpenTelemetry, of traces before the general ones', () => {
    const env = {
      ...COLLECTOR,
      OTEL_EXPORTER_OTLP_HEADERS: 'a=1',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'api-key=s%3Dcret, x = y',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'none',
      OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_TIMEOUT: '3000',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=prod,service.name=ignored',
      OTEL_SERVICE_NAME: 'orders-proxy',
      XRAY_SEGMENT_NAME: 'orders',
    }
    expect(readTracing(env)).toMatchObject({
      settings: {
        headers: { 'api-key': 's=cret', x: 'y' },
        gzip: true,
        timeoutMs: 3_000,
        serviceName: 'orders-proxy',
        resource: { 'deployment.environment.name': 'prod' },
      },
      warnings: [],
    })
    expect(settings({ ...XRAY, XRAY_SEGMENT_NAME: 'orders' })?.serviceName).toBe('orders')
    expect(settings({ ...XRAY, OTEL_RESOURCE_ATTRIBUTES: 'service.name=a' })?.serviceName).toBe('a')
  })
  it('never show a secret, and never break a header line', () => {
    const env = { ...COLLECTOR, OTEL_EXPORTER_OTLP_HEADERS: 'secret,b=%0d%0aX: 1,c=%zz,d=ok' }
    expect(settings(env)?.headers).toEqual({ d: 'ok' })
    expect(warnings(env).join()).not.toMatch(/secret|X: 1/)
    expect(warnings(env)).toHaveLength(3)
    const url = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://user:password@h/' }
    expect(readTracing(url)).toEqual({ settings: null, warnings: [expect.not.stringContaining('password')] })
  })
  it('that are not supported are named', () => {
    expect(warnings({ ...COLLECTOR, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })).toEqual([
      'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", which is not supported; it may be http/protobuf',
    ])
  })
})

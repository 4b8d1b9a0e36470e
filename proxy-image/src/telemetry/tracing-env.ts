import { isRegion, serviceHost, serviceHosts } from '../../../runtime/model/aws-hosts.ts'
import type { Sampling } from './sampler.ts'

/** Everything that the environment says of tracing. */
export interface TracingSettings {
  /** Where spans are posted to: the whole URL. */
  readonly url: string
  /** Set for X-Ray's own endpoint, which wants Signature Version 4. */
  readonly signing: { readonly region: string } | null
  /** Sent with every export. Values may be secrets. */
  readonly headers: Readonly<Record<string, string>>
  readonly gzip: boolean
  /** For one export, from the connection to the answer. */
  readonly timeoutMs: number
  readonly sampling: Sampling
  /** `service.name`; null: `mesh/node`, as App Mesh named its segments. */
  readonly serviceName: string | null
  /** Further attributes of the resource. */
  readonly resource: Readonly<Record<string, string>>
}

/** `settings` is null where tracing is off. `warnings`: variables that can't be heeded, and what to do instead. */
export interface TracingEnvironment {
  readonly settings: TracingSettings | null
  readonly warnings: readonly string[]
}

/** App Mesh's rate. https://docs.aws.amazon.com/app-mesh/latest/userguide/envoy-config.html */
const DEFAULT_RATIO = 0.05
/** OpenTelemetry's. */
const DEFAULT_TIMEOUT_MS = 10_000
const MAX_TIMEOUT_MS = 60_000

const COLLECTOR = 'set OTEL_EXPORTER_OTLP_ENDPOINT, such as http://127.0.0.1:4318 for a collector beside the task'

/** App Mesh's variables that mean what this proxy does not have. */
const NOT_CARRIED: Readonly<Record<string, string>> = {
  XRAY_DAEMON_PORT: `spans are not sent to the X-Ray daemon over UDP; remove it (X-Ray's own endpoint needs no daemon), or ${COLLECTOR}`,
  XRAY_SAMPLING_RULE_MANIFEST: 'there are no sampling rules by path or service; use XRAY_SAMPLING_RATE',
  ENABLE_ENVOY_JAEGER_TRACING: `Zipkin's protocol is not spoken; Jaeger takes OTLP since 1.35: ${COLLECTOR}`,
  ENABLE_ENVOY_DATADOG_TRACING: `Datadog's protocol is not spoken; its agent takes OTLP over HTTP: ${COLLECTOR}`,
  ENVOY_TRACING_CFG_FILE: `Envoy's configuration is not read; ${COLLECTOR}`,
}

/**
 * OpenTelemetry's variables and those of App Mesh's image. Nothing here keeps a proxy from starting: a value that can't be
 * used is told as a warning, and its default holds (OpenTelemetry's rule for its variables, too).
 */
export function readTracing(env: NodeJS.ProcessEnv): TracingEnvironment {
  const warnings: string[] = []
  const reader = new Reader(env, warnings)
  for (const [name, why] of Object.entries(NOT_CARRIED)) {
    if (reader.isOn(name)) warnings.push(`${name} is not supported: ${why}`)
  }
  if (reader.text('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return { settings: null, warnings }
  if (reader.oneOf('OTEL_TRACES_EXPORTER', ['otlp', 'none']) === 'none') return { settings: null, warnings }
  const target = readTarget(reader)
  if (target === null) return { settings: null, warnings }
  const { 'service.name': named, ...resource } = reader.pairs('OTEL_RESOURCE_ATTRIBUTES')
  reader.oneOf(reader.tracesName('PROTOCOL'), ['http/protobuf'])
  const settings: TracingSettings = {
    ...target,
    headers: reader.pairs(reader.tracesName('HEADERS')),
    gzip: reader.oneOf(reader.tracesName('COMPRESSION'), ['gzip', 'none']) === 'gzip',
    timeoutMs: reader.number(reader.tracesName('TIMEOUT'), 1, MAX_TIMEOUT_MS) ?? DEFAULT_TIMEOUT_MS,
    sampling: readSampling(reader),
    serviceName: reader.text('OTEL_SERVICE_NAME') ?? named ?? reader.text('XRAY_SEGMENT_NAME') ?? null,
    resource,
  }
  return { settings, warnings }
}

/** An endpoint that is named wins over X-Ray's. */
function readTarget(reader: Reader): Pick<TracingSettings, 'url' | 'signing'> | null {
  const own = reader.url('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  if (own !== undefined) return { url: own.href, signing: signingOf(own) }
  const base = reader.url('OTEL_EXPORTER_OTLP_ENDPOINT')
  if (base !== undefined) return tracesAt(base, signingOf(base))
  if (!reader.isOn('ENABLE_ENVOY_XRAY_TRACING')) return null
  const region = reader.text('AWS_REGION') ?? reader.text('AWS_DEFAULT_REGION') ?? ''
  if (!isRegion(region)) {
    reader.warn(`ENABLE_ENVOY_XRAY_TRACING is on, but AWS_REGION is "${region}", no region; nothing is traced. Set it`)
    return null
  }
  const other = reader.url('AWS_ENDPOINT_URL_XRAY') ?? reader.url('AWS_ENDPOINT_URL')
  return tracesAt(other ?? new URL(`https://${serviceHost('xray', region)}`), { region })
}

function tracesAt(base: URL, signing: TracingSettings['signing']): Pick<TracingSettings, 'url' | 'signing'> {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  return { url: url.href, signing }
}

/** X-Ray's endpoints are known by their names. */
const XRAY_HOSTS = serviceHosts('xray', String.raw`(?:vpce-[a-z0-9-]+\.)?`)

function signingOf({ protocol, hostname }: URL): TracingSettings['signing'] {
  const region = XRAY_HOSTS.exec(hostname)?.groups?.region
  return region === undefined || protocol !== 'https:' ? null : { region }
}

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

function readSampling(reader: Reader): Sampling {
  const given = reader.number('XRAY_SAMPLING_RATE', 0, 1)
  const argument = reader.number('OTEL_TRACES_SAMPLER_ARG', 0, 1)
  const name = reader.oneOf('OTEL_TRACES_SAMPLER', SAMPLERS)
  if (name === undefined) return { parentBased: true, ratio: argument ?? given ?? DEFAULT_RATIO }
  const parentBased = name.startsWith('parentbased_')
  if (name.endsWith('always_on')) return { parentBased, ratio: 1 }
  if (name.endsWith('always_off')) return { parentBased, ratio: 0 }
  return { parentBased, ratio: argument ?? given ?? 1 }
}

class Reader {
  readonly #env: NodeJS.ProcessEnv
  readonly #warnings: string[]

  constructor(env: NodeJS.ProcessEnv, warnings: string[]) {
    this.#env = env
    this.#warnings = warnings
  }

  warn(text: string): void {
    this.#warnings.push(text)
  }

  /** An empty value counts as none. */
  text(name: string): string | undefined {
    const value = this.#env[name]?.trim()
    return value === '' ? undefined : value
  }

  /** App Mesh's switches are 1 and 0; its other variables are on when they are there. */
  isOn(name: string): boolean {
    const value = this.text(name)?.toLowerCase()
    return value !== undefined && value !== '0' && value !== 'false'
  }

  /** The variable for traces where it is set, else the one for all signals. */
  tracesName(part: string): string {
    const own = `OTEL_EXPORTER_OTLP_TRACES_${part}`
    return this.text(own) === undefined ? `OTEL_EXPORTER_OTLP_${part}` : own
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.text(name)?.toLowerCase()
    if (value === undefined) return undefined
    const found = allowed.find((candidate) => candidate === value)
    if (found === undefined) this.warn(`${name} is "${value}", which is not supported; it may be ${allowed.join(', ')}`)
    return found
  }

  number(name: string, min: number, max: number): number | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const number = /^\d{1,9}(\.\d{1,9})?$|^\.\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    this.warn(`${name} is "${value}"; it must be a number from ${min} to ${max}. The default is used`)
    return undefined
  }

  url(name: string): URL | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const url = URL.parse(value)
    if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url
    this.warn(`${name} is no http(s) URL without user name and is ignored`)
    return undefined
  }

  /** `name=value,...`, values percent-encoded. Values may be secrets and are not shown. */
  pairs(name: string): Readonly<Record<string, string>> {
    const pairs: Record<string, string> = {}
    for (const pair of this.text(name)?.split(',') ?? []) {
      const [, key, value] = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([ -~]*?)\s*$/.exec(pair) ?? []
      const decoded = value === undefined ? undefined : decode(value)
      if (key === undefined || decoded === undefined)
        this.warn(`${name} has a part that is not name=value; it is ignored`)
      else pairs[key] = decoded
    }
    return pairs
  }
}

/** Undefined for what is no encoding, or could break a header line. */
function decode(value: string): string | undefined {
  try {
    const text = decodeURIComponent(value)
    return /^[\t -~\u0080-\uffff]*$/.test(text) ? text : undefined
  } catch {
    return undefined
  }
}

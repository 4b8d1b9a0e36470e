import { isIP } from 'node:net'
import type { Checked, Problem } from '../../runtime/model/problem.ts'
import type { Subject } from '../../runtime/model/reference.ts'
import { signingScopeOf } from '../../runtime/model/signing-scope.ts'
import { type AwsEnvironment, readAws } from './aws/environment.ts'
import { LOG_LEVELS, type LogLevel } from './log.ts'
import { readTracing, type TracingEnvironment } from './telemetry/tracing-env.ts'

/** Everything that the process environment says to the proxy. */
export interface ProxyEnvironment {
  /** Where the control plane's proxies' API is, such as `https://control.example:7443`; no slash at the end. */
  readonly controlPlaneUrl: string
  readonly subject: Subject
  /** Join token; null when an identity on disk or of the platform does. A secret. It wins over what `aws` says. */
  readonly token: string | null
  /** Credentials of AWS and what to prove with them; null where there are none. */
  readonly aws: AwsEnvironment | null
  /** WebSocket that tells when to sync at once, with the region to sign for; null: intervals alone. */
  readonly push: { readonly url: string; readonly region: string } | null
  /** Base of the task metadata, version 4; null where ECS does not run this. */
  readonly taskMetadataUrl: string | null
  /** The task belongs to no ECS service, so that nobody else registers it. */
  readonly selfRegistered: boolean
  /** Where the mesh port, published ports and gateway ports bind. */
  readonly bindAddress: string
  /** Where peers reach this proxy; null: as the control plane sees it. */
  readonly advertiseAddress: string | null
  /** Designed port to actual port; see {@link actualPort}. */
  readonly ports: ReadonlyMap<number, number>
  /** Whether loopback VIPs are bound; off on hosts without network namespaces. */
  readonly vips: boolean
  readonly stateDir: string
  readonly logLevel: LogLevel
  /** Designed port of the admin listener on loopback. */
  readonly adminPort: number
  readonly drainWaitMs: number
  readonly tracing: TracingEnvironment
}

/**
 * The port to bind or dial for one that a snapshot or this design names: the same unless WEFT_PORTS maps it. 0 stands
 * for any free port.
 */
export function actualPort(environment: Pick<ProxyEnvironment, 'ports'>, designed: number): number {
  return environment.ports.get(designed) ?? designed
}

const KNOWN = [
  'WEFT_CONTROL_PLANE_URL',
  'WEFT_MESH',
  'WEFT_NODE',
  'WEFT_GATEWAY',
  'WEFT_TOKEN',
  'WEFT_IDENTITY',
  'WEFT_CA_FINGERPRINT',
  'WEFT_PUSH_URL',
  'WEFT_SELF_REGISTER',
  'WEFT_BIND_ADDRESS',
  'WEFT_ADVERTISE_ADDRESS',
  'WEFT_PORTS',
  'WEFT_VIPS',
  'WEFT_STATE_DIR',
  // Of the control plane; a shell that starts both passes them on.
  'WEFT_ACCOUNT_ID',
  'WEFT_REGION',
]

/** Reads the environment. All problems at once; their `path` is the variable's name. Values of secrets are not shown. */
export function readEnvironment(env: NodeJS.ProcessEnv): Checked<ProxyEnvironment> {
  const problems: Problem[] = unknownVariables(env)
  const reader = new Reader(env, problems)
  const controlPlaneUrl = readUrl(reader)
  const subject = readSubject(reader)
  const aws = readAws(reader, controlPlaneUrl)
  const push = readPush(reader, aws)
  const selfRegistered = reader.oneOf('WEFT_SELF_REGISTER', ['on', 'off']) === 'on'
  const bindAddress = reader.address('WEFT_BIND_ADDRESS') ?? '0.0.0.0'
  const advertiseAddress = reader.address('WEFT_ADVERTISE_ADDRESS') ?? null
  const ports = readPorts(reader)
  const vips = reader.oneOf('WEFT_VIPS', ['on', 'off']) !== 'off'
  const logLevel = readLogLevel(reader)
  const adminPort = reader.integer('ENVOY_ADMIN_ACCESS_PORT', 1, 65_535) ?? 9901
  const drainWaitMs = (reader.integer('LISTENER_DRAIN_WAIT_TIME_S', 0, 3600) ?? 20) * 1000
  if (problems.length > 0 || controlPlaneUrl === undefined || subject === undefined) return { ok: false, problems }
  return {
    ok: true,
    value: {
      controlPlaneUrl,
      subject,
      token: reader.text('WEFT_TOKEN') ?? null,
      aws,
      push,
      taskMetadataUrl: reader.text('ECS_CONTAINER_METADATA_URI_V4') ?? null,
      selfRegistered,
      bindAddress,
      advertiseAddress,
      ports,
      vips,
      stateDir: reader.text('WEFT_STATE_DIR') ?? '/var/lib/weft',
      logLevel,
      adminPort,
      drainWaitMs,
      tracing: readTracing(env),
    },
  }
}

class Reader {
  readonly #env: NodeJS.ProcessEnv
  readonly #problems: Problem[]

  constructor(env: NodeJS.ProcessEnv, problems: Problem[]) {
    this.#env = env
    this.#problems = problems
  }

  problem(path: string, code: string, message: string): undefined {
    this.#problems.push({ path, code, message })
  }

  /** An empty value counts as none: task definitions often carry them. */
  text(name: string): string | undefined {
    const value = this.#env[name]?.trim()
    return value === '' ? undefined : value
  }

  address(name: string): string | undefined {
    const value = this.text(name)
    if (value === undefined || isIP(value) !== 0) return value
    return this.problem(
      name,
      'not-an-address',
      `${name} is "${value}"; it must be an IPv4 or IPv6 address, not a name.`,
    )
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const found = allowed.find((candidate) => candidate === value.toLowerCase())
    return found ?? this.problem(name, 'not-allowed', `${name} is "${value}"; allowed are ${allowed.join(', ')}.`)
  }

  integer(name: string, min: number, max: number): number | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    return this.problem(name, 'out-of-range', `${name} is "${value}"; it must be an integer from ${min} to ${max}.`)
  }
}

/** Only https: the proxy proves who it is by a client certificate or a signature, and learns whom to trust. */
function readUrl(reader: Reader): string | undefined {
  const name = 'WEFT_CONTROL_PLANE_URL'
  const value = reader.text(name)
  if (value === undefined) {
    return reader.problem(
      name,
      'missing',
      `${name} is not set; give the control plane's data-plane URL, https://host:port.`,
    )
  }
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url?.protocol !== 'https:') {
    return reader.problem(name, 'not-https', `${name} must be an https:// URL of the data-plane port.`)
  }
  // A stage of API Gateway is a path.
  const pathname = signingScopeOf(url.hostname) === undefined ? '/' : url.pathname
  if (url.href !== `${url.origin}${pathname}`) {
    return reader.problem(name, 'not-an-origin', `${name} must be https://host:port and nothing more.`)
  }
  return (url.origin + pathname).replace(/\/+$/, '')
}

function readPush(reader: Reader, aws: AwsEnvironment | null): ProxyEnvironment['push'] {
  const name = 'WEFT_PUSH_URL'
  const value = reader.text(name)
  if (value === undefined) return null
  const url = URL.parse(value)
  if (url?.protocol !== 'wss:' || url.username !== '' || url.search !== '' || url.hash !== '') {
    reader.problem(name, 'not-wss', `${name} must be the wss:// URL of the mesh's WebSocket stage, without a query.`)
    return null
  }
  const own = aws?.proof.kind === 'signature' ? aws.proof.scope.region : undefined
  const region = signingScopeOf(url.hostname)?.region ?? own
  if (aws === null || region === undefined) {
    const message = `${name} is of use only to a proxy that signs its calls with a task role; remove it.`
    reader.problem(name, 'no-credentials', message)
    return null
  }
  return { url: url.href, region }
}

/** WEFT_MESH with WEFT_NODE or WEFT_GATEWAY, or the App Mesh image's own variables. */
function readSubject(reader: Reader): Subject | undefined {
  const [mesh, node, gateway] = ['WEFT_MESH', 'WEFT_NODE', 'WEFT_GATEWAY'].map((name) => reader.text(name))
  const appMesh = readAppMeshSubject(reader)
  if (mesh === undefined && node === undefined && gateway === undefined) {
    if (appMesh !== undefined) return appMesh.subject ?? undefined
    return reader.problem(
      'WEFT_NODE',
      'missing',
      'Nothing says who this proxy is; set WEFT_MESH and WEFT_NODE (or WEFT_GATEWAY), or APPMESH_RESOURCE_ARN.',
    )
  }
  if (mesh === undefined) reader.problem('WEFT_MESH', 'missing', 'WEFT_MESH is not set; give the name of the mesh.')
  if ((node === undefined) === (gateway === undefined)) {
    return reader.problem('WEFT_NODE', 'exactly-one', 'Set exactly one of WEFT_NODE and WEFT_GATEWAY.')
  }
  if (mesh === undefined) return undefined
  const subject: Subject =
    node === undefined ? { kind: 'virtual-gateway', mesh, name: gateway! } : { kind: 'virtual-node', mesh, name: node }
  const other = appMesh?.subject
  if (other && (other.kind !== subject.kind || other.mesh !== mesh || other.name !== subject.name)) {
    return reader.problem(
      appMesh.variable,
      'contradiction',
      `${appMesh.variable} names ${other.kind} ${other.mesh}/${other.name}, the WEFT_ variables name ${subject.kind} ${mesh}/${subject.name}; remove one.`,
    )
  }
  return subject
}

/**
 * `mesh/<mesh>/virtualNode/<node>` or the full ARN, `virtualGateway` too.
 * https://docs.aws.amazon.com/app-mesh/latest/userguide/envoy-config.html
 * Undefined when no variable is set; `subject` is null when one is set and wrong.
 */
function readAppMeshSubject(reader: Reader): { variable: string; subject: Subject | null } | undefined {
  const variable = ['APPMESH_RESOURCE_ARN', 'APPMESH_VIRTUAL_NODE_NAME'].find((name) => reader.text(name) !== undefined)
  if (variable === undefined) return undefined
  const match = /^(?:arn:[a-z0-9-]+:appmesh:[^:]*:[^:]*:)?mesh\/([^/]+)\/(virtualNode|virtualGateway)\/([^/]+)$/.exec(
    reader.text(variable)!,
  )
  if (match === null) {
    const forms = 'mesh/<mesh>/virtualNode/<name> or mesh/<mesh>/virtualGateway/<name>, or the ARN that ends so'
    reader.problem(variable, 'malformed', `${variable} is "${reader.text(variable)}"; it must be ${forms}.`)
    return { variable, subject: null }
  }
  const kind = match[2] === 'virtualNode' ? 'virtual-node' : 'virtual-gateway'
  return { variable, subject: { kind, mesh: match[1]!, name: match[3]! } }
}

/** `15000=20001,8080=0` : designed port = actual port; 0 asks for any free one. */
function readPorts(reader: Reader): ReadonlyMap<number, number> {
  const name = 'WEFT_PORTS'
  const ports = new Map<number, number>()
  const taken = new Set<number>()
  for (const pair of reader.text(name)?.split(',') ?? []) {
    const match = /^\s*(\d{1,5})\s*=\s*(\d{1,5})\s*$/.exec(pair)
    const designed = Number(match?.[1])
    const actual = Number(match?.[2])
    if (match === null || designed < 1 || designed > 65_535 || actual > 65_535) {
      reader.problem(name, 'malformed', `${name} has "${pair}"; it must be designed=actual, ports up to 65535.`)
    } else if (ports.has(designed) || taken.has(actual)) {
      reader.problem(name, 'duplicate', `${name} has "${pair}", but one of both ports is in the list already.`)
    } else {
      ports.set(designed, actual)
      if (actual !== 0) taken.add(actual)
    }
  }
  return ports
}

/** App Mesh's values; `warn` is what people write, Envoy takes it too. */
function readLogLevel(reader: Reader): LogLevel {
  const level = reader.oneOf('ENVOY_LOG_LEVEL', [...LOG_LEVELS, 'warn'])
  return level === 'warn' ? 'warning' : (level ?? 'info')
}

/** A typo in a name would otherwise mean a default, silently. */
function unknownVariables(env: NodeJS.ProcessEnv): Problem[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('WEFT_') && !KNOWN.includes(name))
    .sort()
    .map((name) => {
      const nearest = KNOWN.toSorted((a, b) => distance(name, a) - distance(name, b))[0]!
      return { path: name, code: 'unknown-variable', message: `${name} means nothing here; did you mean ${nearest}?` }
    })
}

/** Levenshtein distance, one row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

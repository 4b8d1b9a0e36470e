import { randomUUID, X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IamIdentity } from './adapters/iam-identity.ts'
import { JoinTokenIdentity, openJoinTokens } from './adapters/join-tokens.ts'
import { type LocalCa, openLocalCa } from './adapters/local-ca.ts'
import { MemoryStore } from './adapters/memory-store.ts'
import { Registry } from './adapters/registry.ts'
import { openSqliteRoleBindings } from './adapters/sqlite-role-bindings.ts'
import { openSqliteStore } from './adapters/sqlite-store.ts'
import { StsIdentity } from './adapters/sts-identity.ts'
import { Changes, endpointsTopic } from './app/changes.ts'
import type { JoinTokenMint } from './app/mint-join-token.ts'
import { quotasOf } from './app/quotas.ts'
import { rotateCa } from './app/rotate-ca.ts'
import { useCases } from './app/use-cases.ts'
import { managementApp } from './http/app.ts'
import { dataPlaneApp } from './http/dataplane-app.ts'
import type { ReportError } from './http/errors.ts'
import { type Listener, listen } from './http/listener.ts'
import { MeshError } from './model/problem.ts'
import type { Subject } from './model/reference.ts'
import type { CallerIdentity, Clock, RoleBindings } from './ports.ts'

/** Where state lives: resources, CA root and token key. `memory` ends with the process. */
type StateOptions = { readonly stateDirectory: string } | { readonly memory: true }

export type ControlPlaneOptions = StateOptions & {
  /** Management API. Default 127.0.0.1; another than loopback needs `apiToken`. */
  readonly apiAddress?: string
  /** Default 7070; 0 takes any free port, here and below. */
  readonly apiPort?: number
  /** Proxies' API, always TLS. Default 127.0.0.1. */
  readonly dataPlaneAddress?: string
  /** Default 7443. */
  readonly dataPlanePort?: number
  /** DNS names and IP addresses by which proxies reach the control plane. Default: loopback and the address bound. */
  readonly dataPlaneNames?: readonly string[]
  /** Default `weft.internal`. */
  readonly trustDomain?: string
  /** In ARNs. Default 000000000000. */
  readonly accountId?: string
  /** In ARNs. Default us-east-1. */
  readonly region?: string
  /** Bearer token of the management API. */
  readonly apiToken?: string
  /** Limits other than the default ones (docs/app-mesh-api.md). */
  readonly quotas?: Readonly<Record<string, number>>
  /** Life of workload certificates. Default 24 hours. */
  readonly leafLifetimeMs?: number
  /**
   * Takes a proxy's AWS role, which STS confirms, in place of a join token. Bindings of roles are made through the API.
   * Such proxies must dial one of `dataPlaneNames`. Default: no.
   */
  readonly awsIdentity?: boolean
}

export interface ControlPlane {
  /** Such as `http://127.0.0.1:7070`. */
  readonly apiUrl: string
  /** Such as `https://127.0.0.1:7443`. */
  readonly dataPlaneUrl: string
  /** A join token for a node or gateway, which need not exist yet. Default life: one day. */
  mintJoinToken(subject: Subject, options?: { readonly ttlMs?: number }): string
  /** Ends held calls, then the listeners, then the store. */
  close(): Promise<void>
}

const DAY_MS = 86_400_000
/** How soon held calls hear of an instance that lapsed. */
const SWEEP_MS = 1_000
const RENEWAL_CHECK_MS = 3_600_000

/**
 * Starts a self-hosted control plane: management API, proxies' API, SQLite store, registry and local CA in one process.
 * @throws MeshError `unavailable` for a port that is taken (it names port and option) or state that can't be opened;
 * `invalid` for a management API without token on another address than loopback, or a quota that is none.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { apiAddress = '127.0.0.1', apiPort = 7070, dataPlaneAddress = '127.0.0.1', dataPlanePort = 7443 } = options
  const { trustDomain = 'weft.internal', accountId = '000000000000', region = 'us-east-1' } = options
  // An empty variable is a variable that is not set.
  const apiToken = options.apiToken || undefined
  refuseOpenApi(apiAddress, apiToken)
  await using cleanup = new AsyncDisposableStack()
  const clock: Clock = { now: () => Date.now() }
  const state = await openState(options, cleanup)
  const changes = new Changes()
  const directory = new Registry(clock)
  directory.onChange((mesh, node) => changes.notify(endpointsTopic({ mesh, name: node })))
  cleanup.defer(every(SWEEP_MS, () => directory.sweep()))
  const names = options.dataPlaneNames ?? defaultNames(dataPlaneAddress)
  const identity = await openIdentity({ ...options, trustDomain }, state.directory, names, clock)
  const { issuer, mint } = identity
  const stopping = new AbortController()
  const base = { store: state.store, directory, issuer, mint, changes, clock, newUid: randomUUID, trustDomain }
  const cases = useCases({ ...base, quotas: quotasOf(options.quotas ?? {}), stopping: stopping.signal })

  const bindings = openSqliteRoleBindings(join(state.directory, 'weft.db'))
  cleanup.defer(() => bindings.close())
  const callers = options.awsIdentity ? orByRole(identity.callers, bindings, names, clock) : identity.callers
  const guard = { loopback: isLoopback(apiAddress), ...(apiToken === undefined ? {} : { apiToken }) }
  const api = await listen({
    app: managementApp({
      useCases: cases,
      owner: { accountId, region },
      guard,
      roles: { store: state.store, bindings },
      report,
    }),
    address: apiAddress,
    port: apiPort,
    option: '--api-port',
  })
  cleanup.defer(() => api.close())
  const dataPlane = await listen({
    app: dataPlaneApp({ useCases: cases, callers, clock, report }),
    address: dataPlaneAddress,
    port: dataPlanePort,
    option: '--data-plane-port',
    tls: identity.tls(),
  })
  cleanup.defer(() => dataPlane.close())
  cleanup.defer(() => stopping.abort())
  // What is at hand is good for days yet: after a failure the next check tries again.
  const renew = () => identity.renew(dataPlane).catch((error) => report(error, 'ca-rotation'))
  cleanup.defer(every(RENEWAL_CHECK_MS, renew))

  const running = cleanup.move()
  return {
    apiUrl: `http://${urlHost(apiAddress)}:${api.port}`,
    dataPlaneUrl: `https://${urlHost(dataPlaneAddress)}:${dataPlane.port}`,
    mintJoinToken: (subject, { ttlMs = DAY_MS } = {}) => mint(subject, { ttlMs }).token,
    close: () => running.disposeAsync(),
  }
}

/** Callers by certificate or token, and by the AWS role that they show a presigned request of. */
function orByRole(
  others: CallerIdentity,
  bindings: RoleBindings,
  audiences: readonly string[],
  clock: Clock,
): CallerIdentity {
  const { AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL } = process.env
  const endpoint = AWS_ENDPOINT_URL_STS || AWS_ENDPOINT_URL
  const roles = new IamIdentity(bindings, clock)
  return new StsIdentity({ roles, others, audiences, clock, ...(endpoint ? { endpoint } : {}) })
}

async function openState(options: StateOptions, cleanup: AsyncDisposableStack) {
  if ('memory' in options) {
    // The CA keeps its root in a file; a directory of its own, gone at the end, is as good as memory.
    const directory = await mkdtemp(join(tmpdir(), 'weft-'))
    cleanup.defer(() => rm(directory, { recursive: true, force: true }))
    return { directory, store: new MemoryStore() }
  }
  const directory = options.stateDirectory
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const store = openSqliteStore(join(directory, 'weft.db'))
  cleanup.defer(() => store.close())
  return { directory, store }
}

function refuseOpenApi(address: string, token: string | undefined): void {
  if (isLoopback(address) || token !== undefined) return
  throw new MeshError(
    'invalid',
    `the management API on ${address} would let everybody in reach change the mesh; set WEFT_API_TOKEN, or bind it to 127.0.0.1`,
  )
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** Nobody dials a wildcard address, so it is no name. */
function defaultNames(address: string): readonly string[] {
  const loopback = ['localhost', '127.0.0.1', '::1']
  return address === '0.0.0.0' || address === '::' ? loopback : [...new Set([address, ...loopback])]
}

/** The CA, and what follows its roots: the listener's TLS, and the join tokens, which pin the root that it shows. */
async function openIdentity(
  { trustDomain, leafLifetimeMs }: { readonly trustDomain: string; readonly leafLifetimeMs?: number },
  stateDirectory: string,
  names: readonly string[],
  clock: Clock,
) {
  const life = leafLifetimeMs === undefined ? {} : { leafLifetimeMs }
  const issuer = await openLocalCa({ directory: join(stateDirectory, 'ca'), trustDomain, clock, ...life })
  const rotate = rotateCa({ issuer, clock })
  const keyFile = join(stateDirectory, 'join-token.key')
  const openTokens = async () => openJoinTokens({ keyFile, caFingerprint: await issuer.fingerprint(), clock })
  await rotate()
  let tokens = await openTokens()
  let shown = await serverTls(issuer, names)
  const mint: JoinTokenMint = (subject, options) => tokens.mint(subject, options)
  return {
    issuer,
    mint,
    callers: new JoinTokenIdentity(tokens, trustDomain),
    tls: () => shown.tls,
    /** Rotates the roots when it is time; renews the listener's TLS when they moved, or its certificate gets old. */
    async renew(listener: Listener): Promise<void> {
      await rotate()
      const { revision } = await issuer.trust()
      const moved = revision !== shown.revision || (await issuer.fingerprint()) !== shown.signer
      if (!moved && Date.now() < renewalTime(shown.tls.cert)) return
      shown = await serverTls(issuer, names)
      listener.renew(shown.tls)
      tokens = await openTokens()
    },
  }
}

async function serverTls(issuer: LocalCa, names: readonly string[]) {
  const ips = names.filter((name) => isIP(name) !== 0)
  const signer = await issuer.fingerprint()
  const { keyPem, chainPem } = await issuer.issueServer({ dns: names.filter((name) => isIP(name) === 0), ips })
  const { certificates, revision } = await issuer.trust()
  return { tls: { key: keyPem, cert: chainPem, ca: [...certificates] }, revision, signer }
}

/** When a third of a certificate's life is left. */
function renewalTime(chain: string): number {
  const { validFromDate, validToDate } = new X509Certificate(chain)
  return validToDate.getTime() - (validToDate.getTime() - validFromDate.getTime()) / 3
}

function every(ms: number, task: () => void): () => void {
  const timer = setInterval(task, ms)
  timer.unref()
  return () => clearInterval(timer)
}

function urlHost(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address
}

const report: ReportError = (error, requestId) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`request ${requestId} failed: ${text}\n`)
}

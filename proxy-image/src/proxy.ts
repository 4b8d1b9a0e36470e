import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Snapshot } from '../../runtime/model/snapshot.ts'
import { createAdminApp, createMetricsApp } from './admin/app.ts'
import { listenAdmin } from './admin/listen.ts'
import { createAdminView } from './admin/proxy-view.ts'
import { ContainerCredentials, type CredentialSource, fixedCredentials } from './aws/credentials.ts'
import { PresignedProof, SignatureProof } from './aws/role-proof.ts'
import { TaskWatch } from './aws/task-metadata.ts'
import { CertificateClient } from './control/certificate-client.ts'
import { JoinTokenProof } from './control/join-token-proof.ts'
import type { Proof } from './control/proof.ts'
import { PushClient } from './control/push-client.ts'
import { StateDirectory } from './control/state.ts'
import { SyncClient, type SyncClientOptions } from './control/sync-client.ts'
import { actualPort, type ProxyEnvironment } from './env.ts'
import { HTTP_PROTOCOLS } from './listen/arrivals.ts'
import type { Log } from './log.ts'
import { Serving } from './serving.ts'
import { AccessLogs } from './telemetry/access-log.ts'
import { Metrics } from './telemetry/metrics.ts'
import { registerProcessMetrics } from './telemetry/process-metrics.ts'
import { Tracing } from './telemetry/tracing.ts'
import { WorkloadIdentity } from './tls/identity.ts'
import { AppPorts } from './upstream/app-ports.ts'
import { VERSION } from './version.ts'

/** Design, section 5: the mTLS-only port, and scraping on the task's address. */
const MESH_PORT = 15_000
const METRICS_PORT = 9902
/** A drain that finds nothing under way ends after this much quiet: peers may still be learning of it. */
const QUIET_MS = 1_000

/** One running proxy: control plane in, data plane out, admin beside. */
export class RunningProxy {
  readonly environment: ProxyEnvironment
  readonly log: Log
  readonly metrics = new Metrics()
  readonly identity = new WorkloadIdentity()
  readonly serving: Serving
  /** Health checks are told to fail (admin). */
  failing = false
  private readonly app: AppPorts
  private readonly ending = new AbortController()
  private readonly accessLogs: AccessLogs
  private readonly tracing: Tracing | null
  private readonly state: StateDirectory
  private readonly certificates: CertificateClient
  private readonly sync: SyncClient
  private readonly push: PushClient | null
  private readonly task: TaskWatch | null
  /** Null where there are none of AWS. */
  private readonly credentials: CredentialSource | null
  private readonly instanceId = randomUUID()
  private admin: Server[] = []
  private metricsPort = METRICS_PORT
  private stopped: Promise<void> | null = null

  constructor(environment: ProxyEnvironment, log: Log) {
    this.environment = environment
    this.log = log
    const { metrics, identity } = this
    registerProcessMetrics(metrics)
    const dropped = metrics.counter('weft_access_log_dropped_total', {})
    const rejected = metrics.counter('weft_snapshot_rejected_total', {})
    const failed = metrics.counter('weft_sync_failures_total', {})
    this.app = new AppPorts((designed) => actualPort(environment, designed))
    this.accessLogs = new AccessLogs({ onDropped: (lines) => dropped.inc(lines), warn: (text) => log.warning(text) })
    this.credentials = this.credentialsOfAws()
    this.tracing = this.traces()
    const { accessLogs, tracing } = this
    this.serving = new Serving({ environment, identity, metrics, accessLogs, tracing, log })
    this.state = new StateDirectory(environment.stateDir, log)
    const proof = this.proof()
    const shared = {
      proof,
      controlPlaneUrl: environment.controlPlaneUrl,
      subject: environment.subject,
      identity,
      state: this.state,
      log,
    }
    this.certificates = new CertificateClient(shared)
    this.sync = new SyncClient({
      ...shared,
      describe: () => this.describe(),
      onSnapshot: async (snapshot) => {
        try {
          await this.serving.apply(snapshot)
        } catch (error) {
          rejected.inc()
          throw error
        }
        void this.reportReady(snapshot)
      },
      onEndpoints: (set) => this.serving.updateEndpoints(set),
      onRefused: () => this.certificates.renewSoon(),
      listening: () => this.push?.listening === true,
      onFailure: () => failed.inc(),
    })
    this.push = this.pushed()
    const { taskMetadataUrl } = environment
    const onStopping = () => this.beginDrain('ECS stops the task')
    this.task = taskMetadataUrl === null ? null : new TaskWatch({ url: taskMetadataUrl, log, onStopping })
    metrics.gauge('weft_certificate_expiry_seconds', {}, () => (identity.ready ? identity.notAfterMs / 1000 : 0))
  }

  /**
   * Opens the admin port, gets an identity, puts the saved snapshot in force if there is one, and follows the control
   * plane from then on. Resolves when the proxy has an identity; rejects when the admin port can't be bound.
   */
  async start(): Promise<void> {
    const { environment } = this
    const view = createAdminView(this)
    const port = actualPort(environment, environment.adminPort)
    this.admin.push(await listen(createAdminApp(view), '127.0.0.1', port, environment.adminPort))
    if (environment.bindAddress !== '127.0.0.1') {
      const metricsPort = actualPort(environment, METRICS_PORT)
      this.admin.push(await listen(createMetricsApp(view), environment.bindAddress, metricsPort, METRICS_PORT))
    }
    // On loopback alone the admin port is the one that a scraper on this host reaches.
    this.metricsPort = (this.admin.at(-1)!.address() as AddressInfo).port
    // The first report names the task, so that it waits for what ECS says of it.
    await Promise.all([this.certificates.start(), this.task?.start()])
    await this.sync.startFromState()
    void this.sync.run()
    void this.push?.run()
  }

  /** Peers send requests from then on, so the app has to be there. */
  private async reportReady({ clusters }: Snapshot): Promise<void> {
    await this.app.listening(clusters, this.ending.signal)
    if (!this.serving.draining) await this.sync.setState('ready')
  }

  private credentialsOfAws(): CredentialSource | null {
    const { aws } = this.environment
    if (aws === null) return null
    const { credentials } = aws
    if ('fixed' in credentials) return fixedCredentials(credentials.fixed)
    return new ContainerCredentials(credentials.endpoint, this.log)
  }

  /** What this proxy shows: a join token that somebody gave it, else its role. */
  private proof(): Proof | null {
    const { environment, credentials, identity } = this
    const { token, aws, controlPlaneUrl, subject } = environment
    if (token !== null) return new JoinTokenProof(token, { controlPlaneUrl, subject, identity })
    if (aws === null || credentials === null) return null
    if (aws.proof.kind === 'signature') return new SignatureProof(credentials, aws.proof.scope)
    return new PresignedProof({ ...aws.proof, credentials, controlPlaneUrl })
  }

  private pushed(): PushClient | null {
    const { environment, credentials, log } = this
    if (environment.push === null || credentials === null) return null
    return new PushClient({ ...environment.push, credentials, log, onNews: () => this.sync.syncSoon() })
  }

  private traces(): Tracing | null {
    const { environment, metrics, log, instanceId } = this
    const { settings, warnings } = environment.tracing
    for (const warning of warnings) log.warning(warning)
    if (settings === null) return null
    const { origin } = new URL(settings.url)
    log.info('tracing', { to: origin, ratio: settings.sampling.ratio, signed: settings.signing !== null })
    const none = () => Promise.reject(new Error('this proxy has no credentials of a task role'))
    const credentials = () => this.credentials?.get() ?? none()
    return new Tracing({ settings, subject: environment.subject, instanceId, metrics, log, credentials })
  }

  private describe(): ReturnType<SyncClientOptions['describe']> {
    const { environment, serving } = this
    const meshPort =
      environment.subject.kind === 'virtual-gateway'
        ? null
        : (serving.ports.actual(environment.bindAddress, MESH_PORT) ?? null)
    const task = this.task?.task ?? null
    return {
      id: task?.id ?? this.instanceId,
      address: environment.advertiseAddress ?? task?.address ?? null,
      meshPort,
      protocols: [...HTTP_PROTOCOLS],
      version: VERSION,
      metricsPort: this.metricsPort,
      ...(task === null || task.zone === null ? {} : { zone: task.zone }),
      ...(environment.selfRegistered ? { selfRegistered: true } : {}),
    }
  }

  /** Why requests can't be served yet, one sentence each; empty when they can. */
  notReady(): readonly string[] {
    const why: string[] = []
    if (!this.identity.ready) why.push('no workload certificate yet; is the control plane reachable?')
    if (this.serving.snapshot === null) why.push('no snapshot yet')
    if (this.serving.draining) why.push('draining')
    if (this.failing) why.push('told to fail by POST /healthcheck/fail')
    return why
  }

  /**
   * Ends in peace: tells the mesh, lets what is under way finish, closes. At most the drain wait of the environment.
   * Called again, it returns the same promise.
   */
  stop(): Promise<void> {
    this.stopped ??= this.drainAndClose()
    return this.stopped
  }

  /**
   * Tells the mesh and the clients at hand to go elsewhere, and goes on serving: an app that is asked to end still
   * finishes what it has, and calls others for it. Resolves when the control plane heard it.
   */
  private beginDrain(why: string): Promise<void> {
    this.ending.abort()
    if (!this.serving.draining) this.log.info('draining', { why })
    this.serving.drain()
    return this.sync.setState('draining')
  }

  private async drainAndClose(): Promise<void> {
    const { log, serving, environment } = this
    const until = performance.now() + environment.drainWaitMs
    this.task?.close()
    this.push?.close()
    await Promise.race([this.beginDrain('this proxy ends'), sleep(Math.min(2_000, environment.drainWaitMs))])
    let quietSince = performance.now()
    while (performance.now() < until) {
      const now = performance.now()
      if (serving.busy > 0) quietSince = now
      else if (now - quietSince >= QUIET_MS) break
      await sleep(50)
    }
    this.certificates.close()
    await this.sync.close()
    serving.close()
    for (const server of this.admin) server.close()
    await Promise.all([this.accessLogs.close(), this.tracing?.close()])
    await this.state.flush()
    log.info('stopped')
  }
}

async function listen(
  app: Parameters<typeof listenAdmin>[0],
  host: string,
  port: number,
  designed: number,
): Promise<Server> {
  try {
    return await listenAdmin(app, { host, port })
  } catch (error) {
    const message = `can't open the admin port ${host}:${port}; stop what listens there, or map it with WEFT_PORTS=${designed}=<other>`
    throw new Error(message, { cause: error })
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

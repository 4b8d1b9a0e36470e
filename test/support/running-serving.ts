import { Log } from '../../proxy-image/src/log.ts'
import { Serving } from '../../proxy-image/src/serving.ts'
import { AccessLogs } from '../../proxy-image/src/telemetry/access-log.ts'
import { Metrics } from '../../proxy-image/src/telemetry/metrics.ts'
import type { Tracing } from '../../proxy-image/src/telemetry/tracing.ts'
import { WorkloadIdentity } from '../../proxy-image/src/tls/identity.ts'
import type { Snapshot } from '../../runtime/model/snapshot.ts'

/** A data plane in this process, without a control plane. */
export interface RunningServing {
  readonly serving: Serving
  readonly metrics: Metrics
  readonly accessLogs: AccessLogs
  /** Value of one series, summed over all that carry these labels; 0 when there is none. */
  count(family: string, labels?: Readonly<Record<string, string>>): number
  close(): Promise<void>
}

/** Puts a snapshot in force on 127.0.0.1. `identity` is needed where the snapshot speaks mTLS. */
export async function startServing(
  snapshot: Snapshot,
  options: {
    identity?: WorkloadIdentity
    ports?: ReadonlyMap<number, number>
    /** Whether loopback VIPs are bound. */
    vips?: boolean
    tracing?: (metrics: Metrics) => Tracing
    /** What the operator reads; errors alone, on standard error, unless given. */
    log?: Log
  } = {},
): Promise<RunningServing> {
  const metrics = new Metrics()
  const accessLogs = new AccessLogs({ onDropped() {}, warn() {} })
  const serving = new Serving({
    environment: {
      controlPlaneUrl: 'https://127.0.0.1:1',
      subject: { ...snapshot.subject },
      token: null,
      aws: null,
      push: null,
      taskMetadataUrl: null,
      selfRegistered: false,
      bindAddress: '127.0.0.1',
      advertiseAddress: null,
      ports: options.ports ?? new Map(),
      vips: options.vips ?? false,
      stateDir: '/nowhere',
      logLevel: 'error',
      adminPort: 9901,
      drainWaitMs: 0,
      tracing: { settings: null, warnings: [] },
    },
    identity: options.identity ?? new WorkloadIdentity(),
    metrics,
    accessLogs,
    tracing: options.tracing?.(metrics) ?? null,
    log: options.log ?? new Log('error'),
  })
  await serving.apply(snapshot)
  // DNS clusters resolve their literal in a later turn.
  await new Promise((resolve) => setTimeout(resolve, 5))
  return {
    serving,
    metrics,
    accessLogs,
    count: (family, labels = {}) => countIn(metrics.render(), family, labels),
    async close() {
      serving.close()
      await accessLogs.close()
    },
  }
}

function countIn(text: string, family: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${family}{`) && !line.startsWith(`${family} `)) continue
    if (!Object.entries(labels).every(([name, value]) => line.includes(`${name}="${value}"`))) continue
    sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

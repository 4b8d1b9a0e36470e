import type { OutlierDetection } from '../../../runtime/model/snapshot.ts'
import type { UpstreamEndpoint } from './endpoint.ts'

/** Passive health: ejects endpoints that keep failing. */
export class OutlierDetector {
  /** For metrics. `active` counts endpoints that are ejected now. */
  readonly stats = { ejectionsTotal: 0 }
  constructor(policy: OutlierDetection, endpoints: () => readonly UpstreamEndpoint[]) {
    throw new Error(`not yet: ${policy.origin.name} ${endpoints.name}`)
  }
  onSuccess(_endpoint: UpstreamEndpoint): void {}
  /** A 5xx answer. */
  onServerError(_endpoint: UpstreamEndpoint, _nowMs: number): void {}
  onConnectFailure(_endpoint: UpstreamEndpoint, _nowMs: number): void {}
  activeEjections(_nowMs: number): number {
    return 0
  }
}
